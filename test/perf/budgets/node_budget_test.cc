// Budgets of requests: HTTP as bytes, and the API of a whole node with simulated guests.

#include <string>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "env/settings.h"
#include "env/test_coroutine.h"
#include "node/http/codec.h"
#include "node/node.h"
#include "node/telemetry/telemetry.h"
#include "node/trace/tracer.h"
#include "node/vm/sim/pretended_host.h"
#include "sim/tiny_image.h"
#include "sim/world.h"
#include "test/perf/budgets/ledger.h"
#include "vopr/rest.h"

namespace blixard::budgets {
namespace {

using env::Task;

constexpr std::uint64_t kRuns = 1000;

TEST(HttpBudget, ARequestAndAnAnswerAsBytes) {
  const std::string bytes =
      "GET /v1/vms/web?consistency=stale HTTP/1.1\r\nHost: localhost\r\nAccept: "
      "application/json\r\nUser-Agent: blixard/0.1.0\r\n\r\n";
  const auto parse = [&] {
    http::RequestParser parser({.header_bytes = 16384, .body_bytes = 65536});
    BLX_ASSERT(parser.put(bytes).has_value() && parser.done());
    const http::Request request = parser.take();
    look_at(request);
  };
  const http::Response response{
      .status = 200, .content_type = "application/json", .body = std::string(400, 'b')};
  const auto encode = [&] {
    const auto text = http::encode_response(response, {});
    BLX_ASSERT(text.has_value());
    look_at(*text);
  };
  parse();
  encode();
  const Meter parsing;
  for (std::uint64_t i = 0; i < kRuns; ++i)
    parse();
  EXPECT_TRUE(within_budget("http.parse_request", kRuns, parsing.spent()));
  const Meter encoding;
  for (std::uint64_t i = 0; i < kRuns; ++i)
    encode();
  EXPECT_TRUE(within_budget("http.encode_response", kRuns, encoding.spent()));
}

// What a node tells, and looks at.

TEST(TelemetryBudget, EachRecordOfTheFive) {
  observe::Metrics metrics;
  telemetry::Telemetry telemetry(metrics);
  cluster::Node node;
  node.id = NodeId(1);
  node.name = Name("a-node-whose-name-does-not-fit-in-place");
  const telemetry::NodeLabel label = telemetry.label(node);
  using telemetry::PlacementStrategy;
  const auto charge = [](const char* name, auto record) {
    record();
    const Meter meter;
    for (std::uint64_t i = 0; i < kRuns; ++i)
      record();
    const auto spent = meter.spent();
    EXPECT_TRUE(within_budget(name, kRuns, spent));
    EXPECT_EQ(spent, observe::AllocationCounts{}) << name;
  };
  charge("metrics.record_vm_placement_attempt", [&] {
    telemetry.record_vm_placement_attempt(PlacementStrategy::kFragmentationAware,
                                          telemetry::PlacementOutcome::kPlaced, 3ms);
  });
  charge("metrics.record_vm_operation", [&] {
    telemetry.record_vm_operation(telemetry::VmOperation::kCreate, telemetry::Outcome::kOk, 3ms);
  });
  charge("metrics.record_p2p_image_import", [&] {
    telemetry.record_p2p_image_import(telemetry::ArtifactType::kVmImage, telemetry::Outcome::kOk,
                                      mib(20), 3s);
  });
  charge("metrics.record_vm_scheduling_decision", [&] {
    telemetry.record_vm_scheduling_decision(PlacementStrategy::kFragmentationAware, label, 1ms, 0);
  });
  charge("metrics.update_node_resource_metrics", [&] {
    telemetry.update_node_resource_metrics(label, {.vcpus = 8, .memory = mib(4096)},
                                           {.vcpus = 2, .memory = mib(512)});
  });
}

TEST(ViewBudget, ReadingTakesNothing) {
  env::SettingsView view({.otlp_endpoint = "http://an-endpoint-that-does-not-fit-in-place"});
  env::SettingsView::Reader reader(view);
  const auto charge = [&](const char* name, auto run) {
    const Meter meter;
    for (std::uint64_t i = 0; i < kRuns; ++i)
      run();
    EXPECT_TRUE(within_budget(name, kRuns, meter.spent()));
  };
  charge("configuration.read", [&] { look_at(reader.read()); });
  charge("configuration.publish_and_read", [&] {
    view.publish({});
    look_at(reader.read());
  });
}

// More spans than are kept, so that the oldest make room.
TEST(TraceBudget, RecordingASpanTakesNothing) {
  constexpr std::uint64_t kSpans = 2 * limits::kTraceSpans;
  sim::World world(3);
  const env::Env env = world.add_machine("here").env();
  trace::Tracer tracer(env.clock, env.random, 1);
  const auto record = [&] {
    trace::ActiveSpan request = tracer.begin_request({}, "request");
    trace::ActiveSpan part = tracer.begin(request.context(), "part");
    part.set("blixard.vm.name", "a-vm-whose-name-does-not-fit-in-place");
    part.set("blixard.raft.index", 17u);
    part.end(Result<void>(fail(Code::kUnavailable, "no_leader")));
  };
  const Meter meter;
  for (std::uint64_t i = 0; i < kSpans / 2; ++i)
    record();
  const auto spent = meter.spent();
  EXPECT_TRUE(within_budget("trace.record_span", kSpans, spent));
  EXPECT_EQ(spent.allocations, 0u);
  EXPECT_EQ(tracer.recorded(), kSpans);
}

// The API.

std::string name_of(std::uint64_t number) { return "vm-" + std::to_string(number); }

class Daemon {
 public:
  explicit Daemon(env::Env env, double trace_sample_ratio = 0)
      : env_(env),
        host_(env, "/data/vms", {}),
        node_(env, config(trace_sample_ratio), host_.driver()) {}

  // `work` once everything answers and the image is there.
  template <class Work>
  Task<void> run(Work work) {
    env::Scope scope(env_.executor, nullptr);
    env::Signal ready(env_.executor);
    bool is_ready = false;
    scope.spawn(serve(ready, is_ready));
    while (!is_ready)
      ignore(co_await ready.wait(), "nobody cancels it");
    EXPECT_TRUE(co_await sim::write_image(env_, "/src", "console=ttyS0"));
    EXPECT_EQ(co_await ask(http::Method::kPost, "/v1/images", R"({"path":"/src"})"), 201);
    co_await work(*this);
    node_.stop(node::StopGuests::kYes);
    co_await scope.join();
    co_await host_.close();
  }

  // The status of the answer.
  Task<int> ask(http::Method method, std::string target, std::string body = "") {
    auto reply = co_await rest::send(env_, env::Endpoint::unix_socket("/data/api.sock"),
                                     {.method = method,
                                      .target = std::move(target),
                                      .body = std::move(body),
                                      .token = "",
                                      .key = env_.random.uuid().text()},
                                     60s);
    if (!reply) {
      ADD_FAILURE() << reply.error().message();
      co_return 0;
    }
    co_return reply->status;
  }
  Task<int> create(std::uint64_t number) {
    return ask(http::Method::kPost, "/v1/vms?wait=running&timeout=30s",
               R"({"name":")" + name_of(number) + R"(","image":"tiny"})");
  }

 private:
  static node::Config config(double trace_sample_ratio) {
    return {.data_directory = "/data",
            .name = "here",
            .listen = {},
            .bootstrap = true,
            .version = "1",
            .trace_sample_ratio = trace_sample_ratio};
  }
  Task<void> serve(env::Signal& ready, bool& is_ready) {
    const auto done = co_await node_.run([&](const node::Ready&) {
      is_ready = true;
      ready.notify_all();
    });
    EXPECT_TRUE(done) << done.error().message();
  }

  env::Env env_;
  vm_sim::PretendedHost host_;
  node::Node node_;
};

// `count` requests that `target(i)` names, each answered `status`.
template <class Ask>
Task<void> charge(const char* name, std::uint64_t count, int status, Ask ask) {
  const Meter meter;
  for (std::uint64_t i = 0; i < count; ++i) {
    const int answer = co_await ask(i);
    EXPECT_EQ(answer, status);
  }
  EXPECT_TRUE(within_budget(name, count, meter.spent()));
}

constexpr std::uint64_t kVms = 20;

// A daemon with nothing on it yet. Frames of coroutines are kept for the next ones, so that one
// before it has as many VMs: then it does not matter which test is the first.
template <class Work>
void play(double trace_sample_ratio, Work work) {
  const auto of_one = [](double ratio, auto story) {
    sim::World world(3);
    sim::Machine& machine = world.add_machine("here");
    // It outlives the run. NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
    ASSERT_TRUE(world.run([&]() -> Task<void> {
      Daemon daemon(machine.env(), ratio);
      co_await daemon.run(story);
    }()));
  };
  of_one(1, [](Daemon& d) -> Task<void> {
    for (std::uint64_t i = 0; i <= kVms; ++i)
      EXPECT_EQ(co_await d.create(i), 201);
  });
  of_one(trace_sample_ratio, work);
}

// What client and daemon take together, and what the daemon does by the way.
TEST(NodeBudget, TheLifeOfVmsByTheApi) {
  play(0, [](Daemon& d) -> Task<void> {
    EXPECT_EQ(co_await d.create(0), 201);  // the first of everything
    co_await charge("node.create_vm_until_it_runs", kVms, 201,
                    [&](std::uint64_t i) { return d.create(i + 1); });
    co_await charge("node.get_vm", 200, 200, [&](std::uint64_t i) {
      return d.ask(http::Method::kGet, "/v1/vms/" + name_of(i % kVms));
    });
    co_await charge("node.get_vm.stale", 200, 200, [&](std::uint64_t i) {
      return d.ask(http::Method::kGet, "/v1/vms/" + name_of(i % kVms) + "?consistency=stale");
    });
    co_await charge("node.list_vms", 50, 200,
                    [&](std::uint64_t) { return d.ask(http::Method::kGet, "/v1/vms"); });
    co_await charge("node.get_vm.unknown", 200, 404,
                    [&](std::uint64_t) { return d.ask(http::Method::kGet, "/v1/vms/nobody"); });
    co_await charge("node.stop_vm_until_it_stopped", kVms, 200, [&](std::uint64_t i) {
      return d.ask(http::Method::kPost, "/v1/vms/" + name_of(i) + "/stop?wait=stopped");
    });
  });
}

// The same with every request traced: what its spans and the longer commands take.
TEST(NodeBudget, ATracedCreate) {
  play(1, [](Daemon& d) -> Task<void> {
    EXPECT_EQ(co_await d.create(0), 201);
    co_await charge("node.create_vm_until_it_runs.traced", kVms, 201,
                    [&](std::uint64_t i) { return d.create(i + 1); });
  });
}

}  // namespace
}  // namespace blixard::budgets
