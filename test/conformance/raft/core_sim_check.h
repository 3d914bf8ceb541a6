#pragma once

// What must hold after every event of the core simulation. The checker sees what leaves a core
// (writes, messages, committed entries, answers) and what is durable; it knows nothing of the
// core's inside and none of its rules, only what they are for. The first violation is kept.
//
// Log matching is checked by induction: of each (index, term) the first entry that anybody appends
// says what it holds and what stands before it, and every other must be like it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/raft/core.h"
#include "test/conformance/raft/core_sim_model.h"

namespace blixard::core_sim {

// A node's log as it was handed to its disk, durable or not.
class LogView {
 public:
  struct Item {
    Term term;
    std::uint64_t hash = 0;
  };
  void load(const Disk& disk);
  void reset(LogIndex base, Term term);
  // Precondition: index lies behind the base and at most behind the end.
  void append(LogIndex index, Item item);
  [[nodiscard]] LogIndex base() const { return base_; }
  [[nodiscard]] LogIndex last() const { return LogIndex(base_.value + items_.size()); }
  [[nodiscard]] std::optional<Term> term(LogIndex index) const;
  [[nodiscard]] const Item* find(LogIndex index) const;

 private:
  LogIndex base_;
  Term base_term_;
  std::vector<Item> items_;
};

[[nodiscard]] std::uint64_t hash_of(const raft::Entry& entry);

struct Violation {
  std::string checker;
  std::string text;
};

class Checker {
 public:
  struct Committed {
    Term term;
    std::uint64_t hash = 0;
    Term committed_in;        // of who knew it first
    std::uint64_t chain = 0;  // of everything up to here
  };
  struct Granted {
    Term term;
    NodeId node;
    friend auto operator<=>(const Granted&, const Granted&) = default;
  };

  explicit Checker(const raft::ConfState& initial);

  void violate(const char* checker, std::string text);
  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }

  // The log of `node` in `view` gets this entry next.
  void appends(NodeId node, const LogView& view, const raft::Entry& entry, std::uint64_t hash);
  void leads(NodeId node, Term term, const LogView& view);
  void commits(NodeId node, Term term, LogIndex before, LogIndex now, const LogView& view);
  void applies(NodeId node, const raft::Entry& entry);
  // The configuration of `node` from this entry on.
  void configures(NodeId node, LogIndex index, const raft::ConfState& configuration);
  // A snapshot was taken, or installed, at this place of the history.
  void snapshots(NodeId node, const raft::SnapshotMeta& meta);
  // A vote counts from now on: it left the node, or its own disk has it.
  void votes(NodeId node, Term term, NodeId candidate);
  // `message` is about to leave `from`, whose disk this is; `leader` is the log of who leads in its
  // term, if anybody does.
  void promises(const raft::Message& message, const Disk& disk, const LogView* leader);
  void hands_over(NodeId node, NodeId to, LogIndex last, Term term, const Disk& disk);
  void window(NodeId node, const raft::Status& status, const raft::Config& config);
  void reads(std::uint64_t read);
  void answers(NodeId node, const raft::ReadState& answer);

  [[nodiscard]] const std::vector<Committed>& history() const { return history_; }
  [[nodiscard]] std::uint64_t chain_at(LogIndex index) const { return history_[index.value].chain; }
  [[nodiscard]] const raft::ConfState& configuration_at(LogIndex index) const;
  [[nodiscard]] const raft::ConfState& newest_configuration() const {
    return configurations_.rbegin()->second;
  }
  [[nodiscard]] std::size_t elections() const { return leaders_.size(); }
  [[nodiscard]] std::size_t answered_reads() const { return answered_reads_; }

 private:
  struct Known {
    Term term;
    Term before;
    std::uint64_t hash = 0;
  };

  void promises_entries(const raft::Message& message, const Disk& disk, const LogView* leader);

  std::optional<Violation> violation_;
  std::vector<std::vector<Known>> known_;  // by index
  std::vector<Committed> history_;         // by index; the first says nothing
  std::map<Term, NodeId> leaders_;
  std::map<Granted, NodeId> votes_;
  std::map<LogIndex, raft::ConfState> configurations_;  // from this entry on
  std::map<std::uint64_t, LogIndex> floors_;            // of reads under way
  std::size_t answered_reads_ = 0;
};

}  // namespace blixard::core_sim
