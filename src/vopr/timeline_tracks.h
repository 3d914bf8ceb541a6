#pragma once

// What happened in a run as intervals and marks, lane by lane: what the timeline draws. Read off
// the trace alone, which may begin anywhere and lack ends: what never ended lasts to the end of
// the run. Clients and guests are told apart by the first words of their events' texts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vopr/plan.h"
#include "vopr/report.h"

namespace blixard::vopr {

struct Span {
  Duration from{};
  Duration until{};
  bool ends = true;  // no: the run was over first
};

struct RoleSpan {
  Span span;
  Role role = Role::kDown;
  Term term;
};

struct GuestSpan {
  Span span;
  std::string vm;
  std::string text;
};

struct Mark {
  Duration at{};
  Event event = Event::kStep;
  Action action = Action::kNone;
  std::string text;
};

struct NodeTrack {
  std::uint32_t node = 0;
  std::vector<RoleSpan> roles;
  std::vector<GuestSpan> guests;
  std::vector<Span> cut_off;  // in part or from everybody
  std::vector<Span> frozen;
  std::vector<Mark> stops;  // of the daemon
  std::vector<Mark> marks;
};

struct FaultSpan {
  Span span;
  Action action = Action::kNone;
  std::uint32_t node = 0;
  std::uint32_t other = 0;
  std::string text;
  bool healed = false;  // it was said that it is over
};

struct OperationSpan {
  Span span;
  Event outcome = Event::kAsked;  // that: it never ended
  std::string text;
};

struct ClientTrack {
  std::uint32_t client = 0;
  std::vector<OperationSpan> operations;
};

// What the replicated state says of a VM.
struct VmSpan {
  Span span;
  Event state = Event::kVmPending;
};

struct VmTrack {
  std::string vm;
  std::vector<VmSpan> states;
};

struct Tracks {
  Duration end{};
  Duration focus{};  // the violation, else the end of the trouble
  std::vector<NodeTrack> nodes;
  std::vector<FaultSpan> faults;
  std::vector<VmTrack> vms;
  std::vector<ClientTrack> clients;
  std::vector<std::string> left_out;  // "120 operations"
};

// Of each kind those nearest to the focus are kept, so that the page stays small.
[[nodiscard]] Tracks tracks_of(const Plan& plan, const Report& report);

}  // namespace blixard::vopr
