// Processes that stand by: who takes them, and that none is left.

#include <algorithm>

#include "node/vm/driver_suite_steps.h"
#include "node/vm/label.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

Task<Result<std::size_t>> keep(SuiteHost& host, Template made, std::size_t count) {
  co_return co_await host.driver().keep_standbys(clone_spec(host, made), count,
                                                 after(host, kStartMax));
}

bool stood_by(const Started& clone) { return !clone.record.standby.is_nil(); }

Task<Result<void>> clone_takes_a_standby(SuiteHost& host) {
  BLX_CO_TRY(const auto groups_before, co_await host.env().process.groups());
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const std::size_t count, co_await keep(host, made, 2));
  BLX_EXPECT(count == 2);
  BLX_CO_TRY(const auto groups, co_await host.env().process.groups());
  BLX_EXPECT(groups.size() == groups_before.size() + 2);
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(left.empty());

  GuestSpec spec = clone_spec(host, made);
  spec.published = {{.host_port = 0, .guest_port = 80}};
  BLX_CO_TRY(const Started clone, co_await start_spec(host, spec));
  BLX_EXPECT(stood_by(clone));
  BLX_EXPECT(clone.record.published.size() == 1 && clone.record.published[0].host_port != 0);
  BLX_CO_TRY(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(clone.record));
  BLX_EXPECT(inside.name == spec.name);
  BLX_CO_TRY(const Record again,
             co_await host.driver().start(spec, clone.record, after(host, kStartMax)));
  BLX_EXPECT(again.process == clone.record.process);

  // The next driver finds the clone, and nothing of what still stood by.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(clone.record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(const std::vector<VmId> found, co_await host.driver().leftovers());
  BLX_EXPECT(found == std::vector<VmId>{spec.id});
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(clone.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByAgent);
  BLX_CO_TRY(co_await release_all(host, clone.record));
  BLX_CO_TRY(const auto groups_after, co_await host.env().process.groups());
  BLX_EXPECT(groups_after == groups_before);
  co_return co_await remove_template(host, made);
}

Task<Result<void>> standbys_run_out(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const std::size_t count, co_await keep(host, made, 1));
  BLX_EXPECT(count == 1);
  BLX_CO_TRY(const Started first, co_await clone_ready(host, made));
  BLX_CO_TRY(const Started second, co_await clone_ready(host, made));
  BLX_EXPECT(stood_by(first) && !stood_by(second));
  // Its number stays with the clone, and the next one gets another.
  BLX_CO_TRY(const std::size_t more, co_await keep(host, made, 1));
  BLX_EXPECT(more == 1);
  BLX_CO_TRY(const Started third, co_await clone_ready(host, made));
  BLX_EXPECT(stood_by(third) && third.record.group != first.record.group);
  for (const Started& clone : {first, second, third})
    BLX_CO_TRY(co_await release_all(host, clone.record));
  co_return co_await remove_template(host, made);
}

Task<Result<void>> dead_standby_is_replaced(SuiteHost& host) {
  BLX_CO_TRY(const auto groups_before, co_await host.env().process.groups());
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(std::size_t count, co_await keep(host, made, 1));
  BLX_CO_TRY(co_await host.env().process.kill_group(group_name(standby_vm(0))));
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_EXPECT(!stood_by(clone));
  BLX_CO_TRY(count, co_await keep(host, made, 2));
  BLX_EXPECT(count == 2);
  BLX_CO_TRY(co_await release_all(host, clone.record));
  BLX_CO_TRY(count, co_await keep(host, made, 0));
  BLX_EXPECT(count == 0);
  BLX_CO_TRY(const auto groups_after, co_await host.env().process.groups());
  BLX_EXPECT(groups_after == groups_before);
  co_return co_await remove_template(host, made);
}

// Under the same key, but saved another time: its memory is not that of this state.
Task<Result<void>> standby_is_of_its_template(SuiteHost& host) {
  BLX_CO_TRY(const Template first, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const Template second, co_await make_template(host, host.guest("")));
  BLX_EXPECT(first.key == second.key && first.files != second.files);
  BLX_CO_TRY(std::size_t count, co_await keep(host, first, 1));
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, second));
  BLX_EXPECT(!stood_by(clone));
  BLX_CO_TRY(count, co_await keep(host, second, 1));
  BLX_EXPECT(count == 1);
  BLX_CO_TRY(const Started another, co_await clone_ready(host, second));
  BLX_EXPECT(stood_by(another));
  for (const Started& one : {clone, another})
    BLX_CO_TRY(co_await release_all(host, one.record));
  BLX_CO_TRY(co_await remove_template(host, first));
  co_return co_await remove_template(host, second);
}

// It is a VM as any other: it is paused, saved, and goes on from there in a process of its own.
Task<Result<void>> what_stood_by_is_a_whole_vm(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const std::size_t count, co_await keep(host, made, 1));
  BLX_EXPECT(count == 1);
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_EXPECT(stood_by(clone));
  BLX_CO_TRY(co_await host.driver().pause(clone.record));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status status, co_await host.driver().adopt(clone.record));
  BLX_EXPECT_STATUS(status, Phase::kPaused, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().resume(clone.record));
  BLX_CO_TRY(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)));
  BLX_CO_TRY(const Status runs, co_await host.driver().next_change(clone.record));
  BLX_EXPECT_STATUS(runs, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await kill_from_outside(host, clone.record.process));
  BLX_CO_TRY(const Status end, co_await host.driver().next_change(clone.record));
  BLX_EXPECT(end.phase == Phase::kGone);
  // Started again without having been released.
  GuestSpec boots = clone.spec;
  boots.clone_of.reset();
  BLX_CO_TRY(const Started booted, co_await start_spec(host, boots));
  BLX_EXPECT(!stood_by(booted));
  BLX_CO_TRY(co_await host.driver().wait_ready(booted.record, after(host, kBootMax)));
  BLX_CO_TRY(co_await release_all(host, booted.record));
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(left.empty());
  co_return co_await remove_template(host, made);
}

constexpr std::array kCases = {
    SuiteCase{"CloneTakesAStandby", clone_takes_a_standby},
    SuiteCase{"StandbysRunOut", standbys_run_out},
    SuiteCase{"DeadStandbyIsReplaced", dead_standby_is_replaced},
    SuiteCase{"StandbyIsOfItsTemplate", standby_is_of_its_template},
    SuiteCase{"WhatStoodByIsAWholeVm", what_stood_by_is_a_whole_vm},
};

}  // namespace

std::span<const SuiteCase> standby_cases() { return kCases; }

}  // namespace blixard::vm::suite
