#pragma once

// What a history file says, before it is known what the operations mean: events of processes, and
// the calls that they pair up to. Formats make these; interpret.h gives them to a model.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "linearizability/form.h"
#include "linearizability/history.h"

namespace blixard::linearizability {

struct Record {
  enum class Type : std::uint8_t {
    kInvoke,
    kOk,    // it happened, and this was the answer
    kFail,  // it did not happen
    kInfo,  // it may happen yet
  };
  Type type = Type::kInvoke;
  std::uint64_t line = 0;
  std::uint64_t process = 0;
  std::string function;
  std::string key;  // "" where there is only one object
  Form value;       // the argument, or the answer
  std::string error;
};

struct Call {
  std::uint64_t process = 0;
  std::string function;
  std::string key;
  Form argument;
  std::optional<Form> answer;  // none exactly if it has no end
  std::string error;           // the answer's
  std::uint64_t invoked = 0;   // positions
  std::uint64_t returned = kNever;
  std::uint64_t line = 0;  // of the invocation
  std::uint64_t end_line = 0;
};

// How a format means what it leaves open.
struct Conventions {
  std::string initial = "nil";  // of a register
  bool nil_is_absent = false;   // reading nil means that nothing was there; else it says nothing
};

struct RecordedHistory {
  std::vector<Call> calls;
  Conventions conventions;
};

// Pairs invocations with their ends. A failed call is dropped.
class Pairing {
 public:
  // A lenient one takes a second invocation of a process to mean that the first has no end, as is
  // right where lines may be missing; and passes over ends of nothing, unless they say ok.
  enum class Mode : std::uint8_t { kStrict, kLenient };
  explicit Pairing(Mode mode) : mode_(mode) {}

  // Errors: kInvalidArgument "history_invalid" with the line, kResourceExhausted
  // "history_too_long".
  Result<void> add(Record record);
  // What was added, in order of the invocations.
  std::vector<Call> take();

 private:
  Mode mode_;
  std::uint64_t position_ = 0;
  std::vector<Call> calls_;
  std::vector<bool> dropped_;
  std::map<std::uint64_t, std::size_t> open_;  // by process
};

// "line 12: what is wrong". kInvalidArgument "history_invalid".
std::unexpected<Error> bad_line(std::uint64_t line, std::string_view what);

// Of "invoke", "ok", "fail", "info".
std::optional<Record::Type> parse_type(std::string_view word);

// A whole number without sign. Errors: none given, so that the caller can say where.
std::optional<std::uint64_t> parse_whole(std::string_view text);

}  // namespace blixard::linearizability
