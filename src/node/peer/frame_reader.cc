#include "node/peer/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "base/unwritten.h"
#include "observe/allocations.h"

namespace blixard::peer {

namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
static_assert(kReadBytes >= wire::kFrameHeaderBytes + limits::kFrameBodyBytes);

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "peer_closed"); }

}  // namespace

FrameReader::FrameReader(env::Stream& stream, std::size_t tail_max)
    : stream_(stream), tail_max_(tail_max) {
  resize_unwritten(buffer_, kReadBytes);
}

env::Task<Result<void>> FrameReader::fill(std::size_t count) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, unread());
    bytes_copied_ += unread();
    end_ -= begin_;
    begin_ = 0;
  }
  while (unread() < count) {
    BLX_CO_TRY(const std::size_t got, co_await stream_.read_some(std::span(buffer_).subspan(end_)));
    if (got == 0) co_return closed();
    end_ += got;
  }
  co_return Result<void>();
}

env::Task<Result<Payload>> FrameReader::read_tail(std::string_view first, std::size_t bytes) {
  auto tail = std::make_shared<std::string>();
  resize_unwritten(*tail, bytes);
  std::memcpy(tail->data(), first.data(), first.size());
  bytes_copied_ += first.size();
  // The rest goes where it belongs, not through the buffer.
  for (std::size_t got = first.size(); got < bytes;) {
    BLX_CO_TRY(const std::size_t count, co_await stream_.read_some(std::span(*tail).subspan(got)));
    if (count == 0) co_return closed();
    got += count;
  }
  const std::string_view all(*tail);
  co_return Payload(std::move(tail), all);
}

env::Task<Result<wire::Message>> FrameReader::next() {
  if (unread() < wire::kFrameHeaderBytes) BLX_CO_TRY(co_await fill(wire::kFrameHeaderBytes));
  BLX_CO_TRY(const wire::FrameHeader header,
             wire::decode_frame_header({buffer_.data() + begin_, wire::kFrameHeaderBytes}));
  if (header.tail_bytes > tail_max_) co_return fail(Code::kResourceExhausted, "frame_too_large");
  begin_ += wire::kFrameHeaderBytes;
  if (unread() < header.body_bytes) BLX_CO_TRY(co_await fill(header.body_bytes));
  // Stays where it is until the next fill().
  const std::string_view body(buffer_.data() + begin_, header.body_bytes);
  begin_ += header.body_bytes;
  Payload tail;
  if (header.tail_bytes > 0) {
    const std::size_t here = std::min<std::size_t>(unread(), header.tail_bytes);
    BLX_CO_TRY(tail, co_await read_tail({buffer_.data() + begin_, here}, header.tail_bytes));
    begin_ += here;
  }
  ++frames_;
  bytes_ += wire::kFrameHeaderBytes + header.body_bytes + header.tail_bytes;
  BLX_CO_TRY(wire::check_frame_content(header, body, tail.view()));
  const observe::AllocationTag tag(observe::Subsystem::kWire);
  co_return wire::decode_message(header, body, tail);
}

bool is_violation(const Error& error) {
  return error.code() == Code::kDataLoss || error.code() == Code::kInvalidArgument ||
         error.code() == Code::kResourceExhausted || error.code() == Code::kUnimplemented;
}

}  // namespace blixard::peer
