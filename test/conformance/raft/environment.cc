#include "test/conformance/raft/environment.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "core/raft/conf_change.h"
#include "test/conformance/raft/environment_node.h"

namespace blixard::raft::interaction {
namespace {

// What the reference calls our errors.
std::string text_of(const Error& error) {
  if (error.reason() == "proposal_dropped") return "raft proposal dropped";
  if (error.reason() == "peer_unknown") return "raft: cannot step as peer not found";
  return error.message();
}

// Far more than any script needs; a core that never comes to rest must not hang the test.
constexpr int kStabilizeRounds = 10'000;

}  // namespace

Environment::Environment(Form form) : trace_(form) {}
Environment::~Environment() = default;

std::string Environment::handle(const datadriven::Case& block) {
  const Done done = run_block(block);
  return trace_.take(done ? std::string() : done.error());
}

Done Environment::run_block(const datadriven::Case& block) {
  if (block.command == "propose-conf-change") return run_one(block);
  if (const Done done = run_one(block); !done) return done;
  std::string_view rest = block.input;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const auto parsed = datadriven::parse(block.place, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!parsed || parsed->cases.size() != 1) return std::unexpected("not a command");
    trace_.end_line();
    if (const Done done = run_one(parsed->cases.front()); !done) {
      if (trace_.is_quiet()) return done;
      trace_.write(done.error());
    }
  }
  return {};
}

Done Environment::run_one(const datadriven::Case& command) {
  const Handler handler = handler_of(command.command);
  if (!handler) return std::unexpected("unknown command");
  return (this->*handler)(command);
}

std::expected<Environment::Node*, std::string> Environment::node(std::uint64_t id) {
  if (id == 0 || id > nodes_.size()) return std::unexpected(fmt::format("no node {}", id));
  return nodes_[id - 1].get();
}

std::expected<Environment::Node*, std::string> Environment::node_at(const datadriven::Case& command,
                                                                    std::size_t position) {
  if (position >= command.arguments.size()) return std::unexpected("which node?");
  const auto id = datadriven::parse_number(command.arguments[position].key);
  if (!id) return std::unexpected("not a node: " + command.arguments[position].key);
  return node(*id);
}

std::expected<std::vector<Environment::Node*>, std::string> Environment::nodes_of(
    const datadriven::Case& command) {
  std::vector<Node*> found;
  for (std::size_t i = 0; i < command.arguments.size(); ++i) {
    if (!command.arguments[i].values.empty()) continue;
    const auto one = node_at(command, i);
    if (!one) return std::unexpected(one.error());
    found.push_back(*one);
  }
  return found;
}

NodeId Environment::recipient_of(const Parcel& parcel) {
  if (const auto* message = std::get_if<Message>(&parcel)) return message->to;
  if (const auto* appended = std::get_if<Appended>(&parcel)) return appended->node;
  return std::get<Applied>(parcel).node;
}

bool Environment::is_local(const Parcel& parcel) {
  const auto* message = std::get_if<Message>(&parcel);
  return !message || message->from == message->to;
}

std::string_view Environment::type_of(const Parcel& parcel) {
  if (const auto* message = std::get_if<Message>(&parcel)) return name_of(message->type);
  return std::holds_alternative<Appended>(parcel) ? "MsgStorageAppendResp" : "MsgStorageApplyResp";
}

std::string Environment::described(const Parcel& parcel) const {
  if (const auto* message = std::get_if<Message>(&parcel)) return describe(*message, trace_.form());
  if (const auto* appended = std::get_if<Appended>(&parcel))
    return describe_appended(appended->node, appended->append).value_or("");
  const auto& applied = std::get<Applied>(parcel);
  return describe_applied(applied.node, applied.entries);
}

void Environment::deliver(const Parcel& parcel) {
  const auto to = node(recipient_of(parcel).value);
  if (!to) {
    trace_.write(to.error() + "\n");
    return;
  }
  Core& core = *(*to)->core;
  if (const auto* message = std::get_if<Message>(&parcel)) {
    const Result<void> done = core.step(*message);
    if (!done) trace_.write(text_of(done.error()) + "\n");
  } else if (const auto* appended = std::get_if<Appended>(&parcel)) {
    core.appended(appended->append.mark);
  } else {
    core.applied(std::get<Applied>(parcel).entries.back().index);
  }
}

std::size_t Environment::deliver_to(const Recipient& recipient, std::string_view type) {
  std::vector<Parcel> taken;
  std::vector<Parcel> rest;
  for (Parcel& parcel : in_flight_) {
    const bool matches = recipient_of(parcel) == recipient.node &&
                         !(recipient.drop && is_local(parcel)) &&
                         (type.empty() || type_of(parcel) == type);
    (matches ? taken : rest).push_back(std::move(parcel));
  }
  in_flight_ = std::move(rest);
  for (const Parcel& parcel : taken) {
    trace_.write((recipient.drop ? "dropped: " : "") + described(parcel) + "\n");
    if (!recipient.drop) deliver(parcel);
  }
  return taken.size();
}

Done Environment::deliver_messages(const datadriven::Case& command) {
  std::vector<Recipient> recipients;
  std::string type;
  for (const datadriven::Argument& argument : command.arguments) {
    if (argument.values.empty()) {
      const auto id = datadriven::parse_number(argument.key);
      if (!id) return std::unexpected("not a node: " + argument.key);
      recipients.push_back({NodeId(*id), false});
    }
    for (const std::string& value : argument.values) {
      if (argument.key == "type") {
        if (!value.starts_with("MsgStorage") && !message_type(value))
          return std::unexpected("unknown message type " + value);
        type = value;
      } else if (argument.key == "drop") {
        const auto id = datadriven::parse_number(value);
        if (!id) return std::unexpected("not a node: " + value);
        recipients.push_back({NodeId(*id), true});
      } else {
        return std::unexpected("unknown argument " + argument.key);
      }
    }
  }
  std::size_t delivered = 0;
  for (const Recipient& recipient : recipients)
    delivered += deliver_to(recipient, type);
  if (delivered == 0) trace_.write("no messages\n");
  return {};
}

Done Environment::write(Node& node, const Append& append) {
  if (append.hard_state) node.storage.set_hard_state(*append.hard_state);
  Result<void> done;
  if (append.snapshot) {
    if (!append.entries.empty())
      return std::unexpected("can't apply snapshot and entries at the same time");
    done = node.storage.install(*append.snapshot);
  } else {
    done = node.storage.append(append.entries);
  }
  if (!done) return std::unexpected(std::string(done.error().detail()));
  return {};
}

Done Environment::apply(Node& node, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (entry.kind == EntryKind::kNormal) {
      node.storage.apply(entry, nullptr);
      continue;
    }
    const Result<ConfChange> change = decode_conf_change(entry.payload.view());
    if (!change) return std::unexpected(change.error().message());
    const Result<ConfState> configuration = node.core->apply_conf_change(*change);
    if (!configuration) return std::unexpected(configuration.error().message());
    node.storage.apply(entry, &*configuration);
  }
  return {};
}

Done Environment::handle_ready(Node& node) {
  Output output = node.sync ? node.sync->ready() : node.core->take_output();
  std::vector<std::string> described_messages;
  for (const Message& message : output.messages)
    described_messages.push_back(describe(message, trace_.form()));
  if (node.async && output.append)
    described_messages.push_back(describe_append(node.id(), *output.append, Responses::kShown));
  if (node.async && !output.committed.empty())
    described_messages.push_back(describe_apply(node.id(), output.committed, Responses::kShown));
  const bool must_sync = node.must_sync(output);
  trace_.write(describe_ready(output, must_sync, described_messages));
  if (output.append && output.append->must_sync != (must_sync || output.append->snapshot))
    return std::unexpected("the core judges otherwise what must be synced");

  if (node.sync) {
    if (output.append) {
      if (const Done done = write(node, *output.append); !done) return done;
    }
    if (const Done done = apply(node, output.committed); !done) return done;
  }
  for (Message& message : output.messages)
    in_flight_.emplace_back(std::move(message));
  if (node.sync) {
    node.sync->advance();
  } else {
    if (output.append) node.append_work.push_back(std::move(*output.append));
    if (!output.committed.empty()) node.apply_work.push_back(std::move(output.committed));
  }
  return {};
}

Done Environment::append_once(Node& node) {
  if (node.append_work.empty()) {
    trace_.write("no append work to perform");
    return {};
  }
  Append append = std::move(node.append_work.front());
  node.append_work.pop_front();
  trace_.write("Processing:\n" + describe_append(node.id(), append, Responses::kHidden) + "\n");
  if (const Done done = write(node, append); !done) return done;
  trace_.write("Responses:\n");
  for (Message& response : append.responses) {
    trace_.write(describe(response, trace_.form()) + "\n");
    in_flight_.emplace_back(std::move(response));
  }
  append.responses.clear();
  if (const auto text = describe_appended(node.id(), append)) {
    trace_.write(*text + "\n");
    in_flight_.emplace_back(Appended{node.id(), std::move(append)});
  } else {
    node.core->appended(append.mark);
  }
  return {};
}

Done Environment::apply_once(Node& node) {
  if (node.apply_work.empty()) {
    trace_.write("no apply work to perform");
    return {};
  }
  std::vector<Entry> entries = std::move(node.apply_work.front());
  node.apply_work.pop_front();
  trace_.write("Processing:\n" + describe_apply(node.id(), entries, Responses::kHidden) + "\n");
  if (const Done done = apply(node, entries); !done) return done;
  trace_.write("Responses:\n" + describe_applied(node.id(), entries) + "\n");
  in_flight_.emplace_back(Applied{node.id(), std::move(entries)});
  return {};
}

Done Environment::under_heading(const Node& node, std::string_view heading,
                                Done (Environment::*step)(Node&)) {
  trace_.write(fmt::format("> {} {}\n", node.id().value, heading));
  Done done;
  trace_.indented([&] { done = (this->*step)(*nodes_[node.id().value - 1]); });
  return done;
}

Done Environment::on_each(const datadriven::Case& command, std::string_view heading,
                          Done (Environment::*step)(Node&)) {
  const auto nodes = nodes_of(command);
  if (!nodes) return std::unexpected(nodes.error());
  for (Node* node : *nodes) {
    const Done done =
        nodes->size() > 1 ? under_heading(*node, heading, step) : (this->*step)(*node);
    if (!done) return done;
  }
  return {};
}

Done Environment::process_ready(const datadriven::Case& command) {
  return on_each(command, "handling Ready", &Environment::handle_ready);
}

Done Environment::process_append_thread(const datadriven::Case& command) {
  return on_each(command, "processing append thread", &Environment::append_once);
}

Done Environment::process_apply_thread(const datadriven::Case& command) {
  return on_each(command, "processing apply thread", &Environment::apply_once);
}

std::expected<bool, std::string> Environment::stabilize_once(const std::vector<Node*>& nodes) {
  bool moved = false;
  for (Node* node : nodes) {
    if (!node->core->has_output()) continue;
    moved = true;
    const Done done = under_heading(*node, "handling Ready", &Environment::handle_ready);
    if (!done) return std::unexpected(done.error());
  }
  for (const Node* node : nodes) {
    const bool any = std::ranges::any_of(
        in_flight_, [&](const Parcel& parcel) { return recipient_of(parcel) == node->id(); });
    if (!any) continue;
    moved = true;
    trace_.write(fmt::format("> {} receiving messages\n", node->id().value));
    trace_.indented([&] { deliver_to({node->id(), false}, ""); });
  }
  for (const auto& [work, heading, step] :
       {std::tuple{true, "processing append thread", &Environment::append_once},
        std::tuple{false, "processing apply thread", &Environment::apply_once}}) {
    for (Node* node : nodes) {
      const auto waiting = [&] {
        return work ? !node->append_work.empty() : !node->apply_work.empty();
      };
      if (!waiting()) continue;
      moved = true;
      trace_.write(fmt::format("> {} {}\n", node->id().value, heading));
      while (waiting()) {
        Done done;
        trace_.indented([&] { done = (this->*step)(*node); });
        if (!done) return std::unexpected(done.error());
      }
    }
  }
  return moved;
}

Done Environment::stabilize(const std::vector<Node*>& nodes) {
  for (int round = 0; round < kStabilizeRounds; ++round) {
    const auto moved = stabilize_once(nodes);
    if (!moved) return std::unexpected(moved.error());
    if (!*moved) return {};
  }
  return std::unexpected("does not come to rest");
}

Done Environment::stabilize(const datadriven::Case& command) {
  auto nodes = nodes_of(command);
  if (!nodes) return std::unexpected(nodes.error());
  if (nodes->empty()) {
    for (const auto& node : nodes_)
      nodes->push_back(node.get());
  }
  const Level before = trace_.level();
  if (const auto name = command.text("log-level")) {
    datadriven::Case level;
    level.arguments.push_back({*name, {}});
    if (const Done done = log_level(level); !done) return done;
  }
  const Done done = stabilize(*nodes);
  trace_.set_level(before);
  return done;
}

}  // namespace blixard::raft::interaction
