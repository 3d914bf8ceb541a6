#pragma once

// One direction of the network between two simulated machines, and what can be wrong with it.
//
//   fault      range         what it models
//   latency    least..most   each segment draws its own; 100 us to 1 ms when nothing is wrong
//   loss       0..100 %      a lost segment is sent again after 200 ms, then 400 ms and so on, as
//   TCP
//                            does it, and holds up what is behind it in its stream, not the other
//                            streams; no segment is lost more than kLossesMost times in a row. The
//                            first packets of a dial are sent again after 1 s.
//   bandwidth  bytes/second  all streams wait in one line; what waits for the line goes faster or
//                            slower from the moment that this changes
//   damage     one in n      a segment with a changed byte. On a secure stream the receiver finds
//                            out and gives the connection up; elsewhere the checksum does, and it
//                            counts as lost
//   clog       on, off       half of the connections, by a coin for each, deliver nothing, in this
//                            direction, until it ends; then everything at once
//   cut        on, off       nothing passes, dials neither; what is under way waits
//
// None of them reorders, repeats or changes what a stream delivers. Unix sockets cross no link.
//
// Every kind of choice has its own stream of chance, so that a fault that is left out changes as
// little as possible of the rest of a run.

#include <cstdint>

#include "base/units.h"
#include "sim/random.h"

namespace blixard::sim {

struct Latency {
  Duration least;
  Duration most;
};

struct LinkFaults {
  Latency latency;
  std::uint32_t loss_percent = 0;
  Bytes bandwidth;                  // a second; 0: no limit
  std::uint64_t damage_one_in = 0;  // segments; 0: none
  bool clogged = false;
};

class Link {
 public:
  static constexpr std::uint32_t kLossesMost = 10;
  static constexpr Duration kRetransmitFirst = 200ms;

  Link(std::uint32_t from_number, std::uint32_t to_number, std::uint64_t seed);

  void restore();  // faults, but not the cut

  // The most that one segment carries of `available` bytes.
  std::size_t piece_of(std::size_t available);
  // When the last byte of a segment that is sent now has left.
  Instant transmit(Instant now, std::size_t size);
  // From then to its arrival.
  Duration travel();
  Duration latency();
  bool loses_dial() { return dials_.below(100) < faults.loss_percent; }
  bool damages();
  // Whether a clog holds the connection of this number.
  [[nodiscard]] bool holds(std::uint64_t connection) const;
  // Of what has arrived, as much as one read gets.
  std::size_t read_of(std::size_t available);

  const std::uint32_t from;
  const std::uint32_t to;
  LinkFaults faults;
  bool cut = false;
  std::uint64_t clog_coin = 0;  // of this clog, the same in both directions
  Instant free_at;              // when the line is free again

 private:
  SeededRandom latencies_;
  SeededRandom pieces_;
  SeededRandom reads_;
  SeededRandom losses_;
  SeededRandom dials_;
  SeededRandom damages_;
};

}  // namespace blixard::sim
