#pragma once

// The log lines of a whole run, in order, with virtual time and the program that wrote them. They
// are for people: no part of the trace hash, which is the same at every level.

#include <string>
#include <string_view>
#include <vector>

#include "observe/log.h"
#include "sim/engine.h"

namespace blixard::sim {

struct Journal {
  observe::Level level = observe::Level::kInfo;
  std::vector<std::string> lines;

  void write(const Engine& engine, std::string_view who, std::string_view level_name,
             std::string_view line);
};

}  // namespace blixard::sim
