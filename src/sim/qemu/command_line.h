#pragma once

// The command line as QEMU reads it: what the guest is made of. An option that is not known here
// is refused, as QEMU refuses what it does not know, so that a change of the driver's command line
// is not overlooked.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace blixard::sim {

struct QemuCommandLine {
  Uuid uuid;
  std::string name;
  bool is_kvm = false;
  Bytes memory;
  Bytes backend;            // what holds it: as large
  std::string memory_file;  // empty: the memory is the process' own
  bool memory_is_shared = false;
  bool is_incoming = false;               // it waits for a state to load instead of booting
  std::string host_name = "guest";        // that the guest gives itself when it boots
  std::string mac;                        // of its network card
  std::vector<std::string> files;         // that it must be able to load
  std::vector<std::string> monitors;      // unix sockets
  std::string agent;                      // unix socket of the virtio-serial port
  std::string console;                    // id of the ring buffer
  std::vector<std::uint16_t> host_ports;  // on the loopback
  bool has_pvpanic = false;
  bool shutdown_pauses = false;
  bool panic_pauses = false;
};

// Errors: kInvalidArgument "refused", with QEMU's words.
Result<QemuCommandLine> parse_qemu_command_line(std::span<const std::string> arguments);

}  // namespace blixard::sim
