#pragma once

// What the durable log counts.

#include "observe/metrics.h"

namespace blixard::log {

enum class WriteOutcome : std::uint8_t { kDurable, kRefused, kFailed };
enum class ReadFrom : std::uint8_t { kMemory, kDisk };

}  // namespace blixard::log

namespace blixard::observe {
template <>
inline constexpr std::array<std::string_view, 3> kLabelValues<log::WriteOutcome>{
    "durable", "refused", "failed"};
template <>
inline constexpr std::array<std::string_view, 2> kLabelValues<log::ReadFrom>{"memory", "disk"};
}  // namespace blixard::observe

namespace blixard::log {

struct Instruments {
  Instruments() = default;  // counts into nothing
  explicit Instruments(observe::Metrics& metrics);

  observe::CounterFamily<WriteOutcome> writes;
  observe::Histogram write_duration;
  observe::Counter written_bytes;
  observe::Counter written_entries;
  observe::Histogram batch_entries;
  observe::CounterFamily<ReadFrom> read_entries;
  observe::Histogram read_duration;
  observe::Counter snapshots;
};

}  // namespace blixard::log
