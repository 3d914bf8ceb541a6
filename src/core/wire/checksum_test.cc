#include "core/wire/checksum.h"

#include <gtest/gtest.h>

namespace blixard::wire {
namespace {

// Format constants: the published values of XXH3 for the empty input.
TEST(Checksum, EmptyInputHasTheKnownValues) {
  EXPECT_EQ(checksum("", 0), 0x2d06800538d394c2u);
  EXPECT_EQ(hash128_hex(""), "99aa06d3014798d86001c324468d497f");
}

TEST(Checksum, DependsOnEveryByteAndOnTheSeed) {
  const std::string text(1000, 'a');
  const std::uint64_t whole = checksum(text, 7);
  EXPECT_EQ(whole, checksum(text, 7));
  EXPECT_NE(whole, checksum(text, 8));
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string flipped = text;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    EXPECT_NE(whole, checksum(flipped, 7)) << "byte " << at;
  }
}

TEST(Checksum, ZerosOfDifferentLengthsDiffer) {
  EXPECT_NE(checksum(std::string(16, '\0'), 0), checksum(std::string(17, '\0'), 0));
  EXPECT_NE(hash128_hex(std::string(16, '\0')), hash128_hex(std::string(17, '\0')));
}

TEST(Checksum, RunningIsTheSameHoweverTheBytesAreCut) {
  std::string text;
  for (int i = 0; i < 5000; ++i)
    text += static_cast<char>(i * 7);
  RunningChecksum running;
  for (const std::size_t piece : {1u, 3u, 64u, 257u, 5000u}) {
    running.reset();
    for (std::size_t at = 0; at < text.size(); at += piece)
      running.add(std::string_view(text).substr(at, piece));
    EXPECT_EQ(running.value(), checksum(text, 0)) << "pieces of " << piece;
  }
}

TEST(Checksum, HexIs32LowerCaseDigits) {
  const std::string text = hash128_hex("blixard");
  EXPECT_EQ(text.size(), 32u);
  EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace blixard::wire
