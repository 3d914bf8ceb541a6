#include "node/http/client.h"

#include <utility>

#include "env/sync.h"
#include "node/http/answer_reader.h"
#include "node/http/codec.h"

namespace blixard::http {
namespace {

bool is_success(int status) { return status >= 200 && status < 300; }

}  // namespace

env::Task<Result<std::unique_ptr<env::Stream>>> Client::open(const ClientRequest& request,
                                                             Instant deadline) {
  BLX_CO_TRY(const std::string bytes, encode_request(request, server_, Keeping::kEnds));
  BLX_CO_TRY(auto stream, co_await env_.network.dial(server_, deadline));
  BLX_CO_TRY(
      co_await env::with_deadline(env_.executor, env_.clock, deadline, stream->write_all(bytes)));
  co_return std::move(stream);
}

env::Task<Result<Answer>> Client::exchange(ClientRequest request, Instant deadline) {
  BLX_CO_TRY(auto stream, co_await open(request, deadline));
  AnswerReader reader(*stream, {limits::kHttpHeaderBytes, body_bytes_max_},
                      request.method == Method::kHead);
  BLX_CO_TRY(co_await reader.read_whole());
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
