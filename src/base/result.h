#pragma once

// Result<T>: a value or an Error. Nothing of ours throws; what can fail says so in its type.
//
// An Error is a small value: a code (the gRPC canonical set: it tells a caller how to act), a
// reason (a static, stable word such as "vm_not_found" that clients may match on) and, where an
// edge has time for it, a detail for humans. Making one without a detail does not allocate, so
// error paths in hot code cost what success costs.
//
// BLX_TRY returns early from a function, BLX_CO_TRY from a coroutine:
//
//   BLX_TRY(open_segment(index));
//   BLX_CO_TRY(auto file, co_await disk.open(path, env::OpenMode::kRead));

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace blixard {

// What a caller can do about it decides the code, not where it happened.
enum class Code : std::uint8_t {
  kCancelled,         // the caller, or the scope around it, gave up
  kInvalidArgument,   // wrong whatever the state is: correct the request
  kDeadlineExceeded,  // may or may not have happened
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kUnauthenticated,
  kResourceExhausted,   // a limit or a full disk: free something, then try again
  kFailedPrecondition,  // wrong in this state: change the state first
  kAborted,             // lost a race: read again, then decide
  kUnimplemented,
  kInternal,     // a fault of ours
  kUnavailable,  // passing: try again with the same request id
  kDataLoss,     // what is on disk or came over the wire is damaged
};

std::string_view code_name(Code code);  // "not_found"

class [[nodiscard]] Error {
 public:
  // `reason` must be a string literal.
  constexpr Error(Code code, const char* reason) : code_(code), reason_(reason) {}
  Error(Code code, const char* reason, std::string detail)
      : code_(code),
        reason_(reason),
        detail_(std::make_shared<const std::string>(std::move(detail))) {}

  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] std::string_view reason() const { return reason_; }
  [[nodiscard]] std::string_view detail() const {
    return detail_ ? std::string_view(*detail_) : std::string_view();
  }
  [[nodiscard]] std::string message() const;  // "vm_not_found: no VM is named web"

 private:
  Code code_;
  const char* reason_;
  std::shared_ptr<const std::string> detail_;
};

template <class T = void>
using Result = std::expected<T, Error>;

// `return fail(Code::kNotFound, "vm_not_found", name);`
template <class... Args>
[[nodiscard]] std::unexpected<Error> fail(Code code, const char* reason, Args&&... detail) {
  return std::unexpected<Error>(std::in_place, code, reason, std::forward<Args>(detail)...);
}

// Dropping an error on purpose; says why, and can be searched for.
template <class T>
void ignore(const Result<T>&, const char* /*why*/) {}

}  // namespace blixard

#define BLX_CONCAT_(a, b) a##b
#define BLX_CONCAT(a, b) BLX_CONCAT_(a, b)
#define BLX_PICK_(_1, _2, name, ...) name
#define BLX_TRY_IMPL_(leave, temp, declaration, ...)         \
  auto temp = (__VA_ARGS__);                                 \
  if (!temp) leave std::unexpected(std::move(temp).error()); \
  declaration = std::move(*temp)
#define BLX_TRY_1_(leave, expression)                       \
  do {                                                      \
    if (auto blx_result = (expression); !blx_result)        \
      leave std::unexpected(std::move(blx_result).error()); \
  } while (false)
#define BLX_TRY_2_(leave, declaration, expression) \
  BLX_TRY_IMPL_(leave, BLX_CONCAT(blx_result_, __LINE__), declaration, expression)

// BLX_TRY(expression); or BLX_TRY(declaration, expression);
#define BLX_TRY(...) BLX_PICK_(__VA_ARGS__, BLX_TRY_2_, BLX_TRY_1_)(return, __VA_ARGS__)
#define BLX_CO_TRY(...) BLX_PICK_(__VA_ARGS__, BLX_TRY_2_, BLX_TRY_1_)(co_return, __VA_ARGS__)
