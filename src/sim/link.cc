#include "sim/link.h"

#include <algorithm>

namespace blixard::sim {
namespace {

constexpr Latency kBetweenMachines{100us, 1ms};
constexpr Latency kWithinMachine{5us, 30us};
constexpr std::size_t kSegmentBytes = std::size_t{64} << 10;
constexpr std::size_t kSegmentBytesLeast = 1448;
constexpr std::uint64_t kSegmentsASecond = 16;  // at least, on a narrow link

}  // namespace

Link::Link(std::uint32_t from_number, std::uint32_t to_number, std::uint64_t seed)
    : from(from_number),
      to(to_number),
      latencies_(seed),
      pieces_(latencies_.seed_for("pieces")),
      reads_(latencies_.seed_for("reads")),
      losses_(latencies_.seed_for("losses")),
      dials_(latencies_.seed_for("dials")),
      damages_(latencies_.seed_for("damages")) {
  restore();
}

void Link::restore() { faults = {.latency = from == to ? kWithinMachine : kBetweenMachines}; }

std::size_t Link::piece_of(std::size_t available) {
  std::size_t most = kSegmentBytes;
  if (faults.bandwidth.value > 0) {
    most = std::clamp<std::size_t>(faults.bandwidth.value / kSegmentsASecond, kSegmentBytesLeast,
                                   kSegmentBytes);
  }
  const std::size_t count = std::min(available, most);
  return count > 1 && pieces_.one_in(4) ? 1 + pieces_.below(count) : count;
}

Instant Link::transmit(Instant now, std::size_t size) {
  const std::uint64_t rate = faults.bandwidth.value;
  if (rate == 0) return now;
  constexpr std::uint64_t kNanosASecond = 1'000'000'000;
  free_at = std::max(free_at, now) + Duration(size * kNanosASecond / rate);
  return free_at;
}

Duration Link::travel() {
  Duration duration = latency();
  if (faults.loss_percent == 0) return duration;
  Duration timeout = kRetransmitFirst;
  for (std::uint32_t times = 0; times < kLossesMost; ++times) {
    if (losses_.below(100) >= faults.loss_percent) break;
    duration += timeout;
    timeout *= 2;
  }
  return duration;
}

Duration Link::latency() { return latencies_.between(faults.latency.least, faults.latency.most); }

bool Link::damages() { return faults.damage_one_in > 0 && damages_.one_in(faults.damage_one_in); }

bool Link::holds(std::uint64_t connection) const {
  if (!faults.clogged) return false;
  return SeededRandom(clog_coin + connection).one_in(2);
}

std::size_t Link::read_of(std::size_t available) {
  return available > 1 && reads_.one_in(8) ? 1 + reads_.below(available) : available;
}

}  // namespace blixard::sim
