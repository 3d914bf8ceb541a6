#include "vopr/report.h"

#include <set>

#include <gtest/gtest.h>

namespace blixard::vopr {
namespace {

TraceEvent event_of(Event event, std::string text) {
  return {.at = 12'345'678us + 900ns,
          .node = 2,
          .role = Role::kLeader,
          .term = Term(3),
          .commit = LogIndex(45),
          .event = event,
          .text = std::move(text)};
}

TEST(Trace, ColumnsStandUnderTheirHeadings) {
  EXPECT_EQ(trace_header(), "     seconds node role       term  commit event              what");
  EXPECT_EQ(trace_line(event_of(Event::kLeads, "of 3 members")),
            "   12.345678 n2   leader        3      45 leads              of 3 members");
  EXPECT_EQ(trace_line({.at = 1h, .event = Event::kSettled}),
            " 3600.000000 -    -             0       0 settled");
}

TEST(Trace, ADecisionIsNamedOnce) {
  TraceEvent event = event_of(Event::kStep, "n1 n3 for 2s");
  event.action = Action::kCut;
  EXPECT_TRUE(trace_line(event).ends_with(" step               cut n1 n3 for 2s"));
  event.text = "cut n1 n3";
  EXPECT_TRUE(trace_line(event).ends_with(" step               cut n1 n3"));
  event.text.clear();
  EXPECT_TRUE(trace_line(event).ends_with(" step               cut"));
  event.other = 3;
  event.until = 15s;
  EXPECT_TRUE(trace_line(event).ends_with(" cut, with n3, until 15.000000"));
}

TEST(Trace, ForeignTextStaysOneBoundedLine) {
  const std::string line = trace_line(event_of(Event::kAnswered, "a\nb\x1b[2J\tc\r\x7f"));
  EXPECT_TRUE(line.ends_with("answered           a b [2J c")) << line;
  std::string wide;
  for (int i = 0; i < 1000; ++i)
    wide += "ä";
  const std::string cut = trace_line(event_of(Event::kAnswered, "x" + wide));
  EXPECT_LT(cut.size(), 320U);
  EXPECT_TRUE(cut.ends_with("ä…")) << cut;
}

TEST(Trace, EveryEventAndRoleHasItsOwnName) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kEvents; ++i)
    names.insert(event_name(static_cast<Event>(i)));
  EXPECT_EQ(names.size(), kEvents);
  EXPECT_FALSE(names.contains(""));
  EXPECT_EQ(event_name(Event::kStep), "step");
  EXPECT_EQ(event_name(Event::kSnapshotInstalled), "snapshot-installed");
  EXPECT_EQ(event_name(Event::kVmPending), "vm-pending");
  EXPECT_EQ(event_name(Event::kNodeGone), "node-gone");
  EXPECT_EQ(event_name(Event::kAsked), "asked");
  EXPECT_EQ(event_name(Event::kViolation), "violation");
  EXPECT_EQ(role_name(Role::kDown), "down");
  EXPECT_EQ(role_name(Role::kLeader), "leader");
}

}  // namespace
}  // namespace blixard::vopr
