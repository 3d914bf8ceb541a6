#include "core/wire/frame.h"

#include <bit>
#include <cstring>

#include "base/assert.h"
#include "base/limits.h"
#include "core/wire/little_endian.h"

namespace blixard::wire {

namespace {

constexpr std::string_view kMagic = "BLXP";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kKindAt = 5;
constexpr std::size_t kFlagsAt = 6;  // 2 bytes, 0: none is defined
constexpr std::size_t kBodyBytesAt = 8;
constexpr std::size_t kTailBytesAt = 12;
constexpr std::size_t kIdAt = 16;
constexpr std::size_t kContentChecksumAt = 24;
constexpr std::size_t kChecksumAt = 32;

// "header" and a version: no other checksum of ours is seeded with it.
constexpr std::uint64_t kHeaderSeed = 0x6672616d65686401;

}  // namespace

std::uint64_t content_checksum(std::string_view body, std::string_view tail) {
  if (tail.empty()) return checksum(body, 0);
  RunningChecksum running;
  running.add(body);
  running.add(tail);
  return running.value();
}

void encode_frame_header(const FrameHeader& header, std::span<char, kFrameHeaderBytes> into) {
  char* at = into.data();
  std::memcpy(at, kMagic.data(), kMagic.size());
  at[kVersionAt] = static_cast<char>(kVersion);
  at[kKindAt] = static_cast<char>(header.kind);
  store16(at + kFlagsAt, 0);
  store32(at + kBodyBytesAt, header.body_bytes);
  store32(at + kTailBytesAt, header.tail_bytes);
  store64(at + kIdAt, header.id);
  store64(at + kContentChecksumAt, header.content_checksum);
  store64(at + kChecksumAt, checksum({at, kChecksumAt}, kHeaderSeed));
}

Result<FrameHeader> decode_frame_header(std::string_view bytes) {
  if (bytes.size() != kFrameHeaderBytes || !bytes.starts_with(kMagic) ||
      load64(bytes.data() + kChecksumAt) != checksum(bytes.substr(0, kChecksumAt), kHeaderSeed)) {
    return fail(Code::kDataLoss, "frame_damaged");
  }
  // Magic, version and checksum keep their places, so that this is not taken for damage.
  if (static_cast<std::uint8_t>(bytes[kVersionAt]) != kVersion) {
    return fail(Code::kUnimplemented, "frame_version_unknown");
  }
  const auto kind = static_cast<std::uint8_t>(bytes[kKindAt]);
  if (kind == 0 || kind > static_cast<std::uint8_t>(kFrameKindLast) ||
      load16(bytes.data() + kFlagsAt) != 0) {
    return fail(Code::kInvalidArgument, "frame_invalid");
  }
  const FrameHeader header{.kind = static_cast<FrameKind>(kind),
                           .body_bytes = load32(bytes.data() + kBodyBytesAt),
                           .tail_bytes = load32(bytes.data() + kTailBytesAt),
                           .id = load64(bytes.data() + kIdAt),
                           .content_checksum = load64(bytes.data() + kContentChecksumAt)};
  if (header.body_bytes > limits::kFrameBodyBytes || header.tail_bytes > limits::kFrameTailBytes) {
    return fail(Code::kResourceExhausted, "frame_too_large");
  }
  return header;
}

Result<void> check_frame_content(const FrameHeader& header, std::string_view body,
                                 std::string_view tail) {
  BLX_ASSERT(body.size() == header.body_bytes && tail.size() == header.tail_bytes);
  if (content_checksum(body, tail) != header.content_checksum) {
    return fail(Code::kDataLoss, "frame_damaged");
  }
  return {};
}

void FrameWriter::clear() {
  buffer_.clear();
  ranges_.clear();
  views_.clear();
  own_begin_ = 0;
  frames_ = 0;
  bytes_ = 0;
}

void FrameWriter::begin(FrameKind kind, std::uint64_t id) {
  header_ = {.kind = kind, .id = id};
  header_at_ = buffer_.size();
  first_range_ = ranges_.size();
  own_before_ = own_begin_;
  referred_ = 0;
  grow(kFrameHeaderBytes);
  tail_at_ = buffer_.size();
}

char* FrameWriter::grow(std::size_t bytes) {
  const std::size_t at = buffer_.size();
  buffer_.resize(at + bytes);
  return buffer_.data() + at;
}

void FrameWriter::body_ends() { tail_at_ = buffer_.size(); }

void FrameWriter::close_own_part() {
  if (own_begin_ < buffer_.size()) {
    ranges_.push_back({.offset = own_begin_, .size = buffer_.size() - own_begin_});
    own_begin_ = buffer_.size();
  }
}

void FrameWriter::refer(std::string_view payload) {
  if (payload.empty()) return;
  close_own_part();
  ranges_.push_back({.data = payload.data(), .size = payload.size()});
  referred_ += payload.size();
}

bool FrameWriter::end() {
  const std::size_t body_at = header_at_ + kFrameHeaderBytes;
  const std::size_t body = tail_at_ - body_at;
  const std::size_t tail = buffer_.size() - tail_at_ + referred_;
  if (body > limits::kFrameBodyBytes || tail > limits::kFrameTailBytes) {
    drop();
    return false;
  }
  header_.body_bytes = static_cast<std::uint32_t>(body);
  header_.tail_bytes = static_cast<std::uint32_t>(tail);
  const std::string_view own(buffer_);
  if (ranges_.size() == first_range_) {
    header_.content_checksum = checksum(own.substr(body_at), 0);
  } else {
    checksum_.reset();
    // The first range may begin with frames before this one.
    const Part& first = ranges_[first_range_];
    checksum_.add(own.substr(body_at, first.offset + first.size - body_at));
    for (std::size_t i = first_range_ + 1; i < ranges_.size(); ++i)
      checksum_.add(view(ranges_[i]));
    checksum_.add(own.substr(own_begin_));
    header_.content_checksum = checksum_.value();
    // What follows is the next frame's.
    close_own_part();
  }
  encode_frame_header(
      header_, std::span<char, kFrameHeaderBytes>(buffer_.data() + header_at_, kFrameHeaderBytes));
  ++frames_;
  bytes_ += kFrameHeaderBytes + body + tail;
  return true;
}

void FrameWriter::drop() {
  ranges_.resize(first_range_);
  buffer_.resize(header_at_);
  own_begin_ = own_before_;
}

std::string_view FrameWriter::view(const Part& part) const {
  return part.data != nullptr ? std::string_view(part.data, part.size)
                              : std::string_view(buffer_).substr(part.offset, part.size);
}

std::span<const std::string_view> FrameWriter::parts() {
  close_own_part();
  views_.clear();
  for (const Part& part : ranges_)
    views_.push_back(view(part));
  return views_;
}

}  // namespace blixard::wire
