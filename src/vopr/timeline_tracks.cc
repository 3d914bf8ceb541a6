#include "vopr/timeline_tracks.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace blixard::vopr {
namespace {

constexpr std::size_t kRoleSpans = 150;  // of a node
constexpr std::size_t kGuestSpans = 150;
constexpr std::size_t kStops = 150;
constexpr std::size_t kNodeMarks = 80;
constexpr std::size_t kFaultSpans = 400;
constexpr std::size_t kOperations = 250;  // of a client
constexpr std::size_t kVmStates = 100;    // of a VM
constexpr std::size_t kVms = 24;
constexpr std::size_t kClients = 16;
constexpr std::size_t kNodes = 16;

std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find_first_of(" ,:;"));
}

// "web, pid 12": 12; without it the whole first word says which guest it is.
std::string process_in(std::string_view text) {
  const auto at = text.find("pid ");
  return std::string(first_word(at == std::string_view::npos ? text : text.substr(at + 4)));
}

// "web, pid 12": web. Of "pid 12, 4f0c1d2e-..." the beginning of the guest's identity.
std::string vm_in(std::string_view text) {
  if (!text.starts_with("pid ")) return std::string(first_word(text));
  const auto comma = text.find(", ");
  if (comma == std::string_view::npos) return std::string(text);
  return std::string(text.substr(comma + 2, 8));
}

// "client 3: create web", "c3 create web": 3.
std::optional<std::uint32_t> client_in(std::string_view text) {
  const std::string_view prefix = text.starts_with("client ") ? "client " : "c";
  if (!text.starts_with(prefix)) return std::nullopt;
  std::uint32_t client = 0;
  const char* const first = text.data() + prefix.size();
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, client);
  if (error != std::errc() || (end != last && *end != ' ' && *end != ':')) return std::nullopt;
  return client;
}

std::uint32_t client_of(const TraceEvent& event) {
  if (event.other != 0) return event.other;
  return client_in(event.text).value_or(0);
}

// "client 3: create web": create web.
std::string_view without_client(std::string_view text) {
  const auto colon = text.find(": ");
  return colon != std::string_view::npos && client_in(text) ? text.substr(colon + 2) : text;
}

bool stops_daemon(Action action) {
  switch (action) {
    case Action::kCrash:
    case Action::kPowerLoss:
    case Action::kCrashAll:
    case Action::kRestart:
    case Action::kReplaceDisk:
    case Action::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool cuts_off(Action action) {
  switch (action) {
    case Action::kCut:
    case Action::kCutOneWay:
    case Action::kIsolate:
    case Action::kIsolateOneWay:
    case Action::kSplit:
      return true;
    default:
      return false;
  }
}

bool is_marked(Event event) {
  switch (event) {
    case Event::kReady:
    case Event::kGuestSaved:
    case Event::kSnapshotTaken:
    case Event::kSnapshotInstalled:
    case Event::kMembers:
    case Event::kRare:
    case Event::kFrameRefused:
      return true;
    default:
      return false;
  }
}

bool is_vm_state(Event event) { return event >= Event::kVmPending && event <= Event::kVmGone; }

class Reader {
 public:
  Reader(const Plan& plan, const Report& report) : report_(report) {
    tracks_.end = report.elapsed;
    for (const TraceEvent& event : report.events)
      tracks_.end = std::max(tracks_.end, event.at);
    tracks_.focus = report.violation ? report.violation->at : report.trouble_until;
    const std::size_t machines = plan.settings.nodes + plan.settings.spares;
    for (std::size_t node = 1; node <= std::min(machines, kNodes); ++node)
      node_at(static_cast<std::uint32_t>(node));
  }

  Tracks read() {
    for (const TraceEvent& event : report_.events)
      read(event);
    finish();
    return std::move(tracks_);
  }

 private:
  struct NodeState {
    NodeTrack track;
    RoleSpan role{.span = {.ends = false}};  // that lasts
    std::multimap<std::string, GuestSpan> guests;
    bool stopped = false;  // by a decision, and not started since
  };

  NodeState* node_at(std::uint32_t node) {
    if (node == 0) return nullptr;
    if (!nodes_.contains(node) && nodes_.size() >= kNodes) return nullptr;
    NodeState& state = nodes_[node];
    state.track.node = node;
    return &state;
  }

  void read(const TraceEvent& event) {
    if (event.event >= Event::kAsked && event.event <= Event::kUncertain) {
      read_client(event);
    } else if (is_vm_state(event.event)) {
      read_vm(event);
    } else if (event.event == Event::kStep && is_drawn(event.action)) {
      read_step(event);
    } else if (event.event == Event::kHealed) {
      read_healed(event);
    }
    if (event.action == Action::kCrashAll && event.event == Event::kStep) {
      for (auto& [number, state] : nodes_)
        stop(state, event);
    }
    if (NodeState* node = node_at(event.node)) read_node(*node, event);
  }

  // What clients do has lanes of its own.
  static bool is_drawn(Action action) {
    return action != Action::kNone && facts_of(action).group != Group::kClient;
  }

  void read_node(NodeState& node, const TraceEvent& event) {
    if (event.event == Event::kStep && stops_daemon(event.action)) {
      stop(node, event);
      return;
    }
    if (event.event == Event::kStarted) node.stopped = false;
    // Until it is started again, what is said about it is of no role.
    Role role = node.stopped ? Role::kDown : event.role;
    if (event.event == Event::kStarted && role == Role::kDown) role = Role::kFollower;
    if (event.event == Event::kEnded) role = Role::kDown;
    take_role(node, event.at, role, event.term);
    if (event.event == Event::kGuestStarts) {
      node.guests.emplace(process_in(event.text),
                          GuestSpan{{event.at, {}, false}, vm_in(event.text), event.text});
    } else if (event.event == Event::kGuestEnds) {
      const auto guest = node.guests.find(process_in(event.text));
      if (guest == node.guests.end()) return;
      GuestSpan ended = std::move(guest->second);
      node.guests.erase(guest);
      ended.span = {ended.span.from, event.at, true};
      if (ended.text != event.text) ended.text += "\nends: " + event.text;
      node.track.guests.push_back(std::move(ended));
    } else if (event.event == Event::kEnded) {
      node.track.stops.push_back({event.at, event.event, event.action, event.text});
    } else if (is_marked(event.event)) {
      node.track.marks.push_back({event.at, event.event, event.action, event.text});
    }
  }

  void stop(NodeState& node, const TraceEvent& event) {
    node.stopped = true;
    if (node.role.role != Role::kDown)
      node.track.stops.push_back({event.at, event.event, event.action, event.text});
    take_role(node, event.at, Role::kDown, {});
  }

  static void take_role(NodeState& node, Duration at, Role role, Term term) {
    const bool same_term = role != Role::kLeader || node.role.term == term;
    if (node.role.role == role && same_term) return;
    node.role.span = {node.role.span.from, at, true};
    if (at > node.role.span.from) node.track.roles.push_back(node.role);
    node.role = {{at, {}, false}, role, term};
  }

  void read_step(const TraceEvent& event) {
    Span span{event.at, std::max(event.at, event.until), true};
    if (span.until > tracks_.end) span = {event.at, tracks_.end, false};
    tracks_.faults.push_back({span, event.action, event.node, event.other, event.text, false});
    if (event.action == Action::kFreeze) {
      if (NodeState* node = node_at(event.node)) node->track.frozen.push_back(span);
    }
    if (!cuts_off(event.action)) return;
    for (const std::uint32_t number : {event.node, event.other}) {
      if (NodeState* node = node_at(number)) node->track.cut_off.push_back(span);
    }
  }

  // What healed at its time or, of the same kind and at the same node, before it.
  void read_healed(const TraceEvent& event) {
    FaultSpan* over = nullptr;
    for (FaultSpan& fault : tracks_.faults) {
      if (fault.healed || fault.action != event.action || fault.node != event.node) continue;
      over = &fault;
      if (fault.span.until == event.at) break;
    }
    if (over == nullptr) return;
    over->healed = true;
    if (over->span.until < event.at) return;
    for (auto& [number, node] : nodes_) {
      for (std::vector<Span>* spans : {&node.track.cut_off, &node.track.frozen}) {
        for (Span& span : *spans) {
          if (span.from == over->span.from && span.until == over->span.until) span.until = event.at;
        }
      }
    }
    over->span = {over->span.from, event.at, true};
  }

  void read_client(const TraceEvent& event) {
    const std::uint32_t client = client_of(event);
    if (event.event == Event::kAsked) {
      asked_[client].push_back(
          {{event.at, {}, false}, Event::kAsked, std::string(without_client(event.text))});
      return;
    }
    auto& asked = asked_[client];
    if (asked.empty()) return;
    // Answers come in any order; the one with the same words is meant, else the oldest.
    const std::string_view answer = without_client(event.text);
    auto found = std::ranges::find_if(
        asked, [&](const OperationSpan& operation) { return answer.starts_with(operation.text); });
    if (found == asked.end()) found = asked.begin();
    OperationSpan operation = std::move(*found);
    asked.erase(found);
    operation.span = {operation.span.from, event.at, true};
    operation.outcome = event.event;
    if (operation.text != answer) operation.text += fmt::format("\n{}", answer);
    clients_[client].push_back(std::move(operation));
  }

  void read_vm(const TraceEvent& event) {
    const std::string vm(first_word(event.text));
    auto& states = vms_[vm];
    if (!states.empty() && !states.back().span.ends) {
      if (states.back().state == event.event) return;
      states.back().span = {states.back().span.from, event.at, true};
    }
    if (event.event != Event::kVmGone) states.push_back({{event.at, {}, false}, event.event});
  }

  void finish() {
    const auto close = [&](Span& span) {
      if (!span.ends) span.until = tracks_.end;
    };
    for (auto& [number, node] : nodes_) {
      node.role.span.until = tracks_.end;
      node.track.roles.push_back(node.role);
      for (auto& [vm, guest] : node.guests) {
        close(guest.span);
        node.track.guests.push_back(guest);
      }
      limit(node.track.roles, kRoleSpans, "changes of role");
      limit(node.track.guests, kGuestSpans, "guests");
      limit(node.track.stops, kStops, "stops");
      limit(node.track.marks, kNodeMarks, "marks");
      tracks_.nodes.push_back(std::move(node.track));
    }
    limit(tracks_.faults, kFaultSpans, "faults");
    for (auto& [client, asked] : asked_) {
      auto& operations = clients_[client];
      for (OperationSpan& operation : asked) {
        close(operation.span);
        operations.push_back(std::move(operation));
      }
    }
    for (auto& [client, operations] : clients_) {
      limit(operations, kOperations, "operations");
      tracks_.clients.push_back({client, std::move(operations)});
    }
    limit(tracks_.clients, kClients, "clients");
    for (auto& [vm, states] : vms_) {
      for (VmSpan& state : states)
        close(state.span);
      limit(states, kVmStates, "states of VMs");
      tracks_.vms.push_back({vm, std::move(states)});
    }
    limit(tracks_.vms, kVms, "VMs");
    for (const auto& [kind, count] : left_out_)
      tracks_.left_out.push_back(fmt::format("{} {}", count, kind));
  }

  static Duration at_of(const Mark& mark) { return mark.at; }
  static Duration at_of(const ClientTrack& /*track*/) { return {}; }
  static Duration at_of(const VmTrack& /*track*/) { return {}; }
  static Duration at_of(const auto& item) { return item.span.from; }

  // Keeps the items nearest to the focus, in the order of their times.
  template <class Item>
  void limit(std::vector<Item>& items, std::size_t most, std::string_view kind) {
    std::vector<std::pair<Duration, std::size_t>> order;
    order.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i)
      order.emplace_back(std::chrono::abs(at_of(items[i]) - tracks_.focus), i);
    std::ranges::sort(order);
    if (order.size() > most) {
      left_out_[std::string(kind)] += order.size() - most;
      order.resize(most);
    }
    for (auto& [time, i] : order)
      time = at_of(items[i]);
    std::ranges::sort(order);
    std::vector<Item> kept;
    kept.reserve(order.size());
    for (const auto& [time, i] : order)
      kept.push_back(std::move(items[i]));
    items = std::move(kept);
  }

  const Report& report_;
  Tracks tracks_;
  std::map<std::uint32_t, NodeState> nodes_;
  std::map<std::uint32_t, std::vector<OperationSpan>> asked_;
  std::map<std::uint32_t, std::vector<OperationSpan>> clients_;
  std::map<std::string, std::vector<VmSpan>> vms_;
  std::map<std::string, std::size_t> left_out_;
};

}  // namespace

Tracks tracks_of(const Plan& plan, const Report& report) { return Reader(plan, report).read(); }

}  // namespace blixard::vopr
