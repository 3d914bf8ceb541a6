#include "base/name.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace blixard {
namespace {

std::string long_text(std::size_t number) {
  return "a-name-that-is-too-long-for-a-small-string-" + std::to_string(number);
}

TEST(NameTest, EqualTextsAreOne) {
  const std::size_t before = Name::usage().texts;
  const Name a("web");
  const Name b("web");
  const Name other("db");
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == other);
  EXPECT_EQ(&a.text(), &b.text());
  EXPECT_EQ(Name::usage().texts, before + 2);
  EXPECT_EQ(sizeof a, 4u);
}

TEST(NameTest, ATextGoesWithItsLastName) {
  const auto before = Name::usage();
  {
    Name first(long_text(1));
    const Name second = first;
    first = Name("another");
    EXPECT_EQ(second.text(), long_text(1));
    EXPECT_EQ(Name::usage().texts, before.texts + 2);
  }
  EXPECT_EQ(Name::usage().texts, before.texts);
  EXPECT_EQ(Name::usage().bytes, before.bytes);
  EXPECT_TRUE(Name::find(long_text(1)).empty());
}

TEST(NameTest, FindMakesNothing) {
  const auto before = Name::usage();
  EXPECT_TRUE(Name::find("nobody-has-this").empty());
  EXPECT_EQ(Name::usage().texts, before.texts);
  const Name here("here");
  EXPECT_EQ(Name::find("here"), here);
}

TEST(NameTest, OrderAndTextAreThoseOfTheText) {
  const Name z("z");
  const Name a("a");
  EXPECT_LT(a, z);
  EXPECT_EQ(fmt::format("{}-{:>3}", a, z), "a-  z");
  EXPECT_EQ(a, "a");
  EXPECT_EQ(std::string_view(z), "z");
  EXPECT_TRUE(Name().empty());
  EXPECT_EQ(Name(""), Name());
  EXPECT_EQ(Name().text(), "");
}

TEST(NameTest, MovedFromIsEmpty) {
  Name from("gone");
  const Name to = std::move(from);
  EXPECT_EQ(to.text(), "gone");
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
}

// Against a plain list of strings, with numbers that are used again and again.
TEST(NameTest, ManyThatComeAndGo) {
  const auto before = Name::usage();
  std::uint64_t seed = 7;
  const auto random = [&] {
    return (seed = seed * 6364136223846793005 + 1442695040888963407) >> 33;
  };
  std::vector<std::pair<Name, std::string>> kept;
  for (int step = 0; step < 20'000; ++step) {
    if (kept.size() < 50 || random() % 2 == 0) {
      const std::string text = long_text(random() % 200);
      kept.emplace_back(Name(text), text);
    } else {
      const std::size_t at = random() % kept.size();
      std::swap(kept[at], kept.back());
      kept.pop_back();
    }
  }
  std::map<std::string, Name> first;
  std::size_t bytes = 0;
  for (const auto& [name, text] : kept) {
    ASSERT_EQ(name.text(), text);
    const auto [found, is_new] = first.try_emplace(text, name);
    ASSERT_EQ(found->second, name);
    if (is_new) bytes += text.size();
  }
  EXPECT_EQ(Name::usage().texts, before.texts + first.size());
  EXPECT_EQ(Name::usage().bytes, before.bytes + bytes);
  first.clear();
  kept.clear();
  EXPECT_EQ(Name::usage().texts, before.texts);
}

}  // namespace
}  // namespace blixard
