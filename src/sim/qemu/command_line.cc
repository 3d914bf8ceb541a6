#include "sim/qemu/command_line.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "sim/qemu/number.h"
#include "sim/qemu/soul.h"

namespace blixard::sim {
namespace {

constexpr std::array<std::string_view, 2> kSwitches = {"-nodefaults", "-no-user-config"};
// Those that change nothing that is played here.
constexpr std::array<std::string_view, 5> kOthers = {"-display", "-M", "-cpu", "-smp", "-serial"};

std::unexpected<Error> refused(const std::string& words) {
  return fail(Code::kInvalidArgument, "refused", words);
}

// The value of `key` in "first,key=value,key=value".
std::optional<std::string_view> part(std::string_view value, std::string_view key) {
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(','), value.size());
    const std::string_view here = value.substr(0, end);
    value.remove_prefix(std::min(end + 1, value.size()));
    if (here.size() > key.size() && here.starts_with(key) && here[key.size()] == '=') {
      return here.substr(key.size() + 1);
    }
  }
  return std::nullopt;
}

// memory-backend-file,id=ram0,size=128M,mem-path=ram,share=off
Result<void> take_object(std::string_view value, QemuCommandLine& line) {
  std::string_view size = part(value, "size").value_or("");
  const bool is_in_mib = size.ends_with('M');
  size.remove_suffix(is_in_mib ? 1 : 0);
  const auto count = parse_number<std::uint32_t>(size);
  if (!count || !is_in_mib) return refused("-object " + std::string(value) + ": invalid size");
  line.backend = mib(*count);
  if (value.starts_with("memory-backend-ram,")) return {};
  if (!value.starts_with("memory-backend-file,")) {
    return refused("-object " + std::string(value) + ": invalid object type");
  }
  line.memory_file = part(value, "mem-path").value_or("");
  line.memory_is_shared = part(value, "share") == "on";
  if (line.memory_file.empty()) return refused("mem-path property not set");
  return {};
}

Result<void> take_device(std::string_view value, QemuCommandLine& line) {
  line.has_pvpanic = line.has_pvpanic || value == "pvpanic";
  if (!value.starts_with("virtio-net-device,")) return {};
  line.mac = part(value, "mac").value_or("");
  if (!line.mac.empty() && !is_mac(line.mac)) return refused("-device: invalid mac");
  return {};
}

void take_kernel_line(std::string_view value, QemuCommandLine& line) {
  constexpr std::string_view kName = "blx.name=";
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(' '), value.size());
    const std::string_view word = value.substr(0, end);
    value.remove_prefix(std::min(end + 1, value.size()));
    if (word.starts_with(kName) && is_host_name(word.substr(kName.size()))) {
      line.host_name = word.substr(kName.size());
    }
  }
}

Result<void> take_monitor(std::string_view value, QemuCommandLine& line) {
  constexpr std::string_view kKind = "unix:";
  if (!value.starts_with(kKind) || part(value, "server") != "on") {
    return refused("-qmp " + std::string(value) + ": not a listening unix socket");
  }
  value.remove_prefix(kKind.size());
  line.monitors.emplace_back(value.substr(0, value.find(',')));
  return {};
}

Result<void> take_chardev(std::string_view value, QemuCommandLine& line) {
  if (value.starts_with("ringbuf,")) {
    line.console = part(value, "id").value_or("");
  } else if (value.starts_with("socket,") && part(value, "server") == "on") {
    line.agent = part(value, "path").value_or("");
  } else {
    return refused("-chardev " + std::string(value) + ": backend not found");
  }
  return {};
}

// hostfwd=tcp:127.0.0.1:40000-10.0.2.15:80
Result<void> take_network(std::string_view value, QemuCommandLine& line) {
  constexpr std::string_view kForward = "hostfwd=tcp:127.0.0.1:";
  for (std::size_t at = value.find(kForward); at != std::string_view::npos;
       at = value.find(kForward)) {
    value.remove_prefix(at + kForward.size());
    const auto port = parse_number<std::uint16_t>(value.substr(0, value.find('-')));
    if (!port) return refused("-netdev: invalid host forwarding rule");
    line.host_ports.push_back(*port);
  }
  return {};
}

Result<void> take(std::string_view option, std::string_view value, QemuCommandLine& line) {
  const std::string words = std::string(option) + " " + std::string(value);
  if (option == "-uuid") {
    const auto uuid = Uuid::parse(value);
    if (!uuid) return refused(words + ": invalid UUID");
    line.uuid = *uuid;
  } else if (option == "-m") {
    const auto memory = parse_number<std::uint32_t>(value);
    if (!memory) return refused(words + ": invalid size");
    line.memory = mib(*memory);
  } else if (option == "-accel") {
    const std::string_view name = value.substr(0, value.find(','));
    if (name != "kvm" && name != "tcg") return refused(words + ": invalid accelerator");
    line.is_kvm = name == "kvm";
  } else if (option == "-name") {
    line.name = value;
  } else if (option == "-kernel" || option == "-initrd") {
    line.files.emplace_back(value);
  } else if (option == "-device") {
    return take_device(value, line);
  } else if (option == "-object") {
    return take_object(value, line);
  } else if (option == "-append") {
    take_kernel_line(value, line);
  } else if (option == "-incoming") {
    if (value != "defer") return refused(words + ": unknown migration protocol");
    line.is_incoming = true;
  } else if (option == "-action") {
    line.shutdown_pauses = part(value, "shutdown") == "pause";
    line.panic_pauses = part(value, "panic") == "pause";
  } else if (option == "-sandbox") {
    if (!value.starts_with("on")) return refused(words + ": no sandbox");
  } else if (option == "-qmp") {
    return take_monitor(value, line);
  } else if (option == "-chardev") {
    return take_chardev(value, line);
  } else if (option == "-netdev") {
    return take_network(value, line);
  } else if (std::ranges::find(kOthers, option) == kOthers.end()) {
    return refused(std::string(option) + ": invalid option");
  }
  return {};
}

}  // namespace

Result<QemuCommandLine> parse_qemu_command_line(std::span<const std::string> arguments) {
  QemuCommandLine line;
  while (!arguments.empty()) {
    const std::string& option = arguments.front();
    arguments = arguments.subspan(1);
    if (std::ranges::find(kSwitches, option) != kSwitches.end()) continue;
    if (arguments.empty()) return refused(option + ": requires an argument");
    BLX_TRY(take(option, arguments.front(), line));
    arguments = arguments.subspan(1);
  }
  if (line.uuid.is_nil()) return refused("-uuid: is missing");
  if (line.memory.value == 0) return refused("-m: is missing");
  if (line.backend != line.memory) {
    return refused("machine memory size does not match the size of the memory backend");
  }
  if (line.monitors.empty()) return refused("-qmp: is missing");
  return line;
}

}  // namespace blixard::sim
