#include "linearizability/search.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "linearizability/depth_first.h"

namespace blixard::linearizability {
namespace {

constexpr std::uint64_t kStepsInVain = 256;  // after which a window is tried
constexpr std::size_t kStates = 64;          // more are not tried as beginnings of windows

// An end of an operation, as a place among the others.
using End = std::pair<std::uint64_t, std::uint32_t>;

// Some of the operations, and which of all they are.
struct Excerpt {
  std::vector<Event> events;
  std::vector<std::uint32_t> operations;

  void add(const Event& event, std::uint32_t operation) {
    events.push_back(event);
    operations.push_back(operation);
  }
};

// What a search of excerpts needs, and what came out so far.
class Passes {
 public:
  Passes(std::span<const Event> operations, Transitions& transitions, const Budget& budget)
      : operations_(operations), transitions_(transitions), budget_(budget) {
    for (std::uint32_t i = 0; i < operations.size(); ++i) {
      if (operations[i].returned != kNever) ends_.emplace_back(operations[i].returned, i);
    }
    std::ranges::sort(ends_);
  }

  Found run();

 private:
  [[nodiscard]] End end_of(std::uint32_t operation) const {
    return {operations_[operation].returned, operation};
  }
  [[nodiscard]] std::size_t rank_of(std::uint32_t operation) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(ends_, end_of(operation)) -
                                    ends_.begin());
  }
  [[nodiscard]] Excerpt prefix(std::size_t last) const;
  bool search_prefix(std::size_t last);
  void keep(const std::vector<std::uint32_t>& order, const Excerpt& from);
  void find_stuck();
  void place_what_is_open();
  void find_states();
  [[nodiscard]] Excerpt window(std::size_t from, std::size_t last, bool is_unlimited) const;
  std::optional<bool> passes(const Excerpt& excerpt, std::uint64_t steps_max);
  bool is_impassable(std::size_t last, std::uint64_t steps_max);

  std::span<const Event> operations_;
  Transitions& transitions_;
  const Budget& budget_;
  std::vector<End> ends_;
  // An order is known of all before this end, and none of all up to that one.
  std::size_t before_ = 0;
  std::size_t upto_ = 0;
  // All that operations of these kinds can make of the first state, if they are few.
  std::vector<std::uint32_t> states_;
  bool has_states_ = false;
  std::uint64_t window_steps_ = 0;
  Found found_;
};

// Up to an end, and with it.
Excerpt Passes::prefix(std::size_t last) const {
  Excerpt excerpt;
  const End end = ends_[last];
  for (std::uint32_t i = 0; i < operations_.size(); ++i) {
    Event event = operations_[i];
    if (event.invoked > end.first) continue;
    if (end_of(i) > end) event.returned = kNever;
    if (event.read_only && event.returned == kNever) continue;
    excerpt.add(event, i);
  }
  return excerpt;
}

void Passes::keep(const std::vector<std::uint32_t>& order, const Excerpt& from) {
  found_.order.clear();
  for (const std::uint32_t placed : order)
    found_.order.push_back(from.operations[placed]);
}

// Whether the budget lasted.
bool Passes::search_prefix(std::size_t last) {
  const Excerpt excerpt = prefix(last);
  Budget rest = budget_;
  rest.steps_max = budget_.steps_max - std::min(budget_.steps_max, found_.steps);
  DepthFirst search(excerpt.events, transitions_, rest);
  const auto progress = search.advance(budget_.steps_max);
  const Found& found = search.found();
  found_.steps += found.steps;
  if (progress != DepthFirst::Progress::kDecided) return false;
  const std::size_t reached = found.stuck ? rank_of(excerpt.operations[*found.stuck]) : last + 1;
  if (!found.stuck) {
    before_ = reached;
    keep(found.order, excerpt);
    return true;
  }
  upto_ = last;
  if (reached > before_) {
    before_ = reached;
    keep(found.order, excerpt);
  }
  return true;
}

// Narrows it down, in steps that double from where the first search got to.
void Passes::find_stuck() {
  std::size_t stride = 1;
  bool has_upper = false;
  while (before_ < upto_) {
    const std::size_t upper = upto_;
    const std::size_t last =
        has_upper ? before_ + (upto_ - before_) / 2 : std::min(before_ + stride - 1, upto_ - 1);
    if (!search_prefix(last)) return;
    has_upper = has_upper || upto_ < upper;
    stride *= 2;
  }
  found_.stuck = ends_[before_].second;
  place_what_is_open();
}

// What is under way at the end of what is stuck, as far as it can be placed after all else.
void Passes::place_what_is_open() {
  std::vector<bool> placed(operations_.size());
  std::uint32_t state = 0;
  for (const std::uint32_t operation : found_.order) {
    placed[operation] = true;
    state = transitions_.step(state, operations_[operation].kind);
  }
  for (std::size_t at = before_ + 1; at < ends_.size(); ++at) {
    const std::uint32_t operation = ends_[at].second;
    const Event& event = operations_[operation];
    if (placed[operation] || event.invoked > ends_[before_].first) continue;
    const std::uint32_t after = transitions_.step(state, event.kind);
    if (after == kRefused) continue;
    found_.order.push_back(operation);
    state = after;
  }
}

void Passes::find_states() {
  if (has_states_) return;
  has_states_ = true;
  std::set<std::uint32_t> kinds;
  for (const Event& event : operations_) {
    if (!event.read_only) kinds.insert(event.kind);
  }
  std::set<std::uint32_t> known{0};
  states_.push_back(0);
  for (std::size_t at = 0; at < states_.size(); ++at) {
    for (const std::uint32_t kind : kinds) {
      const std::uint32_t after = transitions_.step(states_[at], kind);
      if (after == kRefused || !known.insert(after).second) continue;
      states_.push_back(after);
      if (states_.size() <= kStates) continue;
      states_.clear();
      return;
    }
  }
}

// What ends from one end to another; what began before may have happened before. Unlimited: as
// often as one likes, like what has no end.
Excerpt Passes::window(std::size_t from, std::size_t last, bool is_unlimited) const {
  Excerpt excerpt;
  const End begin = ends_[from];
  const End end = ends_[last];
  for (std::uint32_t i = 0; i < operations_.size(); ++i) {
    Event event = operations_[i];
    if (event.invoked > end.first || end_of(i) < begin) continue;
    event.is_optional = event.invoked <= begin.first;
    if (end_of(i) > end) event.returned = kNever;
    const bool may_be_never = event.is_optional || event.returned == kNever;
    if (event.read_only && may_be_never) continue;
    event.is_unlimited = is_unlimited && may_be_never;
    excerpt.add(event, i);
  }
  return excerpt;
}

// Whether an order gets beyond the last end from any state; none if the steps did not suffice.
std::optional<bool> Passes::passes(const Excerpt& excerpt, std::uint64_t steps_max) {
  std::uint64_t left = steps_max;
  for (const std::uint32_t state : states_) {
    Budget rest = budget_;
    rest.steps_max = left;
    DepthFirst search(excerpt.events, transitions_, rest, state);
    const auto progress = search.advance(left);
    window_steps_ += search.found().steps;
    left -= std::min(left, search.found().steps);
    if (progress != DepthFirst::Progress::kDecided) return std::nullopt;
    if (search.found().verdict == Verdict::kOk) return true;
  }
  return false;
}

// Whether nothing gets beyond an end, whatever was before it. True only if so.
bool Passes::is_impassable(std::size_t last, std::uint64_t steps_max) {
  find_states();
  if (states_.empty()) return false;
  const std::uint64_t until = window_steps_ + steps_max;
  // From before it began, or it might have happened before.
  const std::uint64_t begin = operations_[ends_[last].second].invoked;
  const auto ended = static_cast<std::size_t>(
      std::ranges::lower_bound(ends_, begin, {}, &End::first) - ends_.begin());
  const std::size_t first_window = last + 1 - ended;
  for (const bool is_unlimited : {true, false}) {
    for (std::size_t ends = first_window; ends < last && window_steps_ < until; ends *= 2) {
      const auto passed = passes(window(last - ends, last, is_unlimited), until - window_steps_);
      if (passed && !*passed) return true;
      if (!passed) break;
    }
  }
  return false;
}

Found Passes::run() {
  DepthFirst search(operations_, transitions_, budget_);
  auto progress = DepthFirst::Progress::kPaused;
  std::uint64_t in_vain = kStepsInVain;
  for (;;) {
    progress = search.advance(in_vain);
    if (progress != DepthFirst::Progress::kPaused) break;
    // No more than were done in vain, and not more than the budget has.
    const std::uint64_t steps_max =
        std::min(search.steps_in_vain(), budget_.steps_max - search.found().steps);
    const std::uint64_t before = window_steps_;
    const bool is_stuck = is_impassable(rank_of(*search.found().stuck), steps_max);
    search.charge(window_steps_ - before);
    if (is_stuck) {
      found_ = search.found();
      found_.verdict = Verdict::kViolation;
      return std::move(found_);
    }
    in_vain = 2 * search.steps_in_vain();
  }
  found_ = search.found();
  if (progress != DepthFirst::Progress::kDecided) {
    Found spent;
    spent.steps = found_.steps;
    return spent;
  }
  if (found_.verdict == Verdict::kOk || !search.looked_ahead()) return std::move(found_);
  before_ = rank_of(*found_.stuck);
  upto_ = ends_.size() - 1;
  found_.stuck.reset();
  find_stuck();
  return std::move(found_);
}

}  // namespace

Found find_order(std::span<const Event> operations, Transitions& transitions,
                 const Budget& budget) {
  return Passes(operations, transitions, budget).run();
}

}  // namespace blixard::linearizability
