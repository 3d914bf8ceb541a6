#include "vopr/scenario_vm_users.h"

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace blixard::vopr {
namespace {

constexpr std::uint64_t kChangesPercent = 55;  // the rest of what clients of VMs do is reading
constexpr std::uint64_t kSavesPercent = 85;    // and of those who save them

enum class Belief : std::uint8_t { kAbsent, kRunning, kStopped, kPaused, kSuspended };

Belief after(Action action, Belief before) {
  switch (action) {
    case Action::kCreate:
    case Action::kCreateWithWishes:
    case Action::kStart:
    case Action::kResume:
    case Action::kRestore:
      return Belief::kRunning;
    case Action::kStop:
      return Belief::kStopped;
    case Action::kDelete:
      return Belief::kAbsent;
    case Action::kPause:
      return Belief::kPaused;
    case Action::kSuspend:
      return Belief::kSuspended;
    default:
      return before;
  }
}

Action change(Stream& stream, Belief belief) {
  using enum Action;
  if (stream.random().one_in(10))
    return stream.pick({{kCreate, 1}, {kStart, 1}, {kStop, 1}, {kDelete, 1}});
  switch (belief) {
    case Belief::kAbsent:
      return kCreate;
    case Belief::kRunning:
      return stream.pick({{kStop, 5}, {kDelete, 4}, {kStart, 1}});
    default:
      return stream.pick({{kStart, 5}, {kDelete, 4}, {kStop, 1}});
  }
}

Action save(Stream& stream, Belief belief) {
  using enum Action;
  if (stream.random().one_in(10))
    return stream.pick({{kCreate, 1},
                        {kStart, 1},
                        {kStop, 1},
                        {kDelete, 1},
                        {kPause, 1},
                        {kResume, 1},
                        {kSuspend, 1},
                        {kSnapshot, 1},
                        {kRestore, 1},
                        {kDeleteSnapshot, 1}});
  switch (belief) {
    case Belief::kAbsent:
      return kCreate;
    case Belief::kRunning:
      return stream.pick(
          {{kSuspend, 8}, {kPause, 4}, {kSnapshot, 4}, {kRestore, 3}, {kStop, 1}, {kDelete, 1}});
    case Belief::kStopped:
      return stream.pick({{kStart, 4}, {kRestore, 3}, {kDelete, 1}, {kSuspend, 1}});
    case Belief::kPaused:
      return stream.pick(
          {{kResume, 5}, {kSuspend, 4}, {kSnapshot, 2}, {kRestore, 1}, {kStop, 1}, {kDelete, 1}});
    case Belief::kSuspended:
      return stream.pick({{kResume, 10},
                          {kStart, 2},
                          {kRestore, 2},
                          {kDeleteSnapshot, 1},
                          {kPause, 1},
                          {kStop, 1},
                          {kDelete, 1}});
  }
  std::unreachable();
}

// What a user does: how often it changes something, and what.
struct Habit {
  std::uint64_t changes_percent = 0;
  Action (*change)(Stream& stream, Belief belief) = nullptr;
  Action creates = Action::kCreate;
};

class VmUser {
 public:
  VmUser(Stream& stream, std::uint32_t client, Habit habit)
      : stream_(stream),
        client_(client),
        habit_(habit),
        home_(static_cast<std::uint32_t>(1 + stream.random().below(stream.settings().nodes))),
        believed_(stream.settings().vms, Belief::kAbsent),
        own_{any_vm(), any_vm()} {}

  void act() {
    const std::size_t vm =
        stream_.random().below(10) < 6 ? own_.at(stream_.random().below(2)) : any_vm();
    const bool changes = stream_.random().below(100) < habit_.changes_percent;
    Action action = changes ? habit_.change(stream_, believed_[vm]) : Action::kGet;
    if (action == Action::kCreate) action = habit_.creates;
    stream_.ask(action, client_, stream_.server(home_), static_cast<std::uint32_t>(vm + 1));
    believed_[vm] = after(action, believed_[vm]);
  }

 private:
  std::size_t any_vm() { return stream_.random().below(stream_.settings().vms); }

  Stream& stream_;
  std::uint32_t client_;
  Habit habit_;
  std::uint32_t home_;
  std::vector<Belief> believed_;
  std::array<std::size_t, 2> own_;
};

void use(Stream& stream, std::uint32_t client, Habit habit) {
  if (stream.settings().vms == 0) return;
  VmUser user(stream, client, habit);
  while (stream.advance())
    user.act();
}

}  // namespace

void use_vms(Stream& stream, std::uint32_t client, Action creates) {
  use(stream, client, {.changes_percent = kChangesPercent, .change = change, .creates = creates});
}

void use_saves(Stream& stream, std::uint32_t client) {
  use(stream, client, {.changes_percent = kSavesPercent, .change = save});
}

}  // namespace blixard::vopr
