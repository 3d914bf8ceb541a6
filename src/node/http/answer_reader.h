#pragma once

// Reads one answer from a stream, for the clients: feeds the parser what has arrived and reads
// more, until the head is there, then until the caller has enough.

#include <string>

#include "base/result.h"
#include "env/network.h"
#include "env/task.h"
#include "node/http/codec.h"

namespace blixard::http {

class AnswerReader {
 public:
  AnswerReader(env::Stream& stream, ParserLimits limits, bool is_head)
      : stream_(stream), parser_(limits, is_head) {}

  [[nodiscard]] ResponseParser& parser() { return parser_; }

  // One read and what it brings. Errors: the stream's, the parser's, kUnavailable
  // "connection_lost" when the peer ends before the head is whole.
  env::Task<Result<void>> advance();
  // Until the answer is whole.
  env::Task<Result<void>> read_whole();

  // Whether the peer has sent anything.
  [[nodiscard]] bool begun() const { return begun_; }
  // Whether the next answer may come on this connection. Precondition: the parser is done.
  [[nodiscard]] bool leaves_connection() const { return parser_.keep_alive() && input_.empty(); }

 private:
  env::Stream& stream_;
  ResponseParser parser_;
  std::string input_;
  bool begun_ = false;
};

}  // namespace blixard::http
