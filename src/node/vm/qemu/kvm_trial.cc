// The trial of KVM before the first guest that would run with it: the part of QemuDriver that asks
// a real guest, and what it makes of the answer.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "node/vm/label.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "node/vm/qemu/readiness.h"

namespace blixard::qemu {
namespace {

using vm::Accelerator;

constexpr Duration kTrialPatience = 5s;   // a native boot takes a tenth of it
constexpr Bytes kTrialMemory = mib(128);  // what every image must boot in

// By QEMU itself, so that no image can be to blame.
constexpr std::string_view kRefused = "was refused";

bool names_kvm(std::string_view text) {
  return text.find("KVM") != std::string_view::npos || text.find("kvm") != std::string_view::npos;
}

// What a trial that ended with this error says about KVM; none: nothing.
std::optional<std::string> finding_of(const Error& error, bool is_late) {
  if (is_late) {
    return fmt::format("did not boot a guest within {} s", kTrialPatience / 1s);
  }
  const std::string detail(error.detail());
  if (error.reason() == "guest_ended") return "ended the guest that tried it: " + detail;
  // QEMU ends at once over a bad image too, and then its words are about that.
  if (error.reason() == "start_failed" && names_kvm(detail))
    return std::string(kRefused) + ": " + detail;
  return std::nullopt;
}

}  // namespace

env::Task<Result<Choice>> QemuDriver::recall_verdict(Choice choice) {
  const auto verdict = co_await load_verdict(env_.disk, directories_.verdict(), kvm_key_);
  kvm_boots_ = verdict && verdict->boots;
  // Who forces KVM after it failed may have mended it: that is tried again.
  const bool is_forced = options_.accelerator == Accelerator::kKvm;
  if (!verdict || verdict->boots || is_forced) co_return choice;
  co_return choose_after_trial(kvm_key_.module, verdict->finding, built_in_, options_.accelerator);
}

env::Task<Result<void>> QemuDriver::settle_accelerator(const vm::GuestSpec& spec,
                                                       Instant deadline) {
  const auto is_settled = [this] {
    return kvm_boots_ || capabilities_->accelerator != Accelerator::kKvm;
  };
  if (is_settled()) co_return Result<void>();
  BLX_CO_TRY(const vm::Turns::Held turn, co_await turns_.take(vm::kTrialVm.value));
  if (kvm_unusable_) co_return std::unexpected(*kvm_unusable_);
  if (is_settled()) co_return Result<void>();
  vm::GuestSpec trial{.id = vm::kTrialVm,
                      .generation = Generation(1),
                      .uuid = env_.random.uuid(),
                      .name = "trial",
                      .kernel_path = spec.kernel_path,
                      .initrd_path = spec.initrd_path,
                      .cmdline = {},
                      .vcpus = 1,
                      .memory = std::min(spec.memory, kTrialMemory),
                      .published = {}};
  BLX_CO_TRY(directories_.check_paths(vm::kTrialVm));
  bool is_clear = true;
  const auto finding = co_await hold_trial(std::move(trial), deadline, is_clear);
  co_await clear_trial(!finding && finding.error().code() == Code::kCancelled);
  if (!finding) co_return std::unexpected(finding.error());
  if (!is_clear) co_return Result<void>();
  co_return co_await take_verdict(spec.id, *finding);
}

env::Task<Result<std::optional<std::string>>> QemuDriver::hold_trial(vm::GuestSpec trial,
                                                                     Instant deadline,
                                                                     bool& is_clear) {
  BLX_CO_TRY(co_await release_leftover_held(vm::kTrialVm));
  const Instant patience = env_.clock.monotonic() + kTrialPatience;
  const Instant until = std::min(deadline, patience);
  BLX_CO_TRY(co_await lay_out(trial));
  const auto started = co_await start_process(trial, record_of(trial), {}, until);
  Result<void> booted;
  if (!started) booted = std::unexpected(started.error());
  if (started) {
    const Vm vm = vms_.at(vm::kTrialVm);
    const std::string agent = directories_.socket(vm::kTrialVm, kAgentSocket);
    booted = co_await wait_for_agent(env_, *vm, agent, until);
  }
  // An agent of another version, or one that refuses, has answered.
  if (booted || booted.error().reason().starts_with("agent_")) co_return std::nullopt;
  const bool is_late = booted.error().code() == Code::kDeadlineExceeded && until == patience;
  auto finding = finding_of(booted.error(), is_late);
  if (finding) co_return std::optional<std::string>(one_line(*finding));
  if (booted.error().reason() != "start_failed") co_return std::unexpected(booted.error());
  if (booted.error().code() == Code::kDeadlineExceeded) co_return std::unexpected(booted.error());
  is_clear = false;  // the VM's own start will fail with the same words
  co_return std::nullopt;
}

env::Task<void> QemuDriver::store_finding(std::optional<std::string> finding) {
  const KvmVerdict verdict{kvm_key_, !finding, finding.value_or("")};
  const auto stored = co_await store_verdict(env_.disk, directories_.verdict(), verdict);
  if (stored) co_return;
  BLX_LOG(env_.log, kWarn, "KVM's trial will be held again by the next daemon: {}",
          stored.error().message());
}

env::Task<Result<void>> QemuDriver::take_verdict(VmId id, std::optional<std::string> finding) {
  if (!finding) {
    kvm_boots_ = true;
    BLX_LOG(env_.log, kInfo, "KVM: a guest booted with it");
    co_await store_finding(std::nullopt);
    co_return Result<void>();
  }
  auto choice = choose_after_trial(kvm_key_.module, *finding, built_in_, options_.accelerator);
  if (!choice) {
    kvm_unusable_ = choice.error();
    co_return std::unexpected(choice.error());
  }
  const vm::Capabilities before = *capabilities_;
  capabilities_->accelerator = choice->accelerator;
  capabilities_->accelerator_reason = std::move(choice->reason);
  BLX_LOG(env_.log, kWarn, "{}", capabilities_->accelerator_reason);
  if (finding->starts_with(kRefused)) {
    co_await store_finding(std::move(finding));
  } else {
    suspicion_ = Suspicion{id, *std::move(finding), before};
  }
  co_return Result<void>();
}

env::Task<void> QemuDriver::settle_suspicion(VmId id, Result<void> ready) {
  if (!suspicion_ || suspicion_->id != id) co_return;
  if (!ready && ready.error().code() == Code::kCancelled) co_return;
  Suspicion suspicion = *std::exchange(suspicion_, std::nullopt);
  if (ready) {
    co_await store_finding(std::move(suspicion.finding));
    co_return;
  }
  BLX_LOG(env_.log, kWarn, "vm {} does not boot in software emulation either: KVM is tried again",
          id.value);
  capabilities_ = std::move(suspicion.before);
}

env::Task<void> QemuDriver::clear_trial(bool is_given_up) {
  if (is_given_up) {
    co_await abandon(vm::kTrialVm);
    co_return;
  }
  const auto cleared = co_await release_leftover_held(vm::kTrialVm);
  if (cleared || cleared.error().code() == Code::kCancelled) co_return;
  BLX_LOG(env_.log, kWarn, "the trial guest cannot be cleared away: {}", cleared.error().message());
}

}  // namespace blixard::qemu
