#include "node/http/answer_reader.h"

#include <span>

#include "base/unwritten.h"

namespace blixard::http {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

}  // namespace

env::Task<Result<void>> AnswerReader::advance() {
  // Behind what is still to be parsed.
  const std::size_t before = input_.size();
  resize_unwritten(input_, before + kReadBytes);
  const auto read = co_await stream_.read_some(std::span(input_).subspan(before));
  input_.resize(before + read.value_or(0));
  BLX_CO_TRY(const std::size_t count, read);
  if (count == 0) {
    if (!parser_.header_done()) co_return fail(Code::kUnavailable, "connection_lost");
    co_return parser_.put_end();
  }
  begun_ = true;
  while (!input_.empty() && !parser_.done()) {
    BLX_CO_TRY(const std::size_t taken, parser_.put(input_));
    input_.erase(0, taken);
    if (taken == 0) break;
  }
  co_return Result<void>();
}

env::Task<Result<void>> AnswerReader::read_whole() {
  while (!parser_.done())
    BLX_CO_TRY(co_await advance());
  co_return Result<void>();
}

}  // namespace blixard::http
