#include <string>

#include <gtest/gtest.h>

#include "base/edit_distance.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace blixard {
namespace {

TEST(UuidTest, ReadsWhatItWrites) {
  const Uuid uuid = Uuid::from_random(0x0123456789abcdef, 0xfedcba9876543210);
  EXPECT_EQ(uuid.text().size(), 36u);
  EXPECT_EQ(Uuid::parse(uuid.text()), uuid);
  EXPECT_EQ(uuid.text()[14], '4');
  EXPECT_TRUE(std::string("89ab").contains(uuid.text()[19]));
}

TEST(UuidTest, ReadsCapitals) {
  EXPECT_EQ(Uuid::parse("ABCDEF00-0000-4000-8000-000000000000")->text(),
            "abcdef00-0000-4000-8000-000000000000");
}

TEST(UuidTest, RefusesOtherShapes) {
  for (const char* text :
       {"", "abcdef00-0000-4000-8000-00000000000", "abcdef00-0000-4000-8000-0000000000000",
        "abcdef0-00000-4000-8000-000000000000", "gbcdef00-0000-4000-8000-000000000000",
        "abcdef00000004000080000-000000000000"}) {
    EXPECT_EQ(Uuid::parse(text), std::nullopt) << text;
  }
}

TEST(ErrorTest, MessageNamesReasonAndDetail) {
  EXPECT_EQ(Error(Code::kNotFound, "vm_not_found").message(), "vm_not_found");
  EXPECT_EQ(Error(Code::kNotFound, "vm_not_found", "web").message(), "vm_not_found: web");
  EXPECT_EQ(code_name(Code::kDataLoss), "data_loss");
}

Result<int> half_of(int number) {
  if (number % 2 != 0) return fail(Code::kInvalidArgument, "odd");
  return number / 2;
}

Result<int> quarter_of(int number) {
  BLX_TRY(const int half, half_of(number));
  BLX_TRY(half_of(half));
  return half_of(half);
}

TEST(TryTest, LeavesAtTheFirstError) {
  EXPECT_EQ(quarter_of(12).value(), 3);
  EXPECT_EQ(quarter_of(7).error().reason(), "odd");
  EXPECT_EQ(quarter_of(6).error().reason(), "odd");
}

TEST(EditDistanceTest, CountsLettersThatDiffer) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("abcd", "abdc"), 2U);
}

TEST(UnitsTest, InstantsAndBytes) {
  EXPECT_EQ(Instant{5s} - Instant{2s}, 3s);
  EXPECT_LT(Instant{5s} + 1h, Instant::never());
  EXPECT_EQ(gib(1), mib(1024));
  EXPECT_EQ(mib(3).mib(), 3u);
}

}  // namespace
}  // namespace blixard
