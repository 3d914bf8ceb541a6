#include "node/agent/reports.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bug.h"
#include "base/limits.h"
#include "core/cluster/model.h"
#include "env/failpoint.h"
#include "node/trace/command_trace.h"

namespace blixard::agent {
namespace {

constexpr Duration kRetryMin = 200ms;
constexpr Duration kRetryMax = 10s;

// The log may take it another time; everything else is apply's word on the reports.
bool is_passing(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded ||
         code == Code::kResourceExhausted || code == Code::kCancelled;
}

}  // namespace

void Reports::add(v1::VmReport report) {
  // Seldom: a node that takes up thousands of VMs again has one report of each.
  if (pending_of_.contains(report.vm_id())) drop_round(report);
  ++pending_of_[report.vm_id()];
  pending_.push_back(std::move(report));
  changed_.notify_all();
}

// What led to that state may also follow it this time, so what lies between may go. Not what may
// be in the log already: it may stand at any of those, and from there this state may not follow.
void Reports::drop_round(const v1::VmReport& report) {
  const auto is_of_vm = [&](const v1::VmReport& other) {
    return other.vm_id() == report.vm_id() && other.generation() == report.generation();
  };
  const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(sent_);
  const auto same = std::find_if(begin, pending_.end(), [&](const v1::VmReport& other) {
    return is_of_vm(other) && other.state() == report.state() &&
           other.released() == report.released();
  });
  // Such a one is said once, and somebody waits until it is applied.
  const bool is_needed = std::any_of(same, pending_.end(), [&](const v1::VmReport& other) {
    return is_of_vm(other) && (other.has_saved() || other.uses_saved() || other.has_snapshot());
  });
  if (is_needed) return;
  const auto dropped = std::remove_if(same, pending_.end(), is_of_vm);
  forget(report.vm_id(), static_cast<std::size_t>(pending_.end() - dropped));
  pending_.erase(dropped, pending_.end());
}

void Reports::drop_sent() {
  const auto end = pending_.begin() + static_cast<std::ptrdiff_t>(std::exchange(sent_, 0));
  for (auto each = pending_.begin(); each != end; ++each)
    forget(each->vm_id(), 1);
  pending_.erase(pending_.begin(), end);
}

void Reports::forget(std::uint64_t vm_id, std::size_t count) {
  if (count == 0) return;
  const auto found = pending_of_.find(vm_id);
  BLX_ASSERT(found != pending_of_.end() && found->second >= count);
  found->second -= count;
  if (found->second == 0) pending_of_.erase(found);
}

env::Task<Result<void>> Reports::flush() {
  while (!pending_.empty())
    BLX_CO_TRY(co_await changed_.wait());
  co_return Result<void>();
}

env::Task<void> Reports::run() {
  Duration delay = kRetryMin;
  while (true) {
    while (pending_.empty()) {
      if (!co_await changed_.wait()) co_return;
    }
    // What may be in the log already goes together again, or the log would go back to its begin.
    if (sent_ == 0) {
      sent_ = std::min(pending_.size(), limits::kReportsPerCommand);
      if (env_.rare.happens(env::RareSite::kReportsSplit)) sent_ = (sent_ + 1) / 2;
    }
    auto sent = co_await send();
    if (sent && env_.rare.happens(env::RareSite::kReportAnswerLost)) {
      sent = fail(Code::kUnavailable, "leadership_lost");
    }
    if (sent || !is_passing(sent.error().code()) || BLX_BUG(kReportsOnlyOnce)) {
      if (!sent) BLX_LOG(env_.log, kError, "reports refused: {}", sent.error().message());
      drop_sent();
      changed_.notify_all();
      delay = kRetryMin;
      continue;
    }
    if (sent.error().code() == Code::kCancelled) co_return;
    BLX_LOG(env_.log, kWarn, "{} reports wait: {}", pending_.size(), sent.error().message());
    if (!co_await env_.clock.sleep(delay)) co_return;
    delay = std::min(2 * delay, kRetryMax);
  }
}

trace::ActiveSpan Reports::begin_span() const {
  if (tracer_ == nullptr || tracer_->vms().empty()) return {};
  for (std::size_t i = 0; i < sent_; ++i) {
    const v1::VmReport& report = pending_[i];
    trace::ActiveSpan span =
        tracer_->begin(tracer_->vms().find(VmId(report.vm_id())), "agent.report");
    if (!span.is_recorded()) continue;
    span.set("blixard.vm.id", report.vm_id());
    span.set("blixard.vm.state",
             cluster::state_name(static_cast<cluster::VmState>(report.state())));
    span.set("blixard.reports", sent_);
    return span;
  }
  return {};
}

env::Task<Result<void>> Reports::send() {
  trace::ActiveSpan span = begin_span();
  v1::Command command;
  trace::set_trace(command, span.context());
  auto* reports = command.mutable_report_vms();
  reports->set_node_id(self_.value);
  for (std::size_t i = 0; i < sent_; ++i)
    *reports->add_reports() = pending_[i];
  BLX_CO_FAILPOINT(env_, "agent::report", kUnavailable, "no_leader");
  const auto taken = co_await replica_.propose(std::move(command));
  span.end(taken);
  if (!taken) co_return std::unexpected(taken.error());
  co_return Result<void>();
}

}  // namespace blixard::agent
