#pragma once

// Failpoints: named places of the product where an operator or a test makes a chosen fault happen,
// in a real build. After the `fail` library of TiKV and pingcap/failpoint (failpoint_actions.h says
// how actions are written).
//
//   BLX_FAILPOINT("storage::read", kUnavailable, "io_error");           // in a Result function
//   if (BLX_FAILPOINT_FIRES("raft::forge_term")) message.term = ...;    // where behaviour changes
//   BLX_CO_FAILPOINT(env_, "vm::create", kUnavailable, "spawn_failed"); // env/failpoint.h
//
// Not to be mixed up with its neighbours:
//   env/rare.h   rare-event points: what is allowed but seldom, made often, at random, in
//   simulation
//                and nowhere else; the program has to be right all the same.
//   base/bug.h   the bug zoo: faults of our own code put back, to see that the judges catch them.
//   failpoints   faults of the world around us (or of another node), by name, exactly when somebody
//                asks for them. What a site does must be what such a fault really does: it takes
//                the way that the caller handles anyway.
//
// A build has them when BLX_FAILPOINTS is defined (the CMake option BLIXARD_FAILPOINTS); in others
// the macros are nothing and leave no byte behind. A site that is not armed costs one relaxed load
// of its own flag and a branch that is not taken.
//
// Sites are static objects whose addresses stand in a section of their own, so all of them are
// known without having run. One name is one site; a site stands in a .cc file, in no template and
// no inline function. Arming and what waits at a site belong to the node's one thread; passing a
// site may happen on any.

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "observe/failpoint_actions.h"

namespace blixard::observe {

enum class FailpointKind : std::uint8_t {
  kError,    // an error comes at once, or a panic
  kWaiting,  // stands in a coroutine: may delay and pause, too
  kTrigger,  // something other than an error: the documentation says what
};
std::string_view failpoint_kind_name(FailpointKind kind);

// Who waits at a site until it is disarmed or armed anew.
class FailpointWaiter {
 public:
  virtual void changed() = 0;  // called once, already removed

 protected:
  ~FailpointWaiter() = default;

 private:
  friend class Failpoint;
  friend struct FailpointRegistry;
  FailpointWaiter* next_ = nullptr;
};

class Failpoint {
 public:
  // `name` and `reason` are literals. The error is what "return" gives; a trigger has none.
  constexpr Failpoint(const char* name, FailpointKind kind, Code code = Code::kUnavailable,
                      const char* reason = "failpoint")
      : name_(name), reason_(reason), kind_(kind), code_(code) {}
  Failpoint(const Failpoint&) = delete;
  Failpoint& operator=(const Failpoint&) = delete;

  [[nodiscard]] bool armed() const { return armed_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] FailpointKind kind() const { return kind_; }

  // What this passage does. Only for sites that are armed; a panic does not return. Nothing here
  // allocates: an error has a code and a reason.
  struct Passage {
    std::optional<Error> error;
    Duration delay{};
    bool pauses = false;
    bool triggers = false;
  };
  [[gnu::cold]] Passage pass();
  [[gnu::cold]] std::optional<Error> error() { return pass().error; }
  // Keeps the caller's registers, so that the way past the call need not.
  [[gnu::cold, gnu::noinline, clang::preserve_most]] bool fires();

  void add(FailpointWaiter& waiter);
  void remove(FailpointWaiter& waiter);

 private:
  friend struct FailpointRegistry;
  struct Armed;

  const char* name_;
  const char* reason_;
  FailpointKind kind_;
  Code code_;
  std::atomic<bool> armed_{false};
  Armed* plan_ = nullptr;
  std::uint64_t passed_ = 0;
  std::uint64_t fired_ = 0;
  FailpointWaiter* waiting_ = nullptr;
};

struct FailpointStatus {
  std::string_view name;
  FailpointKind kind = FailpointKind::kError;
  std::string actions;        // of what is left of them; empty: not armed
  std::uint64_t seed = 0;     // of the chance in them
  std::uint64_t passed = 0;   // while it was armed
  std::uint64_t fired = 0;    // passages that did something, since it was armed last
  std::uint64_t waiting = 0;  // pauses right now
};

inline constexpr std::uint64_t kFailpointSeed = 1;
inline constexpr std::size_t kFailpointListBytes = std::size_t{16} * 1024;

// Whether this program has any.
[[nodiscard]] bool failpoints_built();
[[nodiscard]] std::vector<FailpointStatus> failpoints();  // by name
// Errors: kNotFound "failpoint_unknown" with the names that are near.
[[nodiscard]] Result<FailpointStatus> failpoint(std::string_view name);

// Replaces what was there; "off" alone disarms. Errors: kUnimplemented "failpoints_not_built",
// kNotFound "failpoint_unknown", kInvalidArgument "failpoint_invalid" (also: an action that this
// kind of site does not know).
Result<void> arm_failpoint(std::string_view name, std::string_view actions,
                           std::uint64_t seed = kFailpointSeed);
// Several, "name=actions;name=actions", all of them or none; "seed=7" counts for what follows.
Result<void> arm_failpoints(std::string_view list);
// Errors: kNotFound "failpoint_unknown". Fine if it was not armed.
Result<void> disarm_failpoint(std::string_view name);
void disarm_failpoints();

// For tests: armed while it lives. A name or action that is wrong ends the program.
class ScopedFailpoint {
 public:
  ScopedFailpoint(std::string_view name, std::string_view actions,
                  std::uint64_t seed = kFailpointSeed);
  ~ScopedFailpoint();
  ScopedFailpoint(const ScopedFailpoint&) = delete;
  ScopedFailpoint& operator=(const ScopedFailpoint&) = delete;

  [[nodiscard]] std::uint64_t fired() const;
  [[nodiscard]] std::uint64_t passed() const;
  [[nodiscard]] std::uint64_t waiting() const;
  void rearm(std::string_view actions);
  void disarm();

 private:
  std::string name_;
};

}  // namespace blixard::observe

#ifdef BLX_FAILPOINTS

// A pointer to the site if it is armed, else null.
#define BLX_FAILPOINT_ARMED_(...)                                     \
  ([]() -> ::blixard::observe::Failpoint* {                           \
    static constinit ::blixard::observe::Failpoint site(__VA_ARGS__); \
    [[gnu::section("blx_failpoints"), gnu::used, gnu::retain]]        \
    static constinit ::blixard::observe::Failpoint* entry = &site;    \
    return __builtin_expect(site.armed(), false) ? &site : nullptr;   \
  }())

// The error of a passage, for places that do something with it: std::optional<Error>.
#define BLX_FAILPOINT_ERROR(name, code, reason)                                            \
  ([]() -> ::std::optional<::blixard::Error> {                                             \
    auto* blx_site = BLX_FAILPOINT_ARMED_(name, ::blixard::observe::FailpointKind::kError, \
                                          ::blixard::Code::code, reason);                  \
    return blx_site == nullptr ? ::std::nullopt : blx_site->error();                       \
  }())
// Returns it.
#define BLX_FAILPOINT(name, code, reason)                                                        \
  do {                                                                                           \
    if (auto* blx_site = BLX_FAILPOINT_ARMED_(name, ::blixard::observe::FailpointKind::kError,   \
                                              ::blixard::Code::code, reason)) [[unlikely]] {     \
      if (auto blx_error = blx_site->error()) return ::std::unexpected(*::std::move(blx_error)); \
    }                                                                                            \
  } while (false)
#define BLX_FAILPOINT_FIRES(name)                                                             \
  ([]() -> bool {                                                                             \
    auto* blx_site = BLX_FAILPOINT_ARMED_(name, ::blixard::observe::FailpointKind::kTrigger); \
    return blx_site != nullptr && blx_site->fires();                                          \
  }())

#else

#define BLX_FAILPOINT_ERROR(name, code, reason) (::std::optional<::blixard::Error>())
#define BLX_FAILPOINT(name, code, reason) static_cast<void>(0)
#define BLX_FAILPOINT_FIRES(name) (false)

#endif
