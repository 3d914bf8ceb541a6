#include "core/image/digest.h"

#include <gtest/gtest.h>

namespace blixard::image {
namespace {

// The input of the official test vectors: bytes 0, 1, ... 250, 0, 1, ...
std::string vector_input(std::size_t length) {
  std::string bytes(length, '\0');
  for (std::size_t at = 0; at < length; ++at)
    bytes[at] = static_cast<char>(at % 251);
  return bytes;
}

TEST(Digest, AgreesWithTheOfficialVectors) {
  const struct {
    std::string input;
    std::string_view digest;
  } vectors[] = {
      {"", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
      {"abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"},
      {vector_input(1), "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
      {vector_input(1024), "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
  };
  for (const auto& vector : vectors) {
    EXPECT_EQ(digest_text(digest_of(vector.input)), vector.digest) << vector.input.size();
  }
}

// Lengths around the block (64) and chunk (1024) borders, cut at every odd place.
TEST(Digest, IncrementalIsTheWhole) {
  for (const std::size_t length : {0u, 1u, 63u, 64u, 65u, 1023u, 1024u, 1025u, 5000u, 100'000u}) {
    const std::string bytes = vector_input(length);
    const Digest whole = digest_of(bytes);
    for (const std::size_t step : {1u, 7u, 64u, 1000u, 1024u, 4097u}) {
      Hasher hasher;
      for (std::size_t at = 0; at < length; at += step) {
        hasher.update(std::string_view(bytes).substr(at, step));
      }
      EXPECT_EQ(hasher.finish(), whole) << length << " by " << step;
    }
  }
}

TEST(Digest, FinishMayBeFollowedByMore) {
  Hasher hasher;
  hasher.update("ab");
  EXPECT_EQ(hasher.finish(), digest_of("ab"));
  hasher.update("c");
  EXPECT_EQ(hasher.finish(), digest_of("abc"));
}

TEST(Digest, MovedHasherGoesOn) {
  Hasher first;
  first.update("ab");
  Hasher second = std::move(first);
  second.update("c");
  EXPECT_EQ(second.finish(), digest_of("abc"));
}

TEST(Digest, OneChangedByteChangesIt) {
  std::string bytes = vector_input(3000);
  const Digest before = digest_of(bytes);
  bytes[2999] = static_cast<char>(bytes[2999] ^ 1);
  EXPECT_NE(digest_of(bytes), before);
}

TEST(Digest, TextGoesBothWays) {
  const Digest digest = digest_of("abc");
  std::string text = digest_text(digest);
  EXPECT_EQ(parse_digest(text), digest);
  for (char& letter : text)
    letter = static_cast<char>(std::toupper(letter));
  EXPECT_EQ(parse_digest(text), digest);
}

TEST(Digest, WrongTextsAreRefused) {
  const std::string good = digest_text(digest_of("abc"));
  EXPECT_EQ(parse_digest(""), std::nullopt);
  EXPECT_EQ(parse_digest(good.substr(1)), std::nullopt);
  EXPECT_EQ(parse_digest(good + "0"), std::nullopt);
  EXPECT_EQ(parse_digest(" " + good.substr(1)), std::nullopt);
  for (const char bad : {'g', 'G', '/', ':', '@', '`', '\0', 'x', '-'}) {
    std::string text = good;
    text[63] = bad;
    EXPECT_EQ(parse_digest(text), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace blixard::image
