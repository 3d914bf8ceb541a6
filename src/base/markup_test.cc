#include "base/markup.h"

#include <gtest/gtest.h>

namespace blixard {
namespace {

TEST(Markup, ForeignTextIsText) {
  EXPECT_EQ(escaped(R"(<a href="x">'&')"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
  EXPECT_EQ(escaped("a\x01\tb\nc"), "a  b\nc");
}

TEST(Markup, IsCutBetweenCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc…");
  EXPECT_EQ(shortened("aé", 2), "a…");
  EXPECT_EQ(shortened("é", 0), "…");
}

}  // namespace
}  // namespace blixard
