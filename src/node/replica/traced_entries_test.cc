#include "node/replica/traced_entries.h"

#include <cstdint>
#include <set>
#include <string>
#include <variant>

#include <gtest/gtest.h>

#include "node/replica/instruments.h"
#include "node/trace/otlp.h"
#include "sim/machine.h"
#include "sim/world.h"

namespace blixard::replica {
namespace {

constexpr trace::TraceContext kRequest{.trace = {1, 2}, .span = {3}, .sampled = true};

class TracedEntriesTest : public testing::Test {
 protected:
  void place(std::uint64_t term, std::uint64_t index) {
    entries_.placed({Term(term), LogIndex(index)}, tracer_.begin(kRequest, "raft.replicate"));
  }
  // "term:index failure" of each.
  std::set<std::string> ended() const {
    std::set<std::string> texts;
    for (const trace::ReadSpan& span : trace::spans_of(tracer_, kRequest.trace)) {
      std::string text;
      for (const auto& [key, value] : span.attributes)
        text += (text.empty() ? "" : ":") + std::to_string(std::get<std::int64_t>(value));
      texts.insert(text + " " + span.failure);
    }
    return texts;
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("a");
  trace::Tracer tracer_{machine_.env().clock, machine_.env().random};
  TracedEntries entries_;
};

TEST_F(TracedEntriesTest, EndWhenTheyAreCommitted) {
  place(2, 10);
  place(2, 11);
  entries_.committed({Term(2), LogIndex(10)});
  EXPECT_EQ(ended(), (std::set<std::string>{"2:10 "}));
  entries_.committed({Term(3), LogIndex(11)});
  EXPECT_EQ(ended(), (std::set<std::string>{"2:10 ", "2:11 leadership_lost"}));
}

// One that led in term 2, lost the lead and won it again, begins where the others' logs end.
TEST_F(TracedEntriesTest, ThePlacesOfAnEarlierTermAreTakenOver) {
  for (std::uint64_t index = 10; index <= 12; ++index)
    place(2, index);
  place(4, 11);
  EXPECT_EQ(ended(), (std::set<std::string>{"2:12 leadership_lost", "2:11 leadership_lost"}));
  entries_.committed({Term(2), LogIndex(10)});
  entries_.committed({Term(4), LogIndex(11)});
  EXPECT_EQ(ended(), (std::set<std::string>{"2:12 leadership_lost", "2:11 leadership_lost", "2:10 ",
                                            "4:11 "}));
}

TEST(ProposalFailure, OnlyAnAnswerOfTheModelIsARefusal) {
  EXPECT_EQ(failure_of({Code::kNotFound, "vm_not_found"}), ProposalFailure::kRefused);
  EXPECT_EQ(failure_of({Code::kResourceExhausted, "node_full"}), ProposalFailure::kRefused);
  EXPECT_EQ(failure_of({Code::kResourceExhausted, "too_many_requests"}), ProposalFailure::kTooMany);
  EXPECT_EQ(failure_of({Code::kFailedPrecondition, "removed"}), ProposalFailure::kStopped);
  EXPECT_EQ(failure_of({Code::kUnavailable, "peer_error"}), ProposalFailure::kOther);
}

}  // namespace
}  // namespace blixard::replica
