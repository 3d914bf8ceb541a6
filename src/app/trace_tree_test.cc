#include "app/trace_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::app {
namespace {

using testing::HasSubstr;
using testing::Not;
using trace::ReadSpan;
using trace::Traces;

constexpr std::int64_t kBegin = 1'800'000'000'000'000'000;

ReadSpan span(std::uint64_t id, std::uint64_t parent, std::string name, std::int64_t from_ms,
              std::int64_t until_ms) {
  return {.trace = {1, 2},
          .id = {id},
          .parent = {parent},
          .name = std::move(name),
          .kind = trace::SpanKind::kInternal,
          .start_unix_ns = kBegin + from_ms * 1'000'000,
          .end_unix_ns = kBegin + until_ms * 1'000'000,
          .failure = {},
          .attributes = {}};
}

trace::ResourceSpans node(std::string name, std::vector<ReadSpan> spans) {
  trace::ResourceSpans of{.resource = {}, .spans = std::move(spans)};
  of.resource.node = std::move(name);
  return of;
}

Traces three_nodes() {
  return {
      .resources = {node("n2", {span(1, 0, "create_vm", 0, 100), span(9, 1, "api.wait", 20, 100)}),
                    node("n1", {span(2, 1, "raft.replicate", 5, 15)}),
                    node("n3", {span(3, 2, "apply CreateVm", 16, 17)})},
      .missing = {}};
}

TEST(TraceTree, ParentsStandBeforeChildrenInTheOrderTheyBegan) {
  const Traces traces = three_nodes();
  const auto tree = trace_tree(traces);
  ASSERT_TRUE(tree);
  std::vector<std::string> rows;
  for (const TraceRow& row : tree->rows)
    rows.push_back(tree->nodes[row.node] + std::string(row.depth + 1, ' ') + row.span->name);
  EXPECT_THAT(rows, testing::ElementsAre("n2 create_vm", "n1  raft.replicate",
                                         "n3   apply CreateVm", "n2  api.wait"));
  EXPECT_EQ(tree->end_unix_ns - tree->start_unix_ns, 100'000'000);
}

TEST(TraceTree, NothingIsDroppedForAParentThatIsMissing) {
  Traces traces = three_nodes();
  traces.resources.erase(traces.resources.begin() + 1);
  traces.missing = {"n1"};
  // Parents in a circle, and a span twice.
  traces.resources.push_back(node(
      "n4", {span(21, 22, "a", 1, 2), span(22, 21, "b", 1, 2), span(1, 0, "create_vm", 0, 100)}));
  const auto tree = trace_tree(traces);
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->rows.size(), 5U);
  const auto orphan = std::ranges::find(tree->rows, observe::SpanId{3},
                                        [](const TraceRow& row) { return row.span->id; });
  ASSERT_NE(orphan, tree->rows.end());
  EXPECT_TRUE(orphan->is_orphan);
  EXPECT_FALSE(tree->rows.front().is_orphan);
  EXPECT_THAT(trace_text(*tree, 100), HasSubstr("n1 could not be asked"));
  EXPECT_EQ(trace_tree(Traces()).error().reason(), "trace_not_found");
}

TEST(TraceTree, AsText) {
  const Traces traces = three_nodes();
  EXPECT_EQ(trace_text(*trace_tree(traces), 94),
            "trace 00000000000000010000000000000002: 100 ms, 4 spans on n2, n1, n3\n"
            "NODE  SPAN                                             BEGINS      TAKES\n"
            "n2    create_vm                                      0.000 ms     100 ms  "
            "████████████████████\n"
            "n1      raft.replicate                                 5.0 ms      10 ms   ██\n"
            "n3        apply CreateVm                                16 ms     1.0 ms     ▏\n"
            "n2      api.wait                                        20 ms      80 ms      "
            "████████████████\n");
}

TEST(TraceTree, ForeignTextIsHarmless) {
  Traces traces = three_nodes();
  ReadSpan& root = traces.resources[0].spans[0];
  root.name = "<script>\x1b[2J\nx";
  root.failure = "no_leader";
  root.attributes = {{"blixard.vm.name", "\"web\""}, {"n", std::int64_t{3}}};
  const auto tree = trace_tree(traces);
  const std::string text = trace_text(*tree, 100);
  EXPECT_THAT(text, HasSubstr("<script>?[2J x (no_leader)"));
  EXPECT_THAT(text, HasSubstr(", 1 failed"));
  const std::string page = trace_page(*tree);
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(page, HasSubstr("vm.name=&quot;web&quot;, n=3"));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_EQ(attributes_text(root), "vm.name=\"web\", n=3");
}

TEST(TraceTree, Durations) {
  EXPECT_EQ(duration_text(0), "0.000 ms");
  EXPECT_EQ(duration_text(412'300), "0.412 ms");
  EXPECT_EQ(duration_text(3'560'000), "3.6 ms");
  EXPECT_EQ(duration_text(35'200'000), "35 ms");
  EXPECT_EQ(duration_text(1'204'000'000), "1.20 s");
}

}  // namespace
}  // namespace blixard::app
