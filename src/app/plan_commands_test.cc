#include "app/plan_commands.h"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace blixard::app {
namespace {

TEST(PlanCommands, AnExplanationForPeople) {
  const auto answer = boost::json::parse(R"({
    "name": "web", "verdict": "VM web is on node n1; node n2 would be chosen now", "node": "n1",
    "reason": "", "strategy": "cost-optimized", "scored_by": "most-available", "nodes": 103,
    "nodes_that_fit": 2,
    "causes": [{"text": "cordoned", "nodes": 101}],
    "refused": [{"node": "n3", "why": "cordoned"}], "refused_left_out": 100,
    "chosen": {"node": "n1", "score_micro": 45250000, "parts": [
      {"name": "free memory", "score_micro": 50250000},
      {"name": "soft rules of groups", "score_micro": -5000000}]},
    "alternatives": [{"node": "n2", "score_micro": -5, "parts": [
      {"name": "taint to be avoided", "score_micro": -20000000}]}],
    "misses": [], "leaving": [], "gangs": [], "ahead": 0})");
  EXPECT_EQ(explanation_text(answer),
            "VM web is on node n1; node n2 would be chosen now\n"
            "strategy       cost-optimized, scored by most-available\n"
            "nodes          103, of which 2 would take it\n"
            "is on          n1 with 45.25 points: free memory 50.25 - soft rules of groups 5.00\n"
            "else           n2 with 0.00 points: taint to be avoided -20.00\n"
            "kept out       101 cordoned\n"
            "node           n3: cordoned\n"
            "node           and 100 more\n");
}

TEST(PlanCommands, AnExplanationOfOneThatWaits) {
  const auto answer = boost::json::parse(R"({
    "name": "web", "verdict": "VM web waits", "node": "", "reason": "none of 1 node can take it",
    "strategy": "most-available", "scored_by": "most-available", "nodes": 1, "nodes_that_fit": 0,
    "causes": [], "refused": [], "refused_left_out": 0, "alternatives": [],
    "misses": [{"text": "node n1 lacks 128 MiB of memory", "nodes": 1}], "leaving": ["a", "b"],
    "gangs": [{"group": "g", "wanted": 3, "placed": 0, "waiting": 2}], "ahead": 4})");
  EXPECT_EQ(explanation_text(answer),
            "VM web waits\n"
            "strategy       most-available\n"
            "nodes          1, of which 0 would take it\n"
            "before it      4 VMs wait\n"
            "last plan      none of 1 node can take it\n"
            "must leave     a,b\n"
            "gang           group g: 3 at once, 0 placed, 2 waiting\n"
            "would help     node n1 lacks 128 MiB of memory\n");
}

TEST(PlanCommands, APlanForPeople) {
  const auto answer = boost::json::parse(R"({"vms": [
      {"name": "a", "outcome": "placed", "node": "n1", "devices": [0, 3], "score_micro": 50125000,
       "makes_leave": ["low"], "reason": "", "code": ""},
      {"name": "b", "outcome": "waiting", "node": "", "devices": [], "score_micro": 0,
       "makes_leave": [], "reason": "no node has joined yet", "code": ""},
      {"name": "c", "outcome": "refused", "node": "", "devices": [], "score_micro": 0,
       "makes_leave": [], "reason": "VM c exists", "code": "vm_exists"}],
      "placed": 1, "waiting": 1, "refused": 1, "revision": 7})");
  EXPECT_EQ(plan_text(answer),
            "NAME  OUTCOME  NODE  DEVICES  SCORE  MAKES LEAVE  REASON\n"
            "a     placed   n1    0,3      50.13  low\n"
            "b     waiting                                     no node has joined yet\n"
            "c     refused                                     VM c exists (vm_exists)\n"
            "1 placed, 1 waiting, 1 refused\n");
}

}  // namespace
}  // namespace blixard::app
