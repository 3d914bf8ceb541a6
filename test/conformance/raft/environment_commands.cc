#include <algorithm>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "core/raft/configuration.h"
#include "test/conformance/raft/environment.h"
#include "test/conformance/raft/environment_node.h"
#include "test/conformance/raft/progress_text.h"

namespace blixard::raft::interaction {
namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max() / 4;

// The reference's scripts begin without limits and without anything that is optional.
Config plain_config(Form form) {
  Config config;
  config.election_ticks = 3;
  config.heartbeat_ticks = 1;
  config.pre_vote = false;
  config.check_quorum = false;
  config.step_down_on_removal = false;
  config.message_bytes_max = kNoLimit;
  config.committed_bytes_max = kNoLimit;
  config.uncommitted_bytes_max = kNoLimit;
  config.inflight_messages_max = std::numeric_limits<std::int32_t>::max();
  config.inflight_bytes_max = kNoLimit;
  config.series = form == Form::k34 ? Series::v3_4() : Series::current();
  return config;
}

struct NewNodes {
  Config config;
  SnapshotMeta begin;
  bool async = false;
};

Done take_flag(const datadriven::Argument& argument, bool& into) {
  if (argument.values.size() != 1 ||
      (argument.values[0] != "true" && argument.values[0] != "false"))
    return std::unexpected("not a boolean: " + argument.key);
  into = argument.values[0] == "true";
  return {};
}

template <class T>
Done take_number(const datadriven::Argument& argument, T& into) {
  const auto number =
      argument.values.size() == 1 ? datadriven::parse_number(argument.values[0]) : std::nullopt;
  if (!number) return std::unexpected("not a number: " + argument.key);
  into = static_cast<T>(*number);
  return {};
}

Done take_nodes(const datadriven::Argument& argument, std::vector<NodeId>& into) {
  for (const std::string& value : argument.values) {
    const auto number = datadriven::parse_number(value);
    if (!number) return std::unexpected("not a node: " + value);
    into.emplace_back(*number);
  }
  std::ranges::sort(into);
  return {};
}

Done take_option(const datadriven::Argument& argument, NewNodes& nodes) {
  Config& config = nodes.config;
  const std::string& key = argument.key;
  if (key == "voters") return take_nodes(argument, nodes.begin.configuration.voters);
  if (key == "learners") return take_nodes(argument, nodes.begin.configuration.learners);
  if (key == "index") return take_number(argument, nodes.begin.index);
  if (key == "content") return {};
  if (key == "inflight") return take_number(argument, config.inflight_messages_max);
  if (key == "max-inflight-bytes") return take_number(argument, config.inflight_bytes_max);
  if (key == "max-size-per-msg") return take_number(argument, config.message_bytes_max);
  if (key == "max-uncommitted-size") return take_number(argument, config.uncommitted_bytes_max);
  if (key == "max-committed-size-per-ready")
    return take_number(argument, config.committed_bytes_max);
  if (key == "async-storage-writes") return take_flag(argument, nodes.async);
  if (key == "prevote") return take_flag(argument, config.pre_vote);
  if (key == "checkquorum") return take_flag(argument, config.check_quorum);
  if (key == "step-down-on-removal") return take_flag(argument, config.step_down_on_removal);
  if (key == "disable-conf-change-validation") {
    bool disabled = false;
    const Done done = take_flag(argument, disabled);
    config.check_conf_changes = !disabled;
    return done;
  }
  if (key == "read-only" && argument.values == std::vector<std::string>{"safe"}) return {};
  if (key == "read-only" && argument.values == std::vector<std::string>{"lease-based"}) {
    config.lease_reads = true;
    return {};
  }
  return std::unexpected("unknown option " + key);
}

// "v1 l2 r3 u4"
std::expected<std::vector<ConfChangeSingle>, std::string> parse_changes(std::string_view text) {
  static const std::map<char, ConfChangeType> kTypes = {{'v', ConfChangeType::kAddVoter},
                                                        {'l', ConfChangeType::kAddLearner},
                                                        {'r', ConfChangeType::kRemove},
                                                        {'u', ConfChangeType::kUpdate}};
  std::vector<ConfChangeSingle> changes;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto type = word.size() < 2 ? kTypes.end() : kTypes.find(word[0]);
    if (type == kTypes.end()) return std::unexpected("unknown token " + std::string(word));
    const auto id = datadriven::parse_number(word.substr(1));
    if (!id) return std::unexpected("not a node: " + std::string(word));
    changes.push_back({type->second, NodeId(*id)});
  }
  return changes;
}

std::expected<ConfTransition, std::string> parse_transition(std::string_view text) {
  if (text == "auto") return ConfTransition::kAuto;
  if (text == "implicit") return ConfTransition::kJointImplicit;
  if (text == "explicit") return ConfTransition::kJointExplicit;
  return std::unexpected("unknown transition " + std::string(text));
}

Done told(const Result<void>& result) {
  if (result) return {};
  if (result.error().reason() == "proposal_dropped")
    return std::unexpected("raft proposal dropped");
  return std::unexpected(result.error().message());
}

}  // namespace

Environment::Handler Environment::handler_of(std::string_view command) {
  static const std::map<std::string_view, Handler> kHandlers = {
      {"_breakpoint", &Environment::nothing},
      {"add-nodes", &Environment::add_nodes},
      {"campaign", &Environment::campaign},
      {"compact", &Environment::compact},
      {"deliver-msgs", &Environment::deliver_messages},
      {"entries-loaded", &Environment::entries_loaded},
      {"forget-leader", &Environment::forget_leader},
      {"log-level", &Environment::log_level},
      {"process-append-thread", &Environment::process_append_thread},
      {"process-apply-thread", &Environment::process_apply_thread},
      {"process-ready", &Environment::process_ready},
      {"propose", &Environment::propose},
      {"propose-conf-change", &Environment::propose_conf_change},
      {"raft-log", &Environment::raft_log},
      {"raft-state", &Environment::raft_state},
      {"read-index", &Environment::read_index},
      {"report-snapshot", &Environment::report_snapshot},
      {"report-unreachable", &Environment::report_unreachable},
      {"restart", &Environment::restart},
      {"send-append", &Environment::send_append},
      {"send-snapshot", &Environment::send_snapshot},
      {"set-randomized-election-timeout", &Environment::set_election_timeout},
      {"stabilize", &Environment::stabilize},
      {"status", &Environment::status},
      {"tick-election", &Environment::tick_election},
      {"tick-heartbeat", &Environment::tick_heartbeat},
      {"transfer-leadership", &Environment::transfer_leadership},
  };
  const auto found = kHandlers.find(command);
  return found == kHandlers.end() ? nullptr : found->second;
}

Done Environment::nothing(const datadriven::Case&) { return {}; }

Done Environment::add_nodes(const datadriven::Case& command) {
  const auto count = command.arguments.empty()
                         ? std::nullopt
                         : datadriven::parse_number(command.arguments.front().key);
  if (!count || *count > 100) return std::unexpected("how many nodes?");
  NewNodes add{plain_config(trace_.form()), {}, false};
  for (std::size_t i = 1; i < command.arguments.size(); ++i) {
    if (const Done done = take_option(command.arguments[i], add); !done) return done;
  }
  const bool has_begin = add.begin != SnapshotMeta{};
  if (has_begin && add.begin.index.value <= 1)
    return std::unexpected("index must be specified as > 1 due to bootstrap");
  if (has_begin) add.begin.term = Term(1);
  for (std::uint64_t i = 0; i < *count; ++i) {
    Config config = add.config;
    config.id = NodeId(nodes_.size() + 1);
    config.seed = config.id.value;
    MemoryStorage storage = has_begin ? MemoryStorage(add.begin) : MemoryStorage();
    nodes_.push_back(std::make_unique<Node>(config, add.async, std::move(storage), trace_));
    if (const Done done = start(*nodes_.back(), add.begin); !done) return done;
  }
  return {};
}

Done Environment::start(Node& node, const SnapshotMeta& begin) {
  node.config.applies_before_durable = !node.async;
  const Initial initial{node.storage.hard_state(), begin.configuration, begin.index};
  auto made = Core::make(node.config, node.storage, initial, &node.events);
  if (!made) return std::unexpected(made.error().message());
  node.core = std::move(*made);
  node.handed_out = node.storage.hard_state();
  node.sync.reset();
  if (!node.async) node.sync.emplace(*node.core);
  return {};
}

Done Environment::campaign(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  return told((*node)->core->campaign());
}

Done Environment::compact(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  const auto index = command.arguments.size() == 2
                         ? datadriven::parse_number(command.arguments[1].key)
                         : std::nullopt;
  if (!index) return std::unexpected("up to which index?");
  if (const auto done = (*node)->storage.compact(LogIndex(*index)); !done)
    return std::unexpected(std::string(done.error().detail()));
  show_log(**node);
  return {};
}

Done Environment::forget_leader(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  return told((*node)->core->forget_leader());
}

Done Environment::entries_loaded(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  (*node)->core->entries_loaded();
  return {};
}

Done Environment::log_level(const datadriven::Case& command) {
  if (command.arguments.size() == 1) {
    std::string name = command.arguments[0].key;
    for (char& c : name) {
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    for (std::size_t i = 0; i < std::size(kLevelNames); ++i) {
      if (kLevelNames[i] != name) continue;
      trace_.set_level(static_cast<Level>(i));
      return {};
    }
  }
  return std::unexpected("log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]");
}

Done Environment::propose(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  if (command.arguments.size() != 2 || !command.arguments[1].values.empty())
    return std::unexpected("expected exactly one key with no vals");
  Entry entry;
  entry.payload = Payload(command.arguments[1].key);
  return told((*node)->core->propose({std::move(entry)}));
}

Done Environment::propose_conf_change(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  ConfChange change;
  if (const auto name = command.text("transition")) {
    const auto transition = parse_transition(*name);
    if (!transition) return std::unexpected(transition.error());
    change.transition = *transition;
  }
  const auto is_v1 = command.flag("v1");
  if (!is_v1) return std::unexpected("not a boolean: v1");
  auto changes = parse_changes(command.input);
  if (!changes) return std::unexpected(changes.error());
  change.changes = std::move(*changes);
  if (*is_v1 && (change.changes.size() != 1 || change.transition != ConfTransition::kAuto))
    return std::unexpected("v1 conf change can only have one operation and no transition");
  const EntryKind kind = *is_v1 ? EntryKind::kConfigurationV1 : EntryKind::kConfiguration;
  return told((*node)->core->propose(change, kind));
}

void Environment::show_log(const Node& node) {
  const MemoryStorage& storage = node.storage;
  if (storage.last() < storage.first()) {
    trace_.write(fmt::format("log is empty: first index={}, last index={}", storage.first().value,
                             storage.last().value));
    return;
  }
  std::vector<Entry> entries;
  storage.entries(storage.first(), storage.last(), kNoLimit, entries);
  trace_.write(describe(entries));
}

Done Environment::raft_log(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  show_log(**node);
  return {};
}

Done Environment::raft_state(const datadriven::Case&) {
  for (const auto& node : nodes_) {
    const Status state = node->core->status();
    trace_.write(fmt::format("{}: {} {} Term:{} Lead:{}\n", state.id.value,
                             name_of(state.soft_state.role),
                             is_voter(state.configuration, state.id) ? "(Voter)" : "(Non-Voter)",
                             state.hard_state.term.value, state.soft_state.leader.value));
  }
  return {};
}

Done Environment::read_index(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  const auto sequence = command.arguments.size() == 2
                            ? datadriven::parse_number(command.arguments[1].key)
                            : std::nullopt;
  if (!sequence) return std::unexpected("which number?");
  (*node)->core->read_index(ReadId{(*node)->id().value, *sequence});
  return {};
}

Done Environment::report_snapshot(const datadriven::Case& command) {
  const auto from = node_at(command, 0);
  if (!from) return std::unexpected(from.error());
  const auto to = node_at(command, 1);
  if (!to) return std::unexpected(to.error());
  const auto outcome = command.text("status");
  if (outcome != "finish" && outcome != "failure") return std::unexpected("finish or failure?");
  (*from)->core->report_snapshot((*to)->id(), outcome == "finish");
  return {};
}

Done Environment::report_unreachable(const datadriven::Case& command) {
  const auto from = node_at(command, 0);
  if (!from) return std::unexpected(from.error());
  const auto to = node_at(command, 1);
  if (!to) return std::unexpected(to.error());
  (*from)->core->report_unreachable((*to)->id());
  return {};
}

Done Environment::restart(const datadriven::Case& command) {
  const auto found = node_at(command, 0);
  if (!found) return std::unexpected(found.error());
  Node& node = **found;
  NewNodes changed{node.config, {}, node.async};
  for (std::size_t i = 1; i < command.arguments.size(); ++i) {
    if (const Done done = take_option(command.arguments[i], changed); !done) return done;
  }
  node.config = changed.config;
  node.async = changed.async;
  node.append_work.clear();
  node.apply_work.clear();
  std::erase_if(in_flight_, [&](const Parcel& parcel) {
    return is_local(parcel) && recipient_of(parcel) == node.id();
  });
  return start(node, node.storage.forget_applied());
}

Done Environment::send_append(const datadriven::Case& command) {
  const auto from = node_at(command, 0);
  if (!from) return std::unexpected(from.error());
  const auto to = node_at(command, 1);
  if (!to) return std::unexpected(to.error());
  const auto after = command.number("after");
  const auto count = command.number("count");
  const MemoryStorage& storage = (*from)->storage;
  if (!after || !count || !storage.term(LogIndex(*after)) || *count > storage.last().value - *after)
    return std::unexpected("not in its log");
  Message message;
  message.from = (*from)->id();
  message.to = (*to)->id();
  message.term = (*from)->core->term();
  message.index = LogIndex(*after);
  message.log_term = *storage.term(message.index);
  message.commit = (*from)->core->commit();
  const LogIndex last(*after + *count);
  if (*count > 0) storage.entries(message.index.next(), last, kNoLimit, message.entries);
  trace_.write(describe(message, trace_.form()));
  in_flight_.emplace_back(std::move(message));
  return {};
}

Done Environment::send_snapshot(const datadriven::Case& command) {
  const auto from = node_at(command, 0);
  if (!from) return std::unexpected(from.error());
  const auto to = node_at(command, 1);
  if (!to) return std::unexpected(to.error());
  Message message;
  message.type = MessageType::kSnapshot;
  message.from = (*from)->id();
  message.to = (*to)->id();
  message.term = (*from)->core->term();
  message.snapshot = (*from)->storage.snapshot();
  trace_.write(describe(message, trace_.form()));
  in_flight_.emplace_back(std::move(message));
  return {};
}

Done Environment::set_election_timeout(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  const auto timeout = command.number("timeout");
  if (!timeout || *timeout == 0 || *timeout > 1000) return std::unexpected("how many ticks?");
  (*node)->core->set_election_timeout(static_cast<int>(*timeout));
  return {};
}

Done Environment::status(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  const Status state = (*node)->core->status();
  if (state.progress) trace_.write(raft::text::progress(*state.progress, rules_of(trace_.form())));
  return {};
}

Done Environment::tick_election(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  for (int i = 0; i < (*node)->config.election_ticks; ++i)
    (*node)->core->tick();
  return {};
}

Done Environment::tick_heartbeat(const datadriven::Case& command) {
  const auto node = node_at(command, 0);
  if (!node) return std::unexpected(node.error());
  for (int i = 0; i < (*node)->config.heartbeat_ticks; ++i)
    (*node)->core->tick();
  return {};
}

Done Environment::transfer_leadership(const datadriven::Case& command) {
  const auto from = node(command.number("from").value_or(0));
  if (!from) return std::unexpected(from.error());
  const auto to = node(command.number("to").value_or(0));
  if (!to) return std::unexpected(to.error());
  (*from)->core->transfer_leader((*to)->id());
  return {};
}

}  // namespace blixard::raft::interaction
