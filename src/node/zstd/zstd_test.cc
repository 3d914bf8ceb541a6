#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "node/zstd/packer.h"
#include "node/zstd/unpacker.h"

namespace blixard::zstd {
namespace {

std::string text(std::size_t bytes) {
  std::string made;
  std::uint32_t number = 1;
  while (made.size() < bytes) {
    number = number * 1664525 + 1013904223;
    made.append(1 + number % 97, static_cast<char>(number >> 24));
  }
  made.resize(bytes);
  return made;
}

std::string pack(std::string_view bytes, std::size_t piece) {
  Packer packer(1);
  std::string packed;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    EXPECT_TRUE(packer.add(bytes.substr(0, piece), packed));
  EXPECT_TRUE(packer.finish(packed));
  return packed;
}

Result<std::string> unpack(std::string_view packed, std::uint64_t most, std::size_t piece) {
  Unpacker unpacker(most);
  std::string all;
  while (!packed.empty()) {
    std::string_view part = packed.substr(0, piece);
    packed.remove_prefix(part.size());
    while (true) {
      const bool had_input = !part.empty();
      BLX_TRY(const std::string_view got, unpacker.next(part));
      all += got;
      if (got.empty() && (!had_input || part.empty())) break;
    }
  }
  BLX_TRY(unpacker.finish());
  return all;
}

TEST(Zstd, WhatIsPackedUnpacksHoweverItIsCut) {
  for (const std::size_t bytes : {0, 1, 1000, 3'000'000}) {
    const std::string original = text(bytes);
    for (const std::size_t piece : {7, 4096, 1 << 20}) {
      if (bytes / piece > 100'000) continue;
      const auto back = unpack(pack(original, piece), bytes, piece);
      ASSERT_TRUE(back) << back.error().message();
      EXPECT_EQ(*back, original) << bytes << " in pieces of " << piece;
    }
  }
}

TEST(Zstd, MoreThanWasPromisedIsRefused) {
  const std::string packed = pack(std::string(1 << 20, 'x'), 1 << 20);
  ASSERT_LT(packed.size(), 1000U);
  EXPECT_EQ(unpack(packed, (1 << 20) - 1, 100).error().reason(), "packed_damaged");
}

TEST(Zstd, WhatIsCutOrChangedOrLongerIsRefused) {
  const std::string packed = pack(text(100'000), 1 << 20);
  const auto refused = [](const std::string& bytes) {
    const auto back = unpack(bytes, 100'000, 4096);
    return !back && back.error().code() == Code::kDataLoss;
  };
  EXPECT_TRUE(refused(packed.substr(0, packed.size() - 1)));
  EXPECT_TRUE(refused(packed.substr(0, packed.size() / 2)));
  EXPECT_TRUE(refused(packed + "x"));
  EXPECT_TRUE(refused("no frame at all"));
  EXPECT_FALSE(refused(packed));
}

}  // namespace
}  // namespace blixard::zstd
