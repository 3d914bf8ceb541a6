#pragma once

// A group of nodes without clock, disk or network of its own, driven by the commands of a script:
// nothing moves unless a command moves it. Knows every command of the reference's scripts (series
// 3.4 and the current one, which also takes several commands in one block) and a few of our own:
//
//   read-index N S              node N asks for a read named N/S; shows as ReadStates
//   report-snapshot N M status=failure|finish     the snapshot from N to M failed or arrived
//   restart N [option=...]      N dies and comes back with what its storage thread wrote; what
//                               waited for that thread is lost, and so is the applied state
//                               behind the last snapshot (it is applied again). Options of
//                               add-nodes that are settings change
//   send-append N M after=I count=C   N, a leader, sends M the C entries behind index I, whatever
//   it
//                               knows of M: a correct message, cut as the script wants it
//   entries-loaded N            what N's storage had not in memory is there
//   add-nodes ... max-size-per-msg=B max-inflight-bytes=B max-uncommitted-size=B
//
// Several commands in one block begin on lines of their own.
// The content of snapshots is not modelled: `content=` of add-nodes is read and has no effect.

#include <cstddef>
#include <deque>
#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/raft/core.h"
#include "test/conformance/raft/datadriven.h"
#include "test/conformance/raft/memory_storage.h"
#include "test/conformance/raft/sync_node.h"
#include "test/conformance/raft/trace.h"

namespace blixard::raft::interaction {

// The error's text is part of what a command answers.
using Done = std::expected<void, std::string>;

class Environment {
 public:
  explicit Environment(Form form);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // Runs a case and returns what it says.
  std::string handle(const datadriven::Case& block);

 private:
  using Arguments = std::vector<datadriven::Argument>;
  using Handler = Done (Environment::*)(const datadriven::Case&);

  struct Node;
  struct Appended {  // the append thread tells the node
    NodeId node;
    Append append;
  };
  struct Applied {  // the apply thread tells the node
    NodeId node;
    std::vector<Entry> entries;
  };
  using Parcel = std::variant<Message, Appended, Applied>;
  struct Recipient {
    NodeId node;
    bool drop = false;
  };

  static Handler handler_of(std::string_view command);
  static NodeId recipient_of(const Parcel& parcel);
  static bool is_local(const Parcel& parcel);
  static std::string_view type_of(const Parcel& parcel);
  [[nodiscard]] std::string described(const Parcel& parcel) const;

  Done run_block(const datadriven::Case& block);
  Done run_one(const datadriven::Case& command);
  std::expected<Node*, std::string> node_at(const datadriven::Case& command, std::size_t position);
  std::expected<Node*, std::string> node(std::uint64_t id);
  std::expected<std::vector<Node*>, std::string> nodes_of(const datadriven::Case& command);

  // Commands.
  Done add_nodes(const datadriven::Case& command);
  Done campaign(const datadriven::Case& command);
  Done compact(const datadriven::Case& command);
  Done deliver_messages(const datadriven::Case& command);
  Done entries_loaded(const datadriven::Case& command);
  Done forget_leader(const datadriven::Case& command);
  Done log_level(const datadriven::Case& command);
  Done nothing(const datadriven::Case& command);
  Done process_append_thread(const datadriven::Case& command);
  Done process_apply_thread(const datadriven::Case& command);
  Done process_ready(const datadriven::Case& command);
  Done propose(const datadriven::Case& command);
  Done propose_conf_change(const datadriven::Case& command);
  Done raft_log(const datadriven::Case& command);
  Done raft_state(const datadriven::Case& command);
  Done read_index(const datadriven::Case& command);
  Done report_snapshot(const datadriven::Case& command);
  Done report_unreachable(const datadriven::Case& command);
  Done restart(const datadriven::Case& command);
  Done send_append(const datadriven::Case& command);
  Done send_snapshot(const datadriven::Case& command);
  Done set_election_timeout(const datadriven::Case& command);
  Done stabilize(const datadriven::Case& command);
  Done status(const datadriven::Case& command);
  Done tick_election(const datadriven::Case& command);
  Done tick_heartbeat(const datadriven::Case& command);
  Done transfer_leadership(const datadriven::Case& command);

  // What they are made of.
  Done start(Node& node, const SnapshotMeta& begin);
  Done handle_ready(Node& node);
  Done append_once(Node& node);
  Done apply_once(Node& node);
  Done write(Node& node, const Append& append);
  Done apply(Node& node, const std::vector<Entry>& entries);
  Done on_each(const datadriven::Case& command, std::string_view heading,
               Done (Environment::*step)(Node&));
  void show_log(const Node& node);
  void deliver(const Parcel& parcel);
  std::size_t deliver_to(const Recipient& recipient, std::string_view type);
  Done stabilize(const std::vector<Node*>& nodes);
  // One pass over the nodes; whether anything happened.
  std::expected<bool, std::string> stabilize_once(const std::vector<Node*>& nodes);
  Done under_heading(const Node& node, std::string_view heading, Done (Environment::*step)(Node&));

  Trace trace_;
  std::vector<std::unique_ptr<Node>> nodes_;  // number i has id i + 1
  std::vector<Parcel> in_flight_;
};

}  // namespace blixard::raft::interaction
