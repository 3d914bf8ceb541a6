#include "observe/failpoint.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/edit_distance.h"

// The bounds of the section with all sites, made by the linker; both null in a program without any.
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names
extern "C" {
[[gnu::weak,
  gnu::visibility("hidden")]] extern blixard::observe::Failpoint* __start_blx_failpoints[];
[[gnu::weak,
  gnu::visibility("hidden")]] extern blixard::observe::Failpoint* __stop_blx_failpoints[];
}

namespace blixard::observe {
namespace {

constexpr std::size_t kNearNames = 3;
constexpr std::size_t kListItemsMax = 256;

std::span<Failpoint* const> all_sites() {
  Failpoint* const* const begin = __start_blx_failpoints;
  Failpoint* const* const end = __stop_blx_failpoints;
  return begin == nullptr ? std::span<Failpoint* const>() : std::span(begin, end);
}
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

// Sites are armed on one thread and may be passed on others, seldom and briefly.
std::atomic_flag lock = ATOMIC_FLAG_INIT;
class Locked {
 public:
  Locked() {
    while (lock.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Locked() { lock.clear(std::memory_order_release); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
};

std::unexpected<Error> unknown(std::string_view name) {
  constexpr std::size_t kNameBytes = 63;
  name = name.substr(0, kNameBytes);
  std::vector<std::pair<std::size_t, std::string_view>> near;
  for (const Failpoint* site : all_sites()) {
    const std::size_t apart = edit_distance(name, site->name());
    const bool is_part = !name.empty() && site->name().find(name) != std::string_view::npos;
    if (is_part || apart <= name.size() / 3) near.emplace_back(is_part ? 0 : apart, site->name());
  }
  std::ranges::sort(near);
  near.resize(std::min(near.size(), kNearNames));
  std::string text = fmt::format("there is no failpoint {}", name);
  for (std::size_t i = 0; i < near.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "; near it: " : ", ", near[i].second);
  return fail(Code::kNotFound, "failpoint_unknown", std::move(text));
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \n") - first + 1);
}

Result<void> check_kind(const Failpoint& site, const FailpointActions& actions) {
  for (const FailpointStep& step : actions.steps()) {
    const auto refuse = [&](std::string_view why) -> std::unexpected<Error> {
      return fail(
          Code::kInvalidArgument, "failpoint_invalid",
          fmt::format("{} cannot {}: {}", site.name(), failpoint_action_name(step.action), why));
    };
    switch (step.action) {
      case FailpointAction::kDelay:
      case FailpointAction::kPause:
        if (site.kind() != FailpointKind::kWaiting) return refuse("nothing can wait there");
        break;
      case FailpointAction::kError:
        if (site.kind() == FailpointKind::kTrigger) return refuse("it has no error, use trigger");
        break;
      case FailpointAction::kTrigger:
        if (site.kind() != FailpointKind::kTrigger) return refuse("it has an error, use error");
        break;
      case FailpointAction::kOff:
      case FailpointAction::kReturn:
      case FailpointAction::kPanic:
        break;
    }
  }
  return {};
}

bool does_nothing(const FailpointActions& actions) {
  return std::ranges::all_of(actions.steps(), [](const FailpointStep& step) {
    return step.action == FailpointAction::kOff;
  });
}

struct Item {
  std::string_view name;
  std::string_view actions;
  std::uint64_t seed = kFailpointSeed;
};

Result<std::vector<Item>> split(std::string_view list) {
  if (list.size() > kFailpointListBytes) {
    return fail(Code::kInvalidArgument, "failpoint_invalid", "the list is too long");
  }
  std::vector<Item> items;
  std::uint64_t seed = kFailpointSeed;
  while (!list.empty()) {
    const auto end = std::min(list.find(';'), list.size());
    const std::string_view item = trimmed(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    if (item.empty()) continue;
    const auto equals = item.find('=');
    if (equals == std::string_view::npos || items.size() == kListItemsMax) {
      return fail(Code::kInvalidArgument, "failpoint_invalid",
                  equals == std::string_view::npos ? "expected name=actions;name=actions"
                                                   : "there are too many failpoints");
    }
    const std::string_view name = trimmed(item.substr(0, equals));
    const std::string_view value = trimmed(item.substr(equals + 1));
    if (name != "seed") {
      items.push_back({name, value, seed});
      continue;
    }
    const auto [stopped, error] = std::from_chars(value.data(), value.data() + value.size(), seed);
    if (error != std::errc() || stopped != value.data() + value.size()) {
      return fail(Code::kInvalidArgument, "failpoint_invalid", "a seed is a number");
    }
  }
  return items;
}

}  // namespace

struct Failpoint::Armed {
  FailpointActions actions;
  std::uint64_t seed = kFailpointSeed;
};

// What may look into sites.
struct FailpointRegistry {
  static Failpoint* find(std::string_view name) {
    const auto sites = all_sites();
    const auto found = std::ranges::find(sites, name, &Failpoint::name);
    return found == sites.end() ? nullptr : *found;
  }

  // An empty plan disarms.
  static void set(Failpoint& site, std::unique_ptr<Failpoint::Armed> plan) {
    FailpointWaiter* waiting = nullptr;
    {
      const Locked locked;
      const bool arms = plan != nullptr;
      std::unique_ptr<Failpoint::Armed> old(std::exchange(site.plan_, plan.release()));
      if (arms) site.passed_ = site.fired_ = 0;
      site.armed_.store(arms, std::memory_order_relaxed);
      plan = std::move(old);
      waiting = std::exchange(site.waiting_, nullptr);
    }
    while (waiting != nullptr)
      std::exchange(waiting, waiting->next_)->changed();
  }

  static FailpointStatus status(const Failpoint& site) {
    const Locked locked;
    FailpointStatus status{.name = site.name_,
                           .kind = site.kind_,
                           .actions = {},
                           .passed = site.passed_,
                           .fired = site.fired_};
    if (site.plan_ != nullptr) {
      status.actions = site.plan_->actions.text();
      status.seed = site.plan_->seed;
    }
    for (const auto* waiter = site.waiting_; waiter != nullptr; waiter = waiter->next_)
      ++status.waiting;
    return status;
  }

  struct Change {
    Failpoint* site = nullptr;
    std::unique_ptr<Failpoint::Armed> plan;
  };
  static Result<Change> prepare(std::string_view name, std::string_view text, std::uint64_t seed) {
    if (!failpoints_built()) {
      return fail(Code::kUnimplemented, "failpoints_not_built",
                  "this program was built without failpoints (BLIXARD_FAILPOINTS)");
    }
    Failpoint* site = find(name);
    if (site == nullptr) return unknown(name);
    BLX_TRY(FailpointActions actions, FailpointActions::parse(text));
    BLX_TRY(check_kind(*site, actions));
    if (does_nothing(actions)) return Change{site, nullptr};
    actions.set_seed(seed);
    return Change{site, std::make_unique<Failpoint::Armed>(std::move(actions), seed)};
  }
};

Failpoint::Passage Failpoint::pass() {
  FailpointStep step;
  {
    const Locked locked;
    if (plan_ == nullptr) return {};
    ++passed_;
    step = plan_->actions.next();
    if (step.action == FailpointAction::kOff) return {};
    ++fired_;
  }
  if (step.action == FailpointAction::kReturn) {
    step.action =
        kind_ == FailpointKind::kTrigger ? FailpointAction::kTrigger : FailpointAction::kError;
  }
  Passage passage;
  switch (step.action) {
    case FailpointAction::kError:
      passage.error.emplace(step.code.value_or(code_),
                            step.reason.empty() ? reason_ : step.reason.data());
      break;
    case FailpointAction::kPanic:
      assertion_failed(fmt::format("failpoint {} says panic", name_).c_str(), __FILE__, __LINE__);
    case FailpointAction::kDelay:
      passage.delay = step.delay;
      break;
    case FailpointAction::kPause:
      passage.pauses = true;
      break;
    default:
      passage.triggers = true;
  }
  return passage;
}

bool Failpoint::fires() { return pass().triggers; }

void Failpoint::add(FailpointWaiter& waiter) {
  const Locked locked;
  waiter.next_ = std::exchange(waiting_, &waiter);
}

void Failpoint::remove(FailpointWaiter& waiter) {
  const Locked locked;
  for (FailpointWaiter** at = &waiting_; *at != nullptr; at = &(*at)->next_) {
    if (*at != &waiter) continue;
    *at = waiter.next_;
    return;
  }
}

std::string_view failpoint_kind_name(FailpointKind kind) {
  switch (kind) {
    case FailpointKind::kError:
      return "error";
    case FailpointKind::kWaiting:
      return "waiting";
    case FailpointKind::kTrigger:
      break;
  }
  return "trigger";
}

bool failpoints_built() {
#ifdef BLX_FAILPOINTS
  return true;
#else
  return false;
#endif
}

std::vector<FailpointStatus> failpoints() {
  std::vector<FailpointStatus> all;
  for (const Failpoint* site : all_sites())
    all.push_back(FailpointRegistry::status(*site));
  std::ranges::sort(all, {}, &FailpointStatus::name);
  return all;
}

Result<FailpointStatus> failpoint(std::string_view name) {
  const Failpoint* site = FailpointRegistry::find(name);
  if (site == nullptr) return unknown(name);
  return FailpointRegistry::status(*site);
}

Result<void> arm_failpoint(std::string_view name, std::string_view actions, std::uint64_t seed) {
  BLX_TRY(FailpointRegistry::Change change, FailpointRegistry::prepare(name, actions, seed));
  FailpointRegistry::set(*change.site, std::move(change.plan));
  return {};
}

Result<void> arm_failpoints(std::string_view list) {
  BLX_TRY(const std::vector<Item> items, split(list));
  std::vector<FailpointRegistry::Change> changes;
  for (const Item& item : items) {
    BLX_TRY(FailpointRegistry::Change change,
            FailpointRegistry::prepare(item.name, item.actions, item.seed));
    changes.push_back(std::move(change));
  }
  for (FailpointRegistry::Change& change : changes)
    FailpointRegistry::set(*change.site, std::move(change.plan));
  return {};
}

Result<void> disarm_failpoint(std::string_view name) {
  Failpoint* site = FailpointRegistry::find(name);
  if (site == nullptr) return unknown(name);
  FailpointRegistry::set(*site, nullptr);
  return {};
}

void disarm_failpoints() {
  for (Failpoint* site : all_sites())
    FailpointRegistry::set(*site, nullptr);
}

ScopedFailpoint::ScopedFailpoint(std::string_view name, std::string_view actions,
                                 std::uint64_t seed)
    : name_(name) {
  const auto armed = arm_failpoint(name, actions, seed);
  if (!armed) assertion_failed(armed.error().message().c_str(), __FILE__, __LINE__);
}

ScopedFailpoint::~ScopedFailpoint() { disarm(); }

std::uint64_t ScopedFailpoint::fired() const { return failpoint(name_)->fired; }
std::uint64_t ScopedFailpoint::passed() const { return failpoint(name_)->passed; }
std::uint64_t ScopedFailpoint::waiting() const { return failpoint(name_)->waiting; }

void ScopedFailpoint::rearm(std::string_view actions) {
  const auto armed = arm_failpoint(name_, actions);
  if (!armed) assertion_failed(armed.error().message().c_str(), __FILE__, __LINE__);
}

void ScopedFailpoint::disarm() { ignore(disarm_failpoint(name_), "it was armed, so it exists"); }

}  // namespace blixard::observe
