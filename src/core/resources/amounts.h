#pragma once

// The four resources that every node has: CPU in thousandths of a core, memory and disk in MiB,
// network in Mbit/s.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace blixard::resources {

enum class Kind : std::uint8_t { kCpu, kMemory, kDisk, kNetwork };
inline constexpr std::array kKinds = {Kind::kCpu, Kind::kMemory, Kind::kDisk, Kind::kNetwork};

inline constexpr std::int64_t kMilliPerCore = 1000;

struct Amounts {
  std::int64_t cpu_milli = 0;
  std::int64_t memory_mib = 0;
  std::int64_t disk_mib = 0;
  std::int64_t network_mbit = 0;

  [[nodiscard]] constexpr std::int64_t of(Kind kind) const {
    switch (kind) {
      case Kind::kCpu:
        return cpu_milli;
      case Kind::kMemory:
        return memory_mib;
      case Kind::kDisk:
        return disk_mib;
      case Kind::kNetwork:
        return network_mbit;
    }
    return 0;
  }
  // None is larger than in `room`, or it is 0: a node may have less than nothing left, and what
  // asks for nothing of it is not kept away by that.
  [[nodiscard]] constexpr bool fits(const Amounts& room) const {
    const auto ok = [](std::int64_t needed, std::int64_t left) {
      return needed == 0 || needed <= left;
    };
    return ok(cpu_milli, room.cpu_milli) && ok(memory_mib, room.memory_mib) &&
           ok(disk_mib, room.disk_mib) && ok(network_mbit, room.network_mbit);
  }

  constexpr Amounts& operator+=(const Amounts& other) {
    cpu_milli += other.cpu_milli;
    memory_mib += other.memory_mib;
    disk_mib += other.disk_mib;
    network_mbit += other.network_mbit;
    return *this;
  }
  constexpr Amounts& operator-=(const Amounts& other) {
    cpu_milli -= other.cpu_milli;
    memory_mib -= other.memory_mib;
    disk_mib -= other.disk_mib;
    network_mbit -= other.network_mbit;
    return *this;
  }
  friend constexpr Amounts operator+(Amounts a, const Amounts& b) { return a += b; }
  friend constexpr Amounts operator-(Amounts a, const Amounts& b) { return a -= b; }
  friend bool operator==(const Amounts&, const Amounts&) = default;
};

std::string_view kind_name(Kind kind);  // "memory"
// Of a refusal or an explanation: "512 MiB of memory", "1.5 vCPUs".
std::string amount_text(Kind kind, std::int64_t value);

}  // namespace blixard::resources
