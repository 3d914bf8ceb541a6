#pragma once

// What tests of the agent run: a daemon with a replica, a placer and an agent on a simulated
// machine, whose replica and driver misbehave when they are told to.

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "blixard/v1/cluster.pb.h"
#include "env/scope.h"
#include "env/test_coroutine.h"
#include "node/agent/agent.h"
#include "node/image/store.h"
#include "node/replica/replica.h"
#include "node/replica/test_alone.h"
#include "node/vm/sim/sim_driver.h"
#include "node/vm/sim/sim_hypervisor.h"
#include "sim/tiny_image.h"
#include "sim/world.h"

namespace blixard::agent {

inline constexpr NodeId kSelf{1};
inline constexpr const char* kData = "/var/lib/blixard";
inline constexpr const char* kCluster = "0f39719e-5325-49a9-8273-28ced4b90001";

// A report that was proposed, and when.
struct Proposed {
  Instant at;
  v1::VmReport report;
};

struct ReplicaFaults {
  bool barrier_closed = false;
  std::optional<Error> reports_fail;  // while set, nothing of theirs is proposed
  // While set, nothing is proposed that has such a report in it; the last one is kept.
  std::function<bool(const v1::VmReport&)> holds_back;
  std::optional<v1::VmReport> held_back;
  std::vector<Proposed> proposed;  // that came through
  std::uint64_t report_tries = 0;
  std::uint64_t answers_lost_from = std::numeric_limits<std::uint64_t>::max();  // of proposed
};

class FaultyReplica final : public replica::Replica {
 public:
  FaultyReplica(env::Env env, std::unique_ptr<replica::Replica> inner, ReplicaFaults& faults)
      : env_(env), inner_(std::move(inner)), faults_(faults) {}

  env::Task<Result<cluster::Outcome>> propose(v1::Command command) override {
    if (!command.has_report_vms()) co_return co_await inner_->propose(std::move(command));
    ++faults_.report_tries;
    if (faults_.reports_fail) co_return std::unexpected(*faults_.reports_fail);
    for (const v1::VmReport& report : command.report_vms().reports()) {
      if (!faults_.holds_back || !faults_.holds_back(report)) continue;
      faults_.held_back = report;
      co_return fail(Code::kUnavailable, "no_leader");
    }
    for (const v1::VmReport& report : command.report_vms().reports())
      faults_.proposed.push_back({env_.clock.monotonic(), report});
    const bool is_lost = faults_.proposed.size() > faults_.answers_lost_from;
    auto outcome = co_await inner_->propose(std::move(command));
    if (is_lost) co_return fail(Code::kUnavailable, "leadership_lost");
    co_return outcome;
  }
  env::Task<Result<void>> read_barrier() override {
    if (faults_.barrier_closed) co_return fail(Code::kUnavailable, "not_leader");
    co_return co_await inner_->read_barrier();
  }
  env::Task<Result<cluster::Outcome>> change_membership(replica::MembershipChange change) override {
    return inner_->change_membership(std::move(change));
  }
  env::Task<Result<void>> transfer_leader(NodeId to) override {
    return inner_->transfer_leader(to);
  }
  [[nodiscard]] std::vector<replica::MemberProgress> members() const override {
    return inner_->members();
  }
  [[nodiscard]] const cluster::State& state() const override { return inner_->state(); }
  [[nodiscard]] replica::ClusterView& cluster_view() override { return inner_->cluster_view(); }
  [[nodiscard]] replica::Status status() const override { return inner_->status(); }
  [[nodiscard]] bool is_leader() const override { return inner_->is_leader(); }
  [[nodiscard]] env::Signal& applied() override { return inner_->applied(); }
  [[nodiscard]] Result<std::vector<cluster::Change>> changes(std::uint64_t since) const override {
    return inner_->changes(since);
  }
  env::Task<Result<void>> failed() override { return inner_->failed(); }
  env::Task<void> stop() override { return inner_->stop(); }

 private:
  env::Env env_;
  std::unique_ptr<replica::Replica> inner_;
  ReplicaFaults& faults_;
};

// While an error is set, the call has it and does nothing.
struct DriverFaults {
  std::optional<Error> prepare;
  std::optional<Error> adopt;
  std::optional<Error> next_change;
  std::optional<Error> stop;
  std::optional<Error> release;  // also of leftovers
  std::optional<Error> pause;
  std::function<env::Task<void>()> during_adopt;
  std::function<env::Task<Result<void>>()> before_resume;
  std::uint64_t prepare_calls = 0;
  std::uint64_t adopt_calls = 0;
  std::uint64_t release_calls = 0;
};

class FaultyDriver final : public vm::Driver {
 public:
  FaultyDriver(vm::Driver& inner, DriverFaults& faults) : inner_(inner), faults_(faults) {}

  env::Task<Result<vm::Capabilities>> probe() override { return inner_.probe(); }
  env::Task<Result<vm::Record>> prepare(vm::GuestSpec spec) override {
    ++faults_.prepare_calls;
    if (faults_.prepare) co_return std::unexpected(*faults_.prepare);
    co_return co_await inner_.prepare(std::move(spec));
  }
  env::Task<Result<vm::Record>> start(vm::GuestSpec spec, vm::Record prepared,
                                      Instant deadline) override {
    return inner_.start(std::move(spec), std::move(prepared), deadline);
  }
  env::Task<Result<void>> wait_ready(vm::Record record, Instant deadline) override {
    return inner_.wait_ready(std::move(record), deadline);
  }
  env::Task<Result<vm::Status>> adopt(vm::Record record) override {
    ++faults_.adopt_calls;
    if (faults_.during_adopt) co_await faults_.during_adopt();
    if (faults_.adopt) co_return std::unexpected(*faults_.adopt);
    co_return co_await inner_.adopt(std::move(record));
  }
  env::Task<Result<vm::Status>> inspect(vm::Record record) override {
    return inner_.inspect(std::move(record));
  }
  env::Task<Result<vm::Status>> next_change(vm::Record record) override {
    if (faults_.next_change) co_return std::unexpected(*faults_.next_change);
    co_return co_await inner_.next_change(std::move(record));
  }
  env::Task<Result<vm::EndReason>> stop(vm::Record record, vm::StopLadder ladder) override {
    if (faults_.stop) co_return std::unexpected(*faults_.stop);
    co_return co_await inner_.stop(std::move(record), ladder);
  }
  env::Task<Result<void>> pause(vm::Record record) override {
    if (faults_.pause) co_return std::unexpected(*faults_.pause);
    co_return co_await inner_.pause(std::move(record));
  }
  env::Task<Result<void>> resume(vm::Record record) override {
    if (faults_.before_resume) BLX_CO_TRY(co_await faults_.before_resume());
    co_return co_await inner_.resume(std::move(record));
  }
  env::Task<Result<void>> save(vm::Record record, std::shared_ptr<vm::StateSink> sink,
                               Instant deadline) override {
    return inner_.save(std::move(record), std::move(sink), deadline);
  }
  env::Task<Result<std::string>> saved_key(vm::GuestSpec spec) override {
    return inner_.saved_key(std::move(spec));
  }
  env::Task<Result<std::string>> console(vm::Record record, std::size_t size_max) override {
    return inner_.console(std::move(record), size_max);
  }
  env::Task<Result<void>> release(vm::Record record) override {
    ++faults_.release_calls;
    if (faults_.release) co_return std::unexpected(*faults_.release);
    co_return co_await inner_.release(std::move(record));
  }
  env::Task<Result<std::string>> template_key(vm::GuestSpec spec) override {
    return inner_.template_key(std::move(spec));
  }
  env::Task<Result<std::vector<std::string>>> make_template(vm::GuestSpec spec,
                                                            std::string directory,
                                                            Instant deadline) override {
    return inner_.make_template(std::move(spec), std::move(directory), deadline);
  }
  env::Task<Result<std::size_t>> keep_standbys(vm::GuestSpec spec, std::size_t count,
                                               Instant deadline) override {
    return inner_.keep_standbys(std::move(spec), count, deadline);
  }
  env::Task<Result<std::vector<VmId>>> leftovers() override { return inner_.leftovers(); }
  env::Task<Result<void>> release_leftover(VmId id) override {
    ++faults_.release_calls;
    if (faults_.release) co_return std::unexpected(*faults_.release);
    co_return co_await inner_.release_leftover(id);
  }
  env::Task<void> close() override { return inner_.close(); }

 private:
  vm::Driver& inner_;
  DriverFaults& faults_;
};

using sim::write_image;

// Of a node like the simulated machines.
inline v1::Command register_command(NodeId id, const char* name) {
  v1::Command command;
  auto& node = *command.mutable_register_node();
  node.set_node_id(id.value);
  node.set_name(name);
  node.mutable_capacity()->set_vcpus(16);
  node.mutable_capacity()->set_memory_mib(4096);
  node.set_accelerator("tcg");
  node.set_hypervisor_version("simulated");
  node.set_tsc_khz(2'400'000);
  node.set_version("1");
  node.set_model_version(cluster::kModelVersion);
  return command;
}

inline v1::Command add_image_command(const cluster::Image& image) {
  v1::Command command;
  auto& add = *command.mutable_add_image();
  add.set_name(image.name.text());
  add.set_architecture(image.architecture);
  add.set_kernel_version(image.kernel_version);
  add.set_cmdline(image.cmdline);
  for (const cluster::ImageFile& file : image.files) {
    auto& added = *add.add_files();
    added.set_name(file.name);
    added.set_bytes(file.size.value);
    added.set_digest(file.digest.data(), file.digest.size());
  }
  return command;
}

}  // namespace blixard::agent
