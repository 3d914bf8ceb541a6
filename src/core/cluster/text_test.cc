#include "core/cluster/text.h"

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace blixard::cluster {
namespace {

using namespace std::string_view_literals;

TEST(BoundedText, KeepsCleanText) {
  for (const auto text : {""sv, "kernel panic"sv, "two\nlines\tand a tab"sv, "Grüße, 世界 🦎"sv}) {
    EXPECT_EQ(bounded_text(text, 100), text);
    EXPECT_TRUE(is_bounded_text(text, 100));
  }
}

TEST(BoundedText, CutsBetweenCharacters) {
  EXPECT_EQ(bounded_text("abc", 2), "ab");
  EXPECT_EQ(bounded_text("aü", 2), "a");
  EXPECT_EQ(bounded_text("a世", 3), "a");
  EXPECT_EQ(bounded_text("a世", 4), "a世");
  EXPECT_EQ(bounded_text("🦎", 3), "");
  EXPECT_FALSE(is_bounded_text("abc", 2));
}

TEST(BoundedText, ReplacesControlCharacters) {
  EXPECT_EQ(bounded_text("\x1b[31mred\r\n", 100), "?[31mred?\n");
  EXPECT_EQ(bounded_text("a\0b"sv, 100), "a?b");
  EXPECT_EQ(bounded_text("\x7f", 100), "?");
  EXPECT_EQ(bounded_text("\xc2\x9b", 100), "?");  // CSI as one character
  EXPECT_EQ(bounded_text("\xc2\xa0", 100), "\xc2\xa0");
}

// The cases of Unicode's table of well-formed sequences (chapter 3, table 3-7), at their borders.
TEST(BoundedText, ReplacesWhatIsNotUtf8) {
  for (const auto bad : {"\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xe0\x9f\xbf"sv,
                         "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf0\x8f\xbf\xbf"sv,
                         "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xff"sv, "\xe4\xb8"sv}) {
    EXPECT_FALSE(is_bounded_text(bad, 100)) << testing::PrintToString(bad);
    EXPECT_EQ(bounded_text(bad, 100), std::string(bad.size(), '?'));
  }
  for (const auto good :
       {"\xc2\xa0"sv, "\xdf\xbf"sv, "\xe0\xa0\x80"sv, "\xed\x9f\xbf"sv, "\xee\x80\x80"sv,
        "\xef\xbf\xbf"sv, "\xf0\x90\x80\x80"sv, "\xf4\x8f\xbf\xbf"sv}) {
    EXPECT_TRUE(is_bounded_text(good, 100)) << testing::PrintToString(good);
  }
}

RC_GTEST_PROP(BoundedText, ResultIsBoundedAndFinal, (const std::string& text)) {
  const auto limit = *rc::gen::inRange<std::size_t>(0, 40);
  const std::string once = bounded_text(text, limit);
  RC_ASSERT(is_bounded_text(once, limit));
  RC_ASSERT(bounded_text(once, limit) == once);
}

}  // namespace
}  // namespace blixard::cluster
