#include "core/wire/frame.h"

#include <cstring>

#include "base/limits.h"

namespace blixard::wire {
namespace {

struct Read {
  FrameHeader header;
  std::string body;
  std::string tail;
};

std::string joined(FrameWriter& writer) {
  std::string all;
  for (const std::string_view part : writer.parts())
    all += part;
  return all;
}

Result<Read> read_one(std::string_view& bytes) {
  if (bytes.size() < kFrameHeaderBytes) return fail(Code::kDataLoss, "frame_damaged");
  Read read;
  BLX_TRY(read.header, decode_frame_header(bytes.substr(0, kFrameHeaderBytes)));
  bytes.remove_prefix(kFrameHeaderBytes);
  if (bytes.size() < read.header.body_bytes + read.header.tail_bytes) {
    return fail(Code::kDataLoss, "frame_damaged");
  }
  read.body = bytes.substr(0, read.header.body_bytes);
  read.tail = bytes.substr(read.header.body_bytes, read.header.tail_bytes);
  bytes.remove_prefix(read.header.body_bytes + read.header.tail_bytes);
  BLX_TRY(check_frame_content(read.header, read.body, read.tail));
  return read;
}

void put(FrameWriter& writer, std::string_view bytes) {
  std::memcpy(writer.grow(bytes.size()), bytes.data(), bytes.size());
}

void write_example(FrameWriter& writer, std::string_view payload) {
  writer.begin(FrameKind::kRaft, 7);
  put(writer, "body");
  writer.body_ends();
  put(writer, "table");
  writer.refer(payload);
  writer.refer("");
  writer.refer("second");
  put(writer, "end");
  ASSERT_TRUE(writer.end());
}

TEST(Frame, HeaderIsTheSameForEver) {
  std::string bytes(kFrameHeaderBytes, '\0');
  encode_frame_header({.kind = FrameKind::kRaft,
                       .body_bytes = 0x0102,
                       .tail_bytes = 0x0304,
                       .id = 0x1122334455667788,
                       .content_checksum = 0x99aabbccddeeff00},
                      std::span<char, kFrameHeaderBytes>(bytes.data(), kFrameHeaderBytes));
  EXPECT_EQ(bytes.substr(0, 32), std::string("BLXP\x01\x05\0\0\x02\x01\0\0\x04\x03\0\0"
                                             "\x88\x77\x66\x55\x44\x33\x22\x11"
                                             "\x00\xff\xee\xdd\xcc\xbb\xaa\x99",
                                             32));
}

TEST(Frame, ManyFramesComeOutAsTheyWentIn) {
  FrameWriter writer;
  for (int round = 0; round < 3; ++round) {
    writer.clear();
    const std::string large(100'000, 'x');
    write_example(writer, "first");
    for (std::uint64_t i = 0; i < 50; ++i) {
      writer.begin(FrameKind::kPing, i);
      writer.body_ends();
      ASSERT_TRUE(writer.end());
    }
    write_example(writer, large);
    EXPECT_EQ(writer.frames(), 52u);
    const std::string all = joined(writer);
    EXPECT_EQ(all.size(), writer.bytes());
    std::string_view rest = all;
    const auto first = read_one(rest);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->header.kind, FrameKind::kRaft);
    EXPECT_EQ(first->header.id, 7u);
    EXPECT_EQ(first->body, "body");
    EXPECT_EQ(first->tail, "tablefirstsecondend");
    for (std::uint64_t i = 0; i < 50; ++i) {
      const auto ping = read_one(rest);
      ASSERT_TRUE(ping);
      EXPECT_EQ(ping->header.id, i);
    }
    const auto last = read_one(rest);
    ASSERT_TRUE(last);
    EXPECT_EQ(last->tail, "table" + large + "secondend");
    EXPECT_TRUE(rest.empty());
  }
}

TEST(Frame, PayloadsAreReferredToAndSmallFramesShareAPart) {
  FrameWriter writer;
  const std::string payload = "the payload itself";
  write_example(writer, payload);
  bool referred = false;
  for (const std::string_view part : writer.parts())
    referred = referred || part.data() == payload.data();
  EXPECT_TRUE(referred);
  writer.clear();
  for (std::uint64_t i = 0; i < 50; ++i) {
    writer.begin(FrameKind::kPing, i);
    writer.body_ends();
    ASSERT_TRUE(writer.end());
  }
  EXPECT_EQ(writer.parts().size(), 1u);
}

TEST(Frame, EveryFlippedBitIsFound) {
  FrameWriter writer;
  write_example(writer, "first");
  const std::string sound = joined(writer);
  std::string_view whole = sound;
  ASSERT_TRUE(read_one(whole));
  for (std::size_t bit = 0; bit < 8 * sound.size(); ++bit) {
    std::string damaged = sound;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    std::string_view rest = damaged;
    const auto read = read_one(rest);
    ASSERT_FALSE(read) << "bit " << bit;
    EXPECT_EQ(read.error().code(), Code::kDataLoss) << "bit " << bit;
  }
}

// Headers with a right checksum that no version of ours writes.
TEST(Frame, StrangeHeadersAreRefused) {
  const auto with = [](std::size_t at, char value) {
    std::string bytes(kFrameHeaderBytes, '\0');
    encode_frame_header({}, std::span<char, kFrameHeaderBytes>(bytes.data(), kFrameHeaderBytes));
    bytes[at] = value;
    // The checksum again, by way of a frame's.
    const std::uint64_t sum = checksum(std::string_view(bytes).substr(0, 32), 0x6672616d65686401);
    for (std::size_t i = 0; i < 8; ++i)
      bytes[32 + i] = static_cast<char>(sum >> (8 * i));
    return decode_frame_header(bytes);
  };
  EXPECT_TRUE(with(5, 3));
  EXPECT_EQ(with(4, 2).error().reason(), "frame_version_unknown");
  EXPECT_EQ(with(5, 0).error().reason(), "frame_invalid");
  EXPECT_EQ(with(5, 14).error().reason(), "frame_invalid");
  EXPECT_EQ(with(6, 1).error().reason(), "frame_invalid");
  EXPECT_EQ(with(11, 1).error().reason(), "frame_too_large");
  EXPECT_EQ(with(15, 1).error().reason(), "frame_too_large");
}

TEST(Frame, WhatIsTooLargeIsLeftOut) {
  FrameWriter writer;
  write_example(writer, "first");
  const std::string before = joined(writer);
  const std::string large(limits::kFrameTailBytes, 'x');
  writer.begin(FrameKind::kRaft, 8);
  writer.body_ends();
  writer.refer(large);
  writer.refer("and one byte more");
  EXPECT_FALSE(writer.end());
  writer.begin(FrameKind::kRaft, 8);
  writer.grow(limits::kFrameBodyBytes + 1);
  writer.body_ends();
  EXPECT_FALSE(writer.end());
  EXPECT_EQ(joined(writer), before);
  writer.begin(FrameKind::kRaft, 8);
  writer.body_ends();
  writer.refer(large);
  EXPECT_TRUE(writer.end());
  EXPECT_EQ(writer.frames(), 2u);
}

}  // namespace
}  // namespace blixard::wire
