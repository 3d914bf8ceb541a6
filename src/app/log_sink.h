#pragma once

// Log lines of the program, through spdlog to standard error; the journal adds the rest.

#include <memory>

#include "observe/log.h"

namespace blixard::app {

std::unique_ptr<observe::LogSink> make_log_sink(observe::Level least);

}  // namespace blixard::app
