#pragma once

// What must hold in a cluster whatever happens to it, judged from outside: from the messages that
// leave a node, the entries it applies, what it knows when it is started again, and what clients
// are told. The judge knows nothing of how a replica works. The first violation is kept.
//
// * One leader per term: nobody else sends appends or heartbeats in it.
// * Log matching, by induction: of each (index, term) the first entry that anybody sends or applies
//   says what it holds and what stands before it, and every other must be like it.
// * Leader completeness: what was applied anywhere is in the log of whoever leads later.
// * Equal histories: the first node that applies an index says which entry and which answer belong
//   to it, for every node and every life; equal states are compared by their hash.
// * Each request acts once: wherever its id stands in the history, the answer is the first one's.
// * No acknowledged write is lost: an answer must be in the history, which never changes.
// * A read shows what was acknowledged, or read, anywhere before it began.
// * A node that is started again knows what it acknowledged to others and votes once a term.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "core/cluster/state.h"
#include "core/raft/types.h"
#include "node/replica/replica.h"

namespace blixard::vopr {

class Judge {
 public:
  // Called with the checker's name and the text of the first violation.
  using OnViolation = std::function<void(std::string_view, const std::string&)>;
  explicit Judge(OnViolation on_violation) : on_violation_(std::move(on_violation)) {}

  void on_sent(NodeId node, const raft::Message& message);
  // A new life of the node's program.
  void on_started(NodeId node);
  // The node has read its disk.
  void on_opened(NodeId node, const replica::Status& status);
  void on_restored(NodeId node, const cluster::State& state, LogIndex index, Term term);
  void on_applied(NodeId node, const cluster::State& state, const raft::Entry& entry,
                  const Result<cluster::Outcome>& outcome);

  // A client was told what became of its request.
  void on_answer(const Uuid& request, const Result<cluster::Outcome>& outcome);
  // The same, where all that the client knows is that it was done.
  void on_acknowledged(const Uuid& request);
  // Every read that begins now must show at least this.
  [[nodiscard]] LogIndex read_floor() const { return read_floor_; }
  void on_read(NodeId node, LogIndex floor_when_begun, LogIndex shown);
  // Of a state that a client was shown the hash of.
  void on_digest(NodeId node, LogIndex index, const std::string& hash);

  void fail(std::string_view checker, const std::string& text);
  [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

  [[nodiscard]] std::size_t elections() const { return leaders_.size(); }
  [[nodiscard]] LogIndex last() const { return LogIndex(kFirst + history_.size() - 1); }
  [[nodiscard]] std::size_t requests() const { return requests_.size(); }
  [[nodiscard]] std::size_t repeated_requests() const { return repeated_requests_; }

 private:
  // The first state of a cluster is a snapshot at index 1.
  static constexpr std::uint64_t kFirst = 2;

  struct Applied {
    Term term;
    std::uint64_t entry = 0;    // hash
    std::uint64_t outcome = 0;  // hash
    Term known_in;  // the last term of which a leader was seen: it was committed by then
  };
  struct Logged {
    std::uint64_t entry = 0;  // hash
    Term before;              // of the entry before it
    bool before_known = false;
  };
  struct Promises {
    std::map<Term, LogIndex> acknowledged;
    std::map<Term, NodeId> votes;
    LogIndex applied;  // in this life
  };

  [[nodiscard]] const Applied* applied_at(LogIndex index) const;
  void check_leader(NodeId node, const raft::Message& message);
  void check_log(NodeId node, const raft::Message& message);
  void check_logged(NodeId node, const raft::Entry& entry, std::optional<Term> before);
  void check_against_history(NodeId node, Term leads, LogIndex index, Term term);
  void check_state(NodeId node, const cluster::State& state, LogIndex index);
  void remember_request(const raft::Entry& entry, const Result<cluster::Outcome>& outcome);
  [[nodiscard]] LogIndex promised(const Promises& promises) const;

  OnViolation on_violation_;
  std::optional<std::string> violation_;
  std::map<Term, NodeId> leaders_;
  std::map<std::pair<LogIndex, Term>, Logged> log_;
  std::vector<Applied> history_;  // from index kFirst
  std::map<LogIndex, std::string> states_;
  struct Request {
    std::uint64_t answer = 0;  // hash
    LogIndex done;             // none: it was refused
  };
  std::map<Uuid, Request> requests_;
  std::map<NodeId, Promises> promises_;
  LogIndex read_floor_{1};
  std::size_t repeated_requests_ = 0;
};

}  // namespace blixard::vopr
