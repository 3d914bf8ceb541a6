// Pause, resume, suspend, snapshot and restore through the API: what is answered, waited for and
// refused.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cluster/scenario.h"
#include "env/scope.h"
#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;
using testing::HasSubstr;

void fill(v1::SavedGuest& saved) {
  saved.set_digest(std::string(32, 'g'));
  saved.set_bytes(5000);
  saved.set_accelerator("tcg");
  saved.set_hypervisor_version("7.2.22");
  saved.set_saved_unix_ms(1769846700250);
}

v1::VmReport suspended() {
  v1::VmReport report;
  report.set_state(v1::VM_STATE_SUSPENDED);
  report.set_released(true);
  fill(*report.mutable_saved());
  return report;
}

v1::VmReport snapshot_made(std::uint64_t number) {
  v1::VmReport report;
  report.set_state(v1::VM_STATE_RUNNING);
  report.mutable_snapshot()->set_number(number);
  fill(*report.mutable_snapshot()->mutable_saved());
  return report;
}

v1::VmReport snapshot_failed(std::uint64_t number, const std::string& error) {
  v1::VmReport report;
  report.set_state(v1::VM_STATE_RUNNING);
  report.mutable_snapshot()->set_number(number);
  report.mutable_snapshot()->set_error(error);
  return report;
}

// Its first registration was of a version that has no hypervisor's.
Task<Result<void>> register_whole(Bench& bench) {
  v1::Command command = cluster::Scenario::command(
      "register_node { node_id: 1 name: 'n1' capacity { vcpus: 8 memory_mib: 4096 } "
      "accelerator: 'tcg' hypervisor_version: '7.2.22' }");
  command.mutable_register_node()->set_model_version(cluster::kModelVersion);
  BLX_CO_TRY(co_await bench.replica->propose(std::move(command)));
  co_return Result<void>();
}

Task<void> make_running(Bench& bench) {
  EXPECT_TRUE(co_await register_whole(bench));
  const std::string body = R"({"name":"web","image":"tiny"})";
  EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
  co_await bench.boot("web", v1::VM_STATE_RUNNING);
}

// After a second, as an agent would.
Task<void> tell_later(Bench& bench, v1::VmReport report) {
  EXPECT_TRUE(co_await bench.env.clock.sleep(1s));
  const auto told = co_await bench.tell("web", std::move(report));
  EXPECT_TRUE(told) << told.error().message();
}

// The answer to a request while the agent says that.
Task<Reply> answered(Bench& bench, Method method, std::string target, v1::VmReport report) {
  env::Scope scope(bench.env.executor, co_await env::this_cancellation());
  scope.spawn(tell_later(bench, std::move(report)));
  const Reply reply = co_await bench.call(method, std::move(target));
  co_await scope.join();
  co_return reply;
}

TEST(ApiSaving, PausesAndResumes) {
  run([](Bench& bench) -> Task<void> {
    co_await make_running(bench);
    v1::VmReport paused;
    paused.set_state(v1::VM_STATE_PAUSED);
    const Reply pause =
        co_await answered(bench, Method::kPost, "/v1/vms/web/pause?wait=paused", paused);
    EXPECT_EQ(pause.status, 200) << pause.body;
    EXPECT_EQ(pause.text("state"), "paused");
    EXPECT_EQ(pause.text("desired"), "paused");
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web?wait=running")).text("code"),
              "wait_impossible");
    v1::VmReport running;
    running.set_state(v1::VM_STATE_RUNNING);
    const Reply resume =
        co_await answered(bench, Method::kPost, "/v1/vms/web/resume?wait=running", running);
    EXPECT_EQ(resume.status, 200) << resume.body;
    EXPECT_EQ(resume.text("generation"), "1");
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms/web/pause")).status, 202);
  });
}

TEST(ApiSaving, SuspendsAndWakes) {
  run([](Bench& bench) -> Task<void> {
    co_await make_running(bench);
    const Reply suspend =
        co_await answered(bench, Method::kPost, "/v1/vms/web/suspend?wait=suspended", suspended());
    EXPECT_EQ(suspend.status, 200) << suspend.body;
    EXPECT_EQ(suspend.text("state"), "suspended");
    EXPECT_EQ(suspend.text("node"), "");
    const auto saved = suspend.document().at("saved");
    EXPECT_EQ(saved.at("node").as_string(), "n1");
    EXPECT_EQ(saved.at("bytes").to_number<int>(), 5000);
    EXPECT_EQ(saved.at("saved").as_string(), "2026-01-31T08:05:00.250Z");
    EXPECT_EQ(saved.at("digest").as_string().size(), 64U);
    EXPECT_EQ(saved.at("used_by").to_number<int>(), 0);
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms?limit=1")).status, 200);
    const Reply wake = co_await bench.call(Method::kPost, "/v1/vms/web/resume");
    EXPECT_EQ(wake.text("state"), "pending");
    EXPECT_TRUE(co_await bench.place("web"));
    v1::VmReport using_it;
    using_it.set_state(v1::VM_STATE_STARTING);
    using_it.set_uses_saved(true);
    EXPECT_TRUE(co_await bench.tell("web", using_it));
    const Reply used = co_await bench.call(Method::kGet, "/v1/vms/web");
    EXPECT_EQ(used.document().at("saved").at("used_by").to_number<int>(), 2);
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_RUNNING));
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web")).text("saved"), "<none>");
  });
}

TEST(ApiSaving, AWaitForASuspendedVmEndsWithItsGuest) {
  run([](Bench& bench) -> Task<void> {
    co_await make_running(bench);
    v1::VmReport stopped;
    stopped.set_state(v1::VM_STATE_STOPPED);
    const Reply late =
        co_await answered(bench, Method::kPost, "/v1/vms/web/suspend?wait=suspended", stopped);
    EXPECT_EQ(late.status, 409);
    EXPECT_EQ(late.text("code"), "wait_impossible");
    EXPECT_EQ(late.text("detail"), "VM web has stopped before it was saved");
  });
}

TEST(ApiSaving, TakesASnapshotAndRestoresIt) {
  run([](Bench& bench) -> Task<void> {
    co_await make_running(bench);
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms/web/restore")).text("code"),
              "no_snapshot");
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/vms/web/snapshot")).text("code"),
              "no_snapshot");
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/vms/web?wait=snapshot")).text("code"),
              "no_snapshot");
    const Reply asked = co_await bench.call(Method::kPost, "/v1/vms/web/snapshot");
    EXPECT_EQ(asked.status, 202) << asked.body;
    EXPECT_EQ(asked.text("snapshot"), R"({"under_way":true,"error":""})");
    const Reply taken = co_await answered(bench, Method::kPost,
                                          "/v1/vms/web/snapshot?wait=snapshot", snapshot_made(1));
    EXPECT_EQ(taken.status, 200) << taken.body;
    EXPECT_EQ(taken.text("state"), "running");
    const auto snapshot = taken.document().at("snapshot");
    EXPECT_FALSE(snapshot.at("under_way").as_bool());
    EXPECT_EQ(snapshot.at("guest").at("node").as_string(), "n1");
    EXPECT_EQ(taken.text("saved"), "<none>");
    const Reply restored = co_await bench.call(Method::kPost, "/v1/vms/web/restore");
    EXPECT_EQ(restored.status, 202) << restored.body;
    EXPECT_EQ(restored.text("state"), "placed");
    EXPECT_EQ(restored.text("generation"), "2");
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/vms/web/snapshot")).text("code"),
              "snapshot_in_use");
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_STARTING));
    EXPECT_TRUE(co_await bench.report("web", v1::VM_STATE_RUNNING));
    const Reply deleted = co_await bench.call(Method::kDelete, "/v1/vms/web/snapshot");
    EXPECT_EQ(deleted.status, 200) << deleted.body;
    EXPECT_EQ(deleted.text("snapshot"), "<none>");
  });
}

TEST(ApiSaving, SaysWhyASnapshotWasNotMade) {
  run([](Bench& bench) -> Task<void> {
    co_await make_running(bench);
    const Reply failed =
        co_await answered(bench, Method::kPost, "/v1/vms/web/snapshot?wait=snapshot",
                          snapshot_failed(1, "the disk is full"));
    EXPECT_EQ(failed.status, 409) << failed.body;
    EXPECT_EQ(failed.text("code"), "snapshot_failed");
    EXPECT_EQ(failed.text("detail"), "the disk is full");
    const Reply shown = co_await bench.call(Method::kGet, "/v1/vms/web");
    EXPECT_EQ(shown.text("snapshot"), R"({"under_way":false,"error":"the disk is full"})");
    const Reply late =
        co_await bench.call(Method::kPost, "/v1/vms/web/snapshot?wait=snapshot&timeout=1s");
    EXPECT_EQ(late.text("code"), "wait_timeout");
  });
}

// Nothing of a refused one is carried out.
TEST(ApiSaving, RefusesWhatHasNoGuest) {
  run([](Bench& bench) -> Task<void> {
    for (const char* word : {"pause", "resume", "suspend", "snapshot", "restore"}) {
      const Reply none = co_await bench.call(Method::kPost, std::string("/v1/vms/web/") + word);
      EXPECT_EQ(none.text("code"), "vm_not_found") << word;
    }
    const std::string body = R"({"name":"web","image":"tiny","start":false})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", body)).status, 201);
    for (const char* word : {"pause", "suspend", "snapshot"}) {
      const Reply refused = co_await bench.call(Method::kPost, std::string("/v1/vms/web/") + word);
      EXPECT_EQ(refused.status, 409) << word;
      EXPECT_EQ(refused.text("code"), "vm_not_running") << word;
      EXPECT_THAT(refused.text("detail"), HasSubstr("VM web is pending, wanted stopped")) << word;
    }
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms/web/pause?wait=asleep")).text("code"),
              "parameter_invalid");
    EXPECT_TRUE(bench.replica->state().find_vm("web")->saves.is_default());
    EXPECT_EQ(bench.replica->state().vms().size(), 1U);
  });
}

}  // namespace
}  // namespace blixard::api
