#include "vopr/recorder.h"

#include <utility>

namespace blixard::vopr {
namespace {

// A run that goes round in circles must not fill the memory.
constexpr std::size_t kEventsMax = 200'000;

}  // namespace

void Recorder::note(std::uint32_t node, Event event, std::string text) {
  add(node, {.event = event, .text = std::move(text)});
}

void Recorder::note_step(std::uint32_t node, Event event, Action action, std::string text,
                         std::uint32_t other, Duration until) {
  if (event == Event::kStep) ++report_.counts.steps.at(static_cast<std::size_t>(action));
  if (event == Event::kSkipped) ++report_.counts.skipped;
  add(node,
      {.event = event, .action = action, .text = std::move(text), .until = until, .other = other});
  const bool is_felt = facts_of(action).group != Group::kClient;
  if (event == Event::kStep && is_felt) felt(action);
}

void Recorder::add(std::uint32_t node, TraceEvent event) {
  if (closed_) return;
  const Standing standing = node != 0 ? standing_(node) : Standing{};
  event.at = elapsed_();
  event.node = node;
  event.role = standing.role;
  event.term = standing.term;
  event.commit = standing.commit;
  report_.coverage.see(standing.role, event.event, Action::kNone);
  if (event.action != Action::kNone) {
    report_.coverage.see(standing.role, event.event, event.action);
  }
  for (std::size_t i = 1; i < kActions; ++i) {
    const bool is_there = active_[i] > 0 || event.at < felt_until_[i];
    if (is_there) report_.coverage.see(standing.role, event.event, static_cast<Action>(i));
  }
  if (report_.events.size() < kEventsMax) report_.events.push_back(std::move(event));
}

void Recorder::fail(std::string checker, std::string text) {
  if (failed() || closed_) return;
  add(0, {.event = Event::kViolation, .text = checker + ": " + text});
  report_.violation =
      Violation{.checker = std::move(checker), .text = std::move(text), .at = elapsed_()};
}

}  // namespace blixard::vopr
