#include "node/http/client.h"

#include <span>
#include <utility>

#include "base/unwritten.h"
#include "env/sync.h"
#include "node/http/codec.h"

namespace blixard::http {
namespace {

constexpr std::size_t kReadBytes = 16 * 1024;

// Feeds the parser what has arrived and reads more, until the head is there, then until the
// caller's `until` says enough.
class AnswerReader {
 public:
  AnswerReader(env::Stream& stream, ParserLimits limits, bool is_head)
      : stream_(stream), parser_(limits, is_head) {}

  [[nodiscard]] ResponseParser& parser() { return parser_; }

  // One read and what it brings.
  env::Task<Result<void>> advance() {
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
    while (!input_.empty() && !parser_.done()) {
      BLX_CO_TRY(const std::size_t taken, parser_.put(input_));
      input_.erase(0, taken);
      if (taken == 0) break;
    }
    co_return Result<void>();
  }

 private:
  env::Stream& stream_;
  ResponseParser parser_;
  std::string input_;
};

env::Task<Result<void>> read_whole(AnswerReader& reader) {
  while (!reader.parser().done())
    BLX_CO_TRY(co_await reader.advance());
  co_return Result<void>();
}

bool is_success(int status) { return status >= 200 && status < 300; }

}  // namespace

env::Task<Result<std::unique_ptr<env::Stream>>> Client::open(const ClientRequest& request,
                                                             Instant deadline) {
  const std::string host =
      server_.kind == env::Endpoint::Kind::kUnix ? "localhost" : server_.text();
  BLX_CO_TRY(const std::string bytes, encode_request(request, host));
  BLX_CO_TRY(auto stream, co_await env_.network.dial(server_, deadline));
  BLX_CO_TRY(
      co_await env::with_deadline(env_.executor, env_.clock, deadline, stream->write_all(bytes)));
  co_return std::move(stream);
}

env::Task<Result<Answer>> Client::exchange(ClientRequest request, Instant deadline) {
  BLX_CO_TRY(auto stream, co_await open(request, deadline));
  AnswerReader reader(*stream, {limits::kHttpHeaderBytes, body_bytes_max_},
                      request.method == Method::kHead);
  BLX_CO_TRY(co_await read_whole(reader));
  ResponseHead head = reader.parser().head();
  co_return Answer{head.status, std::move(head.headers), reader.parser().take_body()};
}

env::Task<Result<Answer>> Client::send(ClientRequest request, Instant deadline) {
  co_return co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                        exchange(std::move(request), deadline));
}

env::Task<Result<Answer>> Client::stream(ClientRequest request, Duration quiet_max,
                                         std::function<bool(std::string_view)> piece) {
  const auto patience = [&] { return env_.clock.monotonic() + quiet_max; };
  BLX_CO_TRY(auto stream, co_await open(request, patience()));
  // The pieces are taken out as they come, so the limit on a body does not bind a stream.
  AnswerReader reader(*stream, {limits::kHttpHeaderBytes, std::size_t{1} << 62}, false);
  Answer answer;
  while (true) {
    BLX_CO_TRY(
        co_await env::with_deadline(env_.executor, env_.clock, patience(), reader.advance()));
    ResponseParser& parser = reader.parser();
    if (!parser.header_done()) continue;
    if (answer.status == 0) {
      ResponseHead head = parser.head();
      answer.status = head.status;
      answer.headers = std::move(head.headers);
    }
    const std::string body = parser.take_body();
    if (is_success(answer.status)) {
      if (!body.empty() && !piece(body)) break;
    } else {
      answer.body += body;
      if (answer.body.size() > body_bytes_max_) {
        co_return fail(Code::kResourceExhausted, "response_too_large");
      }
    }
    if (parser.done()) break;
  }
  co_return answer;
}

}  // namespace blixard::http
