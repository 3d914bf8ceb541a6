#include "node/vm/qemu/accelerator.h"

#include <fmt/format.h>

namespace blixard::qemu {
namespace {

constexpr std::size_t kVersionMax = 32;
constexpr std::size_t kReasonMax = 400;

std::unexpected<Error> unusable(std::string detail) {
  return fail(Code::kFailedPrecondition, "accelerator_unusable", std::move(detail));
}

std::string named(const std::string& module) {
  return module.empty() ? "KVM" : "KVM (module " + module + ")";
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string line(text.substr(0, kReasonMax));
  for (char& c : line) {
    if (c < ' ' || c > '~') c = ' ';
  }
  while (line.ends_with(' '))
    line.pop_back();
  return line;
}

BuiltIn parse_accelerators(std::string_view accel_help) {
  BuiltIn built_in;
  while (!accel_help.empty()) {
    const std::size_t end = accel_help.find_first_of("\r\n");
    const std::string_view line = accel_help.substr(0, end);
    built_in.tcg |= line == "tcg";
    built_in.kvm |= line == "kvm";
    if (end == std::string_view::npos) break;
    accel_help.remove_prefix(end + 1);
  }
  return built_in;
}

Result<Choice> choose_accelerator(const env::KvmReport& kvm, const BuiltIn& built_in,
                                  std::optional<vm::Accelerator> forced) {
  if (forced == vm::Accelerator::kKvm) {
    if (!built_in.kvm) return unusable("KVM was asked for, but this QEMU has no KVM in it");
    if (!kvm.usable) {
      return unusable(one_line("KVM was asked for, but KVM is not usable: " + kvm.explanation));
    }
    return Choice{vm::Accelerator::kKvm, "kvm: as configured"};
  }
  if (forced == vm::Accelerator::kTcg) {
    if (!built_in.tcg) return unusable("accel=tcg was asked for, but this QEMU has no TCG in it");
    return Choice{vm::Accelerator::kTcg, "tcg: as configured"};
  }
  if (kvm.usable && built_in.kvm) {
    const std::string module = kvm.module.empty() ? "" : " (" + kvm.module + ")";
    return Choice{vm::Accelerator::kKvm, one_line("kvm: usable" + module)};
  }
  if (!built_in.tcg) return unusable("this QEMU has no TCG in it, and KVM is not usable");
  return Choice{vm::Accelerator::kTcg,
                one_line("tcg: " + (kvm.usable ? "this QEMU has no KVM in it" : kvm.explanation))};
}

Result<Choice> choose_after_trial(const std::string& module, const std::string& finding,
                                  const BuiltIn& built_in, std::optional<vm::Accelerator> forced) {
  const std::string what = one_line(named(module) + " " + finding);
  const std::string mend = "check that the user guests run as may open /dev/kvm (group kvm)";
  if (forced == vm::Accelerator::kKvm) {
    return unusable("KVM was asked for, but " + what + "; " + mend +
                    " and start the node again, or start it with --accelerator tcg");
  }
  if (!built_in.tcg) return unusable("this QEMU has no TCG in it, and " + what + "; " + mend);
  return Choice{vm::Accelerator::kTcg,
                "tcg: " + what + "; using software emulation, guests are about 20 times slower"};
}

std::string parse_version(std::string_view version_output) {
  constexpr std::string_view kBefore = "version ";
  const std::size_t at = version_output.find(kBefore);
  if (at == std::string_view::npos) return {};
  std::string_view version = version_output.substr(at + kBefore.size());
  version = version.substr(0, version.find_first_not_of("0123456789."));
  return std::string(version.substr(0, kVersionMax));
}

}  // namespace blixard::qemu
