#include "node/vm/driver.h"

#include <algorithm>

#include "base/limits.h"

namespace blixard::vm {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, "spec_invalid", std::move(detail));
}

Result<void> check_published(const std::vector<Publish>& published) {
  if (published.size() > limits::kPublishedPorts) {
    return invalid("at most " + std::to_string(limits::kPublishedPorts) + " published ports");
  }
  for (std::size_t i = 0; i < published.size(); ++i) {
    if (published[i].guest_port == 0) return invalid("guest port 0");
    for (std::size_t k = 0; k < i; ++k) {
      const std::uint16_t port = published[i].host_port;
      if (port != 0 && published[k].host_port == port) {
        return invalid("host port " + std::to_string(port) + " is published twice");
      }
    }
  }
  return {};
}

}  // namespace

std::string_view accelerator_name(Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kTcg:
      return "tcg";
    case Accelerator::kKvm:
      return "kvm";
    case Accelerator::kSimulated:
      return "simulated";
  }
  return "unknown";
}

bool has_ended(Phase phase) {
  return phase == Phase::kEnded || phase == Phase::kPanicked || phase == Phase::kGone;
}

Phase without_readiness(Phase phase) { return phase == Phase::kStarting ? Phase::kRunning : phase; }

std::string_view phase_name(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "starting";
    case Phase::kRunning:
      return "running";
    case Phase::kPaused:
      return "paused";
    case Phase::kEnded:
      return "ended";
    case Phase::kPanicked:
      return "panicked";
    case Phase::kGone:
      return "gone";
  }
  return "unknown";
}

std::string_view end_reason_name(EndReason reason) {
  switch (reason) {
    case EndReason::kNone:
      return "none";
    case EndReason::kGuestShutdown:
      return "guest_shutdown";
    case EndReason::kGuestPanic:
      return "guest_panic";
    case EndReason::kStoppedByAgent:
      return "stopped_by_agent";
    case EndReason::kStoppedByButton:
      return "stopped_by_button";
    case EndReason::kStoppedByQuit:
      return "stopped_by_quit";
    case EndReason::kStoppedByKill:
      return "stopped_by_kill";
    case EndReason::kProcessDied:
      return "process_died";
    case EndReason::kStartFailed:
      return "start_failed";
  }
  return "unknown";
}

Result<void> check_guest_spec(const GuestSpec& spec) {
  if (!spec.id) return invalid("no id");
  if (spec.uuid.is_nil()) return invalid("no uuid");
  if (spec.name.empty() || spec.name.size() > limits::kNameLength ||
      !std::ranges::all_of(spec.name, is_name_character)) {
    return invalid("the name must be [a-z0-9-]{1,63}");
  }
  if (spec.vcpus == 0 || spec.vcpus > limits::kVcpus) {
    return invalid("vcpus must be 1 to " + std::to_string(limits::kVcpus));
  }
  const std::uint64_t memory_mib = spec.memory.mib();
  if (memory_mib < limits::kMemoryMibMin || memory_mib > limits::kMemoryMibMax ||
      mib(memory_mib) != spec.memory) {
    return invalid("memory must be whole MiB, " + std::to_string(limits::kMemoryMibMin) + " to " +
                   std::to_string(limits::kMemoryMibMax));
  }
  if (spec.cmdline.size() > limits::kGuestCmdlineBytes ||
      !std::ranges::all_of(spec.cmdline, [](char c) { return c >= ' ' && c <= '~'; })) {
    return invalid("the kernel arguments must be one line of at most " +
                   std::to_string(limits::kGuestCmdlineBytes) + " characters");
  }
  if (spec.clone_of && spec.resumes) return invalid("a saved guest is no clone");
  return check_published(spec.published);
}

}  // namespace blixard::vm
