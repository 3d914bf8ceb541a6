#include "node/http/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"
#include "env/failpoint.h"
#include "node/http/server.h"

namespace blixard::http {

Connection::Connection(env::Env env, Handler& handler, const ServerLimits& limits,
                       std::unique_ptr<env::Stream> stream, Transport transport)
    : env_(env),
      handler_(handler),
      limits_(limits),
      stream_(std::move(stream)),
      transport_(transport),
      changed_(env.executor) {}

Connection::~Connection() = default;

env::Task<void> Connection::run() {
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope.spawn(fill());
  co_await serve_requests();
  stream_->close();
  scope.cancel();
  co_await scope.join();
}

void Connection::stop() {
  stopping_ = true;
  if (streaming_ && work_ != nullptr) work_->request();
  changed_.notify_all();
}

env::Task<void> Connection::fill() {
  // A whole head fits, and a piece of body behind it.
  const std::size_t capacity = limits_.header_bytes + 4096;
  std::array<char, 8192> buffer{};
  while (true) {
    while (!discard_ && input_.size() >= capacity) {
      if (!co_await changed_.wait()) co_return;
    }
    const std::size_t room = discard_ ? buffer.size() : capacity - input_.size();
    const auto count =
        co_await stream_->read_some(std::span(buffer).first(std::min(room, buffer.size())));
    if (!count) {
      abandoned_ = true;
      break;
    }
    if (*count == 0) break;
    if (discard_) {
      discarded_ += *count;
      if (discarded_ > limits_.linger_bytes) break;
    } else {
      input_.append(buffer.data(), *count);
    }
    changed_.notify_all();
  }
  peer_ended_ = true;
  changed_.notify_all();
  if (!abandoned_ && !streaming_) {
    ignore(co_await env_.clock.sleep(limits_.half_close_grace), "cancelled with the connection");
  }
  abandoned_ = true;
  if (work_ != nullptr) work_->request();
}

env::Task<void> Connection::serve_requests() {
  while (!stopping_) {
    const auto deadline = env_.clock.monotonic() + limits_.idle_timeout;
    const auto begun =
        co_await env::with_deadline(env_.executor, env_.clock, deadline, wait_for_first_byte());
    if (!begun) co_return;  // idle for too long, gone or stopping: nobody waits for an answer

    RequestParser parser({limits_.header_bytes, limits_.body_bytes});
    auto whole = parse(parser);
    if (whole && !*whole) {
      const auto until = env_.clock.monotonic() + limits_.request_timeout;
      const auto received =
          co_await env::with_deadline(env_.executor, env_.clock, until, receive(parser));
      if (!received) whole = std::unexpected(received.error());
    }
    if (!whole) {
      co_await refuse(whole.error());
      co_return;
    }
    if (!co_await serve_one(parser)) co_return;
  }
}

env::Task<Result<void>> Connection::wait_for_first_byte() {
  while (true) {
    // An empty line before a request is to be ignored (RFC 9112, section 2.2).
    const auto first = input_.find_first_not_of("\r\n");
    if (first != 0) {
      input_.erase(0, first);
      changed_.notify_all();
    }
    if (!input_.empty()) co_return Result<void>();
    if (peer_ended_ || stopping_) co_return fail(Code::kUnavailable, "connection_ended");
    BLX_CO_TRY(co_await changed_.wait());
  }
}

// True: the request is whole.
Result<bool> Connection::parse(RequestParser& parser) {
  BLX_TRY(const std::size_t taken, parser.put(input_));
  const bool is_stuck = taken == 0 && input_.size() >= limits_.header_bytes + 4096;
  if (is_stuck && !parser.done()) return fail(Code::kResourceExhausted, "header_too_large");
  input_.erase(0, taken);
  changed_.notify_all();
  return parser.done();
}

env::Task<Result<void>> Connection::receive(RequestParser& parser) {
  bool continued = false;
  while (true) {
    if (parser.header_done() && parser.expects_continue() && !continued && input_.empty()) {
      continued = true;
      BLX_CO_TRY(co_await write_bytes("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    const std::size_t seen = input_.size();
    while (input_.size() == seen) {
      if (peer_ended_) co_return fail(Code::kUnavailable, "connection_ended");
      BLX_CO_TRY(co_await changed_.wait());
    }
    BLX_CO_TRY(const bool whole, parse(parser));
    if (whole) co_return Result<void>();
  }
}

// False: the connection ends.
env::Task<bool> Connection::serve_one(RequestParser& parser) {
  const bool is_http_10 = parser.is_http_10();
  const bool wants_more = parser.keep_alive();
  Request request = parser.take();
  request.peer = stream_->peer();
  request.transport = transport_;
  env::Cancellation work(co_await env::this_cancellation());
  work_ = &work;
  if (abandoned_) work.request();
  const Response response = co_await handler_.handle(request).under(work);
  const bool keep_alive = wants_more && !stopping_;
  Result<void> sent = fail(Code::kUnavailable, "connection_ended");
  if (!env_.rare.happens(env::RareSite::kHttpClosesBeforeAnswer)) {
    sent = co_await send(response, request.method == Method::kHead, keep_alive, is_http_10);
  }
  work_ = nullptr;
  streaming_ = false;
  const bool goes_on = keep_alive && framing_ != Framing::kUntilClose;
  co_return sent.has_value() && goes_on;
}

env::Task<Result<void>> Connection::send(const Response& response, bool is_head, bool keep_alive,
                                         bool is_http_10) {
  framing_ = Framing::kLength;
  if (response.stream) framing_ = is_http_10 ? Framing::kUntilClose : Framing::kChunked;
  const ResponseForm form{.framing = framing_,
                          .keep_alive = keep_alive && framing_ != Framing::kUntilClose,
                          .http_10 = is_http_10,
                          .with_body = !is_head,
                          .date = env_.clock.wall()};
  BLX_CO_FAILPOINT(env_, "http::response", kUnavailable, "connection_ended");
  BLX_CO_TRY(const std::string bytes, encode_response(response, form));
  BLX_CO_TRY(co_await write_bytes(bytes));
  if (response.stream && !is_head) BLX_CO_TRY(co_await send_stream(response, framing_));
  co_return Result<void>();
}

env::Task<Result<void>> Connection::send_stream(const Response& response, Framing framing) {
  streaming_ = true;
  // stop() may have come while the handler was at work.
  if (stopping_ || peer_ended_) co_return fail(Code::kUnavailable, "stopping");
  BLX_CO_TRY(co_await response.stream(*this).under(*work_));
  if (framing == Framing::kChunked) BLX_CO_TRY(co_await write_bytes(last_chunk()));
  co_return Result<void>();
}

env::Task<Result<void>> Connection::write(std::string_view piece) {
  if (piece.empty()) co_return Result<void>();
  if (framing_ == Framing::kUntilClose) co_return co_await write_bytes(piece);
  co_return co_await write_bytes(encode_chunk(piece));
}

env::Task<Result<void>> Connection::write_bytes(std::string_view bytes) {
  const auto deadline = env_.clock.monotonic() + limits_.write_timeout;
  co_return co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                        stream_->write_all(bytes));
}

env::Task<void> Connection::refuse(const Error& error) {
  Error told = error;
  if (error.code() == Code::kDeadlineExceeded) {
    told = Error(Code::kDeadlineExceeded, "request_timeout");
  }
  if (told.code() == Code::kUnavailable || told.code() == Code::kCancelled) co_return;
  const Problem problem = refusal(told);
  handler_.refused(problem.status);
  if (!co_await send(problem_response(problem), false, false, false)) co_return;
  co_await linger();
}

// Reads on for a moment: closing while the peer still sends would reset the connection and take
// the answer away from it.
env::Task<void> Connection::linger() {
  discard_ = true;
  changed_.notify_all();
  const auto ended = [](Connection& self) -> env::Task<Result<void>> {
    while (!self.peer_ended_)
      BLX_CO_TRY(co_await self.changed_.wait());
    co_return Result<void>();
  };
  const auto deadline = env_.clock.monotonic() + limits_.linger_timeout;
  ignore(co_await env::with_deadline(env_.executor, env_.clock, deadline, ended(*this)),
         "the connection ends either way");
}

}  // namespace blixard::http
