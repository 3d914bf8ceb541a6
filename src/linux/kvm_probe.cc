#include "linux/kvm_probe.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

#include "linux/system_error.h"

namespace blixard::linux_side {
namespace {

constexpr std::string_view kOtherwise =
    "; using software emulation (TCG), guests are about 20x slower";
constexpr std::int64_t kNativeLoopNs = 25'000;

std::string_view next_word(std::string_view& text) {
  const auto end = std::min(text.find(' '), text.size());
  const auto word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

std::int64_t to_number(std::string_view text) {
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string why_not_open(int number) {
  switch (number) {
    case ENOENT:
      return "KVM is absent (no /dev/kvm): load kvm_intel or kvm_amd, or turn virtualization on "
             "in the firmware";
    case EACCES:
    case EPERM:
      return "KVM is present but forbidden to this user: add it to the group kvm";
    case EBUSY:
      return "KVM is present but taken by another hypervisor: end that one";
    default:
      return "KVM is present but does not open (" + std::string(error_text(number)) + ")";
  }
}

std::string why_failed(std::string_view what, int number) {
  if (what == "open") return why_not_open(number);
  if (what == "create" && number == EBUSY) return why_not_open(EBUSY);
  if (what == "version" || what == "abilities") {
    return "KVM is present but too old for guests: update the host's kernel";
  }
  return "KVM is present but cannot run guest code (" + std::string(what) + " " +
         std::to_string(number) + ")";
}

std::string module_text(const std::string& module) {
  return module.empty() ? "" : " (module " + module + ")";
}

}  // namespace

std::string kvm_module() {
  for (const char* name : {"kvm_pvm", "kvm_intel", "kvm_amd"})
    if (access((std::string("/sys/module/") + name).c_str(), F_OK) == 0) return name;
  return "";
}

env::KvmReport judge_kvm(std::string_view line, std::string module) {
  env::KvmReport report{.module = std::move(module)};
  if (line.ends_with('\n')) line.remove_suffix(1);
  const std::string_view word = next_word(line);
  if (word == "ok") {
    const std::int64_t ns = to_number(line);
    report.loop_time = Duration(ns);
    report.usable = ns > 0 && report.loop_time <= kKvmLoopMax;
    if (report.usable) {
      report.explanation = "KVM" + module_text(report.module) + " runs guests natively";
      return report;
    }
    report.explanation = "KVM is present" + module_text(report.module) +
                         " but runs guest kernel code " + std::to_string(ns / kNativeLoopNs) +
                         "x slower than native" + std::string(kOtherwise);
  } else if (word == "failed") {
    const std::string_view what = next_word(line);
    report.explanation =
        why_failed(what, static_cast<int>(to_number(line))) + std::string(kOtherwise);
  } else {
    report.explanation = "KVM is present" + module_text(report.module) +
                         " but did not finish a short loop of guest code in 2 s" +
                         std::string(kOtherwise);
  }
  report.explanation += ". Force with --accelerator kvm.";
  return report;
}

}  // namespace blixard::linux_side
