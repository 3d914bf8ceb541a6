// Budgets of the pure parts: errors, log lines, frames, the model, consensus, placement.

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/result.h"
#include "core/cluster/scenario.h"
#include "core/sched/place.h"
#include "core/wire/frame.h"
#include "core/wire/message.h"
#include "env/task.h"
#include "observe/log.h"
#include "test/perf/budgets/ledger.h"

namespace blixard::budgets {
namespace {

constexpr std::uint64_t kRuns = 1000;

template <class F>
observe::AllocationCounts spent_by(F run) {
  for (std::uint64_t i = 0; i < kRuns; ++i)
    run(i);
  const Meter meter;
  for (std::uint64_t i = 0; i < kRuns; ++i)
    run(kRuns + i);
  return meter.spent();
}

// Errors.

[[gnu::noinline]] Result<int> fails(int depth) {
  if (depth == 0) return fail(Code::kNotFound, "vm_not_found");
  BLX_TRY(const int value, fails(depth - 1));
  return value + 1;
}
[[gnu::noinline]] Result<int> fails_with(int depth, const char* name) {
  if (depth == 0) return fail(Code::kNotFound, "vm_not_found", name);
  BLX_TRY(const int value, fails_with(depth - 1, name));
  return value + 1;
}
env::Task<Result<int>> fails_in_tasks(int depth) {
  if (depth == 0) co_return fail(Code::kNotFound, "vm_not_found");
  BLX_CO_TRY(const int value, co_await fails_in_tasks(depth - 1));
  co_return value + 1;
}

struct Root {
  struct promise_type {  // NOLINT(readability-identifier-naming): the language's name
    env::Cancellation* cancellation = nullptr;
    Root get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
    static void* operator new(std::size_t size) { return env::internal::allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept {
      env::internal::free_frame(frame, size);
    }
  };
};
Root fail_in_tasks() {
  const Result<int> result = co_await fails_in_tasks(5);
  look_at(result);
}

TEST(ErrorBudget, AnErrorThroughFiveFramesTakesNothing) {
  const auto spent = spent_by([](std::uint64_t) { look_at(fails(5)); });
  EXPECT_TRUE(within_budget("error.five_frames", kRuns, spent));
  EXPECT_EQ(spent, observe::AllocationCounts{});
}

TEST(ErrorBudget, AnErrorThroughFiveTasksTakesNothing) {
  const auto spent = spent_by([](std::uint64_t) { fail_in_tasks(); });
  EXPECT_TRUE(within_budget("error.five_tasks", kRuns, spent));
  EXPECT_EQ(spent, observe::AllocationCounts{});
}

// The detail once, and no copy of it on its way.
TEST(ErrorBudget, ADetailIsSharedOnItsWay) {
  const auto spent =
      spent_by([](std::uint64_t) { look_at(fails_with(5, "a name that does not fit in place")); });
  EXPECT_TRUE(within_budget("error.five_frames_with_detail", kRuns, spent));
}

TEST(ErrorBudget, ACopyOfAnErrorTakesNothing) {
  const Error error(Code::kNotFound, "vm_not_found", "a name that does not fit in place");
  const auto spent = spent_by([&](std::uint64_t) {
    const Error copy = error;  // NOLINT(performance-unnecessary-copy-initialization): measured
    look_at(copy);
  });
  EXPECT_TRUE(within_budget("error.copy", kRuns, spent));
  EXPECT_EQ(spent, observe::AllocationCounts{});
}

// Log lines.

class Sink final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override {
    return level >= observe::Level::kWarn;
  }
  void write(observe::Level, std::string_view line) override { look_at(line); }
};

TEST(LogBudget, ALineNobodyWantsTakesNothing) {
  Sink sink;
  const std::string name = "a name that does not fit in place";
  int evaluated = 0;
  const auto spent = spent_by([&](std::uint64_t i) {
    BLX_LOG(sink, kInfo, "vm {} started, pid {} {}", name, i, ++evaluated);
  });
  EXPECT_TRUE(within_budget("log_line.off", kRuns, spent));
  EXPECT_EQ(spent, observe::AllocationCounts{});
  EXPECT_EQ(evaluated, 0);
}

TEST(LogBudget, ALineThatIsWantedIsFormattedInPlace) {
  Sink sink;
  const std::string name = "a name that does not fit in place";
  const auto spent =
      spent_by([&](std::uint64_t i) { BLX_LOG(sink, kWarn, "vm {} started, pid {}", name, i); });
  EXPECT_TRUE(within_budget("log_line.on", kRuns, spent));
}

// Frames.

raft::Message append_of(std::size_t entries) {
  raft::Message message;
  message.type = raft::MessageType::kAppend;
  message.from = NodeId(1);
  message.to = NodeId(2);
  message.term = Term(7);
  message.log_term = Term(7);
  message.index = LogIndex(99);
  for (std::size_t i = 0; i < entries; ++i) {
    message.entries.push_back({.term = Term(7),
                               .index = LogIndex(100 + i),
                               .kind = raft::EntryKind::kNormal,
                               .payload = Payload(std::string(128, 'x'))});
  }
  return message;
}

std::string bytes_of(wire::FrameWriter& writer) {
  std::string all;
  for (const std::string_view part : writer.parts())
    all += part;
  return all;
}

void charge_message(const std::string& name, const wire::Message& message) {
  wire::FrameWriter writer;
  const auto encoded = spent_by([&](std::uint64_t) {
    writer.clear();
    BLX_ASSERT(wire::encode_message(message, writer));
    look_at(writer.parts());
  });
  EXPECT_TRUE(within_budget("wire.encode." + name, kRuns, encoded));
  const std::string bytes = bytes_of(writer);
  const auto header =
      wire::decode_frame_header(std::string_view(bytes).substr(0, wire::kFrameHeaderBytes));
  ASSERT_TRUE(header);
  const std::string_view body =
      std::string_view(bytes).substr(wire::kFrameHeaderBytes, header->body_bytes);
  const Payload tail(bytes.substr(wire::kFrameHeaderBytes + header->body_bytes));
  const auto decoded = spent_by([&](std::uint64_t) {
    const auto again = wire::decode_message(*header, body, tail);
    BLX_ASSERT(again.has_value());
    look_at(*again);
  });
  EXPECT_TRUE(within_budget("wire.decode." + name, kRuns, decoded));
}

TEST(WireBudget, Messages) {
  charge_message("append_1", {.id = 0, .content = append_of(1)});
  charge_message("append_16", {.id = 0, .content = append_of(16)});
  charge_message("request",
                 {.id = 7, .content = wire::Request{.body = Payload(std::string(200, 'r'))}});
  charge_message("reply", {.id = 7, .content = wire::Reply{.body = Payload(std::string(60, 'r'))}});
  charge_message("ping", {.id = 9, .content = wire::Ping{}});
}

// The model.

constexpr std::uint64_t kVms = 1000;

std::string name_of(std::uint64_t number) { return "vm-" + std::to_string(number); }

class ModelBudget : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.add_image("alpine"));
    for (std::uint64_t id = 1; id <= 64; ++id)
      ASSERT_TRUE(cluster_.add_node(id, 64, 64 * 1024));
  }

  // `made(i)` of each run before anything is counted.
  template <class F>
  void charge(const std::string& name, F made) {
    std::vector<v1::Command> commands;
    for (std::uint64_t i = 0; i < kVms; ++i) {
      commands.push_back(made(i));
      commands.back().set_time_unix_ms(1'000'000);
    }
    observe::AllocationCounts spent;
    for (const v1::Command& command : commands) {
      const Meter meter;
      const auto outcome = cluster_.state.apply(LogIndex(++index_), command, nullptr);
      spent += meter.spent();
      ASSERT_TRUE(outcome) << outcome.error().message();
    }
    EXPECT_TRUE(within_budget("apply." + name, kVms, spent));
  }

  [[nodiscard]] const cluster::Vm& vm(std::uint64_t number) const {
    return *cluster_.state.find_vm(name_of(number));
  }
  v1::Command report(std::uint64_t number, v1::VmState state, bool released = false) {
    v1::Command command = cluster::Scenario::command("");
    command.mutable_report_vms()->set_node_id(vm(number).node.value);
    auto& report = *command.mutable_report_vms()->add_reports();
    report.set_vm_id(vm(number).id.value);
    report.set_generation(vm(number).generation.value);
    report.set_state(state);
    report.set_released(released);
    return command;
  }
  v1::Command desire(std::uint64_t number, v1::VmDesired desired) {
    v1::Command command = cluster::Scenario::command("");
    command.mutable_set_desired()->set_name(name_of(number));
    command.mutable_set_desired()->set_desired(desired);
    return command;
  }
  v1::Command place(std::uint64_t number) {
    v1::Command command = cluster::Scenario::command("");
    command.mutable_place_vm()->set_vm_id(vm(number).id.value);
    command.mutable_place_vm()->set_generation(vm(number).generation.value);
    command.mutable_place_vm()->set_node_id(number % 64 + 1);
    return command;
  }

  cluster::Scenario cluster_;
  std::uint64_t index_ = 1000;
};

TEST_F(ModelBudget, TheLifeOfAVm) {
  charge("create_vm",
         [](std::uint64_t i) { return cluster::Scenario::create_command(name_of(i), 1, 128); });
  charge("place_vm", [&](std::uint64_t i) { return place(i); });
  charge("report_vms.starting", [&](std::uint64_t i) { return report(i, v1::VM_STATE_STARTING); });
  charge("report_vms.running", [&](std::uint64_t i) { return report(i, v1::VM_STATE_RUNNING); });
  charge("set_desired.stopped", [&](std::uint64_t i) { return desire(i, v1::VM_DESIRED_STOPPED); });
  charge("report_vms.stopped", [&](std::uint64_t i) { return report(i, v1::VM_STATE_STOPPED); });
  charge("set_desired.running", [&](std::uint64_t i) { return desire(i, v1::VM_DESIRED_RUNNING); });
  charge("set_desired.deleted", [&](std::uint64_t i) { return desire(i, v1::VM_DESIRED_DELETED); });
}

// A request that was seen is remembered.
TEST_F(ModelBudget, WithARequestId) {
  charge("create_vm.with_request_id", [](std::uint64_t i) {
    v1::Command command = cluster::Scenario::create_command(name_of(i), 1, 128);
    const Uuid id = Uuid::from_random(i, 1);
    command.set_request_id(
        std::string(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()));
    return command;
  });
}

// Placement.

TEST(PlacementBudget, APlanOfManyAndOneThatFindsNothing) {
  cluster::Scenario cluster;
  ASSERT_TRUE(cluster.add_image("alpine"));
  for (std::uint64_t id = 1; id <= 16; ++id)
    ASSERT_TRUE(cluster.add_node(id, 64, 64 * 1024));
  for (std::uint64_t i = 0; i < 64; ++i)
    ASSERT_TRUE(cluster.create(name_of(i)));
  sched::Planner planner;
  planner.follow(cluster.state);
  look_at(planner.plan(cluster.state));
  const Meter meter;
  const sched::Plan plan = planner.plan(cluster.state);
  const auto spent = meter.spent();
  ASSERT_EQ(plan.placements.size(), 64u);
  EXPECT_TRUE(within_budget("plan.64_vms_on_16_nodes", 64, spent));

  cluster::Scenario settled;
  ASSERT_TRUE(settled.add_image("alpine"));
  for (std::uint64_t id = 1; id <= 16; ++id)
    ASSERT_TRUE(settled.add_node(id, 64, 64 * 1024));
  for (std::uint64_t i = 0; i < 64; ++i) {
    ASSERT_TRUE(settled.create(name_of(i)));
    ASSERT_TRUE(settled.place(name_of(i), i % 16 + 1));
  }
  planner.follow(settled.state);
  const auto idle = spent_by([&](std::uint64_t) { look_at(planner.plan(settled.state)); });
  EXPECT_TRUE(within_budget("plan.nothing_waits", kRuns, idle));
}

}  // namespace
}  // namespace blixard::budgets
