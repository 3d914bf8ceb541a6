#include "node/vm/qemu/arguments.h"

#include <algorithm>

#include <fmt/format.h>

namespace blixard::qemu {
namespace {

constexpr std::uint64_t kTranslationCacheMib = 64;  // less makes a boot slower, more does not help
constexpr std::uint64_t kOverheadMib = 64;
constexpr std::uint64_t kOverheadPerVcpuMib = 8;  // stacks and I/O threads
constexpr std::size_t kKernelCommandLineMax = 2047;
constexpr std::size_t kConsoleBytes = 65536;

std::string accelerator_option(const vm::GuestSpec& spec, vm::Accelerator accelerator) {
  if (accelerator == vm::Accelerator::kKvm) return "kvm";
  return fmt::format("tcg,tb-size={}{}", kTranslationCacheMib,
                     spec.vcpus > 1 ? ",thread=multi" : "");
}

std::string network_option(const vm::GuestSpec& spec) {
  std::string option = fmt::format("user,id={},restrict=on", kNetwork);
  for (const vm::Publish& port : spec.published)
    option += ",hostfwd=" + forwarding(port);
  return option;
}

std::string memory_option(const vm::GuestSpec& spec, const GuestMemory& memory) {
  const std::uint64_t size_mib = spec.memory.mib();
  if (memory.file.empty()) return fmt::format("memory-backend-ram,id=ram0,size={}M", size_mib);
  return fmt::format("memory-backend-file,id=ram0,size={}M,mem-path={},share={}", size_mib,
                     memory.file, memory.is_shared ? "on" : "off");
}

std::string server_socket(std::string_view name) {
  return fmt::format("unix:{},server=on,wait=off", name);
}

}  // namespace

Result<std::string> kernel_command_line(const vm::GuestSpec& spec, const HostFacts& host) {
  std::string line = "console=ttyS0 quiet cryptomgr.notests random.trust_cpu=on";
  if (host.accelerator == vm::Accelerator::kTcg) {
    // Software emulation has no side channels to guard, and its TSC is the host's.
    line += " nokaslr mitigations=off";
    if (host.tsc_khz != 0) line += fmt::format(" tsc=reliable tsc_early_khz={}", host.tsc_khz);
  }
  line += fmt::format(" blx.ip={}/24 blx.gw=10.0.2.2 blx.name={}", kGuestAddress, spec.name);
  if (!spec.cmdline.empty()) line += " " + spec.cmdline;
  if (line.size() > kKernelCommandLineMax) {
    return fail(Code::kInvalidArgument, "spec_invalid",
                fmt::format("the kernel command line has {} characters, at most {} fit",
                            line.size(), kKernelCommandLineMax));
  }
  return line;
}

Result<std::vector<std::string>> build_arguments(const vm::GuestSpec& spec, const HostFacts& host,
                                                 const GuestMemory& memory) {
  BLX_TRY(const std::string kernel_line, kernel_command_line(spec, host));
  const bool is_tcg = host.accelerator == vm::Accelerator::kTcg;
  std::vector<std::string> arguments{
      "-nodefaults", "-no-user-config",
      "-display",    "none",
      "-name",       "blx-" + spec.name,
      "-uuid",       spec.uuid.text(),
      "-M",          "microvm,acpi=on,memory-backend=ram0",
      "-object",     memory_option(spec, memory),
      "-accel",      accelerator_option(spec, host.accelerator),
      "-cpu",        is_tcg ? "qemu64,+arat" : "host",
      "-smp",        std::to_string(spec.vcpus),
      "-m",          std::to_string(spec.memory.mib()),
      "-kernel",     spec.kernel_path,
      "-initrd",     spec.initrd_path,
      "-append",     kernel_line,
      "-chardev",    fmt::format("ringbuf,id={},size={}", kConsoleDevice, kConsoleBytes),
      "-serial",     fmt::format("chardev:{}", kConsoleDevice),
      "-qmp",        server_socket(kMonitorSocket),
      "-qmp",        server_socket(kOperatorSocket),
      "-device",     "virtio-rng-device",
      "-netdev",     network_option(spec),
      "-device",     "virtio-net-device,netdev=n0,guest_announce=off,mac=" + mac_address(spec.uuid),
      "-device",     "virtio-serial-device",
      "-chardev",    fmt::format("socket,path={},server=on,wait=off,id=ag", kAgentSocket),
      "-device",     fmt::format("virtserialport,chardev=ag,name={}", kAgentPort),
      "-device",     "pvpanic",
      "-action",     "reboot=reset,shutdown=pause,panic=pause",
      "-sandbox",    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
  };
  if (memory.is_incoming) arguments.insert(arguments.end(), {"-incoming", "defer"});
  return arguments;
}

std::string forwarding(const vm::Publish& port) {
  return fmt::format("tcp:127.0.0.1:{}-{}:{}", port.host_port, kGuestAddress, port.guest_port);
}

std::string mac_address(const Uuid& uuid) {
  std::string mac = "02";
  for (std::size_t i = 11; i < 16; ++i)
    mac += fmt::format(":{:02x}", uuid.bytes[i]);
  return mac;
}

env::GroupLimits group_limits(const vm::GuestSpec& spec, vm::Accelerator accelerator) {
  const bool is_tcg = accelerator == vm::Accelerator::kTcg;
  const std::uint64_t extra_mib =
      (is_tcg ? kTranslationCacheMib : 0) + kOverheadMib + kOverheadPerVcpuMib * spec.vcpus;
  return {
      .memory = spec.memory + mib(extra_mib),
      .cpu_percent = spec.vcpus * 100 + 50,  // and half a CPU for devices and the monitor
      .pids = 128 + spec.vcpus,
  };
}

}  // namespace blixard::qemu
