#pragma once

// The command line of QEMU and of the guest's kernel, as a pure function of what is wanted.
//
// The machine is microvm with ACPI (power button, clean power-off, pvpanic) and with its memory in
// a backend that has a name, which later snapshots and moves need. Under TCG the kernel is told the
// frequency of the time stamp counter: without it guests hang at boot, at random, on a busy host.
//
// The network card has no way to have the guest announce itself: a clone would do so with the MAC
// of its template. Told at the load to announce nothing, QEMU 7.2 frees the timer of that and
// crashes when the guest next resets the card, as it does when it is turned off.
//
// QEMU runs in the VM's directory and names its sockets relative to it, so that an unprivileged
// QEMU needs no way through the folders above.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/process.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

// Names inside the VM's directory.
inline constexpr std::string_view kMonitorSocket = "qmp";
inline constexpr std::string_view kOperatorSocket = "qmp2";  // for people; one client a socket
inline constexpr std::string_view kAgentSocket = "agent";

inline constexpr std::string_view kAgentPort = "org.blixard.agent";
inline constexpr std::string_view kConsoleDevice = "con";
inline constexpr std::string_view kNetwork = "n0";
inline constexpr std::string_view kGuestAddress = "10.0.2.15";

struct HostFacts {
  vm::Accelerator accelerator = vm::Accelerator::kTcg;
  std::uint64_t tsc_khz = 0;  // 0: there is no constant TSC
};

// Where the guest's memory is, and what is in it when QEMU starts.
struct GuestMemory {
  std::string file;          // as the process names it; empty: QEMU's own, empty memory
  bool is_shared = false;    // what the guest writes is in the file
  bool is_incoming = false;  // a saved guest is loaded over the monitor, none boots
};

// Errors: kInvalidArgument "spec_invalid" when it is longer than a kernel takes.
Result<std::string> kernel_command_line(const vm::GuestSpec& spec, const HostFacts& host);

// Without argv[0]. Precondition: check_guest_spec(), host ports chosen.
Result<std::vector<std::string>> build_arguments(const vm::GuestSpec& spec, const HostFacts& host,
                                                 const GuestMemory& memory = {});

// "02:" and the uuid's last five bytes: locally administered, the same after every restart.
std::string mac_address(const Uuid& uuid);
// "tcp:127.0.0.1:8080-10.0.2.15:80"
std::string forwarding(const vm::Publish& port);

// Limits of the VM's group: guest memory, translation cache and what QEMU itself was seen to need.
env::GroupLimits group_limits(const vm::GuestSpec& spec, vm::Accelerator accelerator);

}  // namespace blixard::qemu
