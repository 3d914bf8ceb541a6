#pragma once

// QEMU's monitor protocol (QMP) without any I/O: bytes in, messages out; commands out.
//
// One JSON object a line. What arrives comes from a process that runs a stranger's guest, so the
// length of a line and the depth of its nesting are bounded, and after the first error the decoder
// gives nothing more. QEMU's docs/interop/qmp-spec.txt is the reference.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/result.h"

namespace blixard::qemu {

struct Greeting {
  std::string version;  // "7.2.22"
};
struct Return {
  std::uint64_t id = 0;
  boost::json::value value;
};
struct CommandError {
  std::optional<std::uint64_t> id;  // none: of a line that QEMU could not read
  std::string error_class;          // "GenericError"
  std::string text;
};
struct Event {
  std::string name;  // "SHUTDOWN"
  boost::json::object data;
};
using Message = std::variant<Greeting, Return, CommandError, Event>;

class QmpDecoder {
 public:
  // Bytes as they came. Errors: kDataLoss "qmp_line_too_long".
  Result<void> feed(std::string_view bytes);
  // The next whole message, if there is one. Errors: kDataLoss "qmp_malformed".
  Result<std::optional<Message>> next();

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    // of what next() has not taken
  std::size_t scanned_ = 0;  // no newline before this place
  bool failed_ = false;
};

// One line of the monitor.
Result<Message> parse_qmp_line(std::string_view line);

// {"execute": command, "arguments": arguments, "id": id} and a newline.
std::string encode_command(std::string_view command, const boost::json::object& arguments,
                           std::uint64_t id);

}  // namespace blixard::qemu
