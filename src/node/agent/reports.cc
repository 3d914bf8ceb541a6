#include "node/agent/reports.h"

#include <algorithm>

#include "base/limits.h"

namespace blixard::agent {
namespace {

constexpr Duration kRetryDelay = 200ms;

}  // namespace

void Reports::add(v1::VmReport report) {
  pending_.push_back(std::move(report));
  changed_.notify_all();
}

env::Task<Result<void>> Reports::flush() {
  while (!pending_.empty())
    BLX_CO_TRY(co_await changed_.wait());
  co_return Result<void>();
}

env::Task<void> Reports::run() {
  while (true) {
    while (pending_.empty()) {
      if (!co_await changed_.wait()) co_return;
    }
    const std::size_t count = std::min(pending_.size(), limits::kReportsPerCommand);
    v1::Command command;
    auto* reports = command.mutable_report_vms();
    reports->set_node_id(self_.value);
    for (std::size_t i = 0; i < count; ++i)
      *reports->add_reports() = pending_[i];

    const auto outcome = co_await replica_.propose(std::move(command));
    if (outcome || outcome.error().code() == Code::kInvalidArgument) {
      if (!outcome) BLX_LOG(env_.log, kError, "reports refused: {}", outcome.error().message());
      pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
      changed_.notify_all();
      continue;
    }
    if (outcome.error().code() == Code::kCancelled) co_return;
    BLX_LOG(env_.log, kWarn, "reports wait: {}", outcome.error().message());
    if (!co_await env_.clock.sleep(kRetryDelay)) co_return;
  }
}

}  // namespace blixard::agent
