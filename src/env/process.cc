#include "env/process.h"

namespace blixard::env {

std::string ExitStatus::text() const {
  if (exit_code) return "exit code " + std::to_string(*exit_code);
  if (signal) return "signal " + std::to_string(*signal);
  return "ended";
}

}  // namespace blixard::env
