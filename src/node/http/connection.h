#pragma once

// One connection of the server: reads requests, has them handled one after the other, answers.
//
// One task reads all the time into a bounded buffer, another takes requests out of it. So a
// pipelined request waits its turn, a client that goes away while its request is being handled is
// noticed (the handler is then cancelled: a stream at once, others after a grace, because a client
// may end its side and still want the answer), and no read is ever cut short in the middle of
// bytes.

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/http/codec.h"
#include "node/http/message.h"

namespace blixard::http {

struct ServerLimits;

class Connection final : private BodyWriter {
 public:
  Connection(env::Env env, Handler& handler, const ServerLimits& limits,
             std::unique_ptr<env::Stream> stream, Transport transport);
  ~Connection() override;

  // Serves until either side ends it.
  env::Task<void> run();

  // No further request is begun; an idle connection and one that streams end at once.
  void stop();

 private:
  env::Task<void> fill();
  env::Task<void> serve_requests();
  env::Task<Result<void>> wait_for_first_byte();
  env::Task<Result<void>> receive(RequestParser& parser);
  Result<bool> parse(RequestParser& parser);
  env::Task<bool> serve_one(RequestParser& parser);
  env::Task<Result<void>> send(const Response& response, bool is_head, bool keep_alive,
                               bool is_http_10);
  env::Task<Result<void>> send_stream(const Response& response, Framing framing);
  env::Task<void> refuse(const Error& error);
  env::Task<void> linger();
  env::Task<Result<void>> write(std::string_view piece) override;
  env::Task<Result<void>> write_bytes(std::string_view bytes);

  env::Env env_;
  Handler& handler_;
  const ServerLimits& limits_;
  std::unique_ptr<env::Stream> stream_;
  Transport transport_;

  std::string input_;
  bool peer_ended_ = false;
  bool discard_ = false;  // lingering: what comes is thrown away
  std::size_t discarded_ = 0;
  bool abandoned_ = false;  // nobody waits for answers any more
  bool stopping_ = false;
  bool streaming_ = false;
  Framing framing_ = Framing::kLength;
  env::Cancellation* work_ = nullptr;  // of the request being handled
  env::Signal changed_;                // of the fields above
};

}  // namespace blixard::http
