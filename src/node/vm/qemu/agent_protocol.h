#pragma once

// The lines spoken with the guest's agent (docs/formats/guest-agent.md), without any I/O.
//
// The other end is a guest and may send anything: lines have a bound, what is too long or makes no
// sense is skipped and counted, and answers that carry another nonce are told apart by the caller.
// They may be left from a client before us.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace blixard::qemu {

inline constexpr std::uint64_t kAgentVersion = 1;
// The error of an "identity" that is meant for a guest of another name.
inline constexpr std::string_view kAnotherGuest = "another guest";

struct AgentReady {  // said when a host connects
  std::uint64_t version = 0;
  std::string host_name;
};
struct AgentOk {
  std::string nonce;
  std::vector<std::pair<std::string, std::string>> values;
};
struct AgentError {
  std::string nonce;  // "-": of a line that had none
  std::string text;
};
using AgentLine = std::variant<AgentReady, AgentOk, AgentError>;

// Without its newline. Errors: kDataLoss "agent_line_malformed".
Result<AgentLine> parse_agent_line(std::string_view line);

// Who a guest becomes that was loaded: of what is empty it stays what it is. Unless `was` is empty
// it takes it only if it is named so, or `name` already.
struct Identity {
  std::string was;
  std::string name;
  std::string mac;      // "02:00:00:00:00:01"
  std::string machine;  // 32 hex digits, of /etc/machine-id
  WallTime time;
  std::string seed;  // 64 hex digits, into its random generator

  // As the words of the verb "identity".
  [[nodiscard]] std::string words() const;
};

// "<verb> <nonce> <words>\n". Precondition: they are words of ours.
std::string encode_agent_request(std::string_view verb, std::string_view nonce,
                                 std::string_view words = {});

class AgentDecoder {
 public:
  // Takes bytes as they came; their whole and sensible lines are appended to `lines`.
  void feed(std::string_view bytes, std::vector<AgentLine>& lines);
  [[nodiscard]] std::uint64_t skipped() const { return skipped_; }

 private:
  std::string line_;
  bool too_long_ = false;
  std::uint64_t skipped_ = 0;
};

}  // namespace blixard::qemu
