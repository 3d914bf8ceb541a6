#pragma once

// Log lines of the program, through spdlog to standard error; the journal adds the rest.

#include <memory>

#include "observe/log.h"

namespace blixard::app {

class ProgramLog : public observe::LogSink {
 public:
  // From the next line on.
  virtual void set_least(observe::Level least) = 0;
};

std::unique_ptr<ProgramLog> make_log_sink(observe::Level least);

}  // namespace blixard::app
