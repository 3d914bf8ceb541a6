#pragma once

// Work in child processes, one piece at a time in each, so that a crash or an endless loop costs
// one piece of work and no more. The parent has one thread. A child is told the number of a piece,
// does it and sends back messages; a child that dies, or takes too long and is killed, is replaced
// when there is more to do.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace blixard::app {

struct Finished {
  std::uint64_t piece = 0;
  Duration took{};  // real time
  std::vector<std::string> messages;
  std::string death;      // "signal 6 (Aborted)"; "": it lives and the piece is done
  bool hung = false;      // it took too long, and was killed
  std::string complaint;  // of who died: the end of what it wrote to standard error
};

struct PoolOrders {
  std::uint64_t jobs = 1;
  Duration piece_limit = 120s;  // real time
  // In the parent. The next piece; none: there are no more now.
  std::function<std::optional<std::uint64_t>()> next;
  std::function<void(Finished)> finished;
  std::function<void()> tick;  // several times a second
  // In a child, whose memory is a copy of the parent's when it was started.
  std::function<void(std::uint64_t piece, const std::function<void(std::string_view)>& send)> work;
};

// Until there are no more pieces; or until Ctrl-C, then the children are killed with what they were
// doing. False: it was interrupted.
bool run_pool(const PoolOrders& orders);

}  // namespace blixard::app
