#include "app/failpoint_commands.h"

#include <cstdlib>

#include "observe/failpoint.h"

namespace blixard::app {

Result<void> arm_failpoints_of_environment(observe::LogSink& log) {
  const char* list = std::getenv("BLIXARD_FAILPOINTS");
  if (list == nullptr || *list == '\0') return {};
  BLX_TRY(observe::arm_failpoints(list));
  for (const observe::FailpointStatus& site : observe::failpoints()) {
    if (site.actions.empty()) continue;
    BLX_LOG(log, kError, "FAILPOINT {} IS ARMED: {}. This daemon will fail on purpose", site.name,
            site.actions);
  }
  return {};
}

}  // namespace blixard::app
