#pragma once

// Failpoints (observe/failpoint.h) of coroutines: they may also delay, by the node's clock, and
// pause until the site is disarmed or armed anew. Both end with Code::kCancelled like every wait.
//
//   BLX_CO_FAILPOINT(env_, "storage::sync_to_disk", kUnavailable, "io_error");

#include "env/env.h"
#include "env/task.h"
#include "observe/failpoint.h"

namespace blixard::env {

// The error of one passage, after what has to be waited for.
Task<Result<void>> pass_failpoint(observe::Failpoint& site, Executor& executor, Clock& clock);

}  // namespace blixard::env

#ifdef BLX_FAILPOINTS

// Leaves the coroutine with the error.
#define BLX_CO_FAILPOINT(seam, name, code, reason)                                               \
  do {                                                                                           \
    if (auto* blx_site = BLX_FAILPOINT_ARMED_(name, ::blixard::observe::FailpointKind::kWaiting, \
                                              ::blixard::Code::code, reason)) [[unlikely]] {     \
      auto blx_passed =                                                                          \
          co_await ::blixard::env::pass_failpoint(*blx_site, (seam).executor, (seam).clock);     \
      if (!blx_passed) co_return ::std::unexpected(::std::move(blx_passed).error());             \
    }                                                                                            \
  } while (false)
// Puts it into `result`, a Result<void>, where a coroutine has something to do with it.
#define BLX_CO_FAILPOINT_INTO(result, seam, name, code, reason)                                  \
  do {                                                                                           \
    if (auto* blx_site = BLX_FAILPOINT_ARMED_(name, ::blixard::observe::FailpointKind::kWaiting, \
                                              ::blixard::Code::code, reason)) [[unlikely]] {     \
      (result) =                                                                                 \
          co_await ::blixard::env::pass_failpoint(*blx_site, (seam).executor, (seam).clock);     \
    }                                                                                            \
  } while (false)

#else

#define BLX_CO_FAILPOINT(seam, name, code, reason) static_cast<void>(0)
#define BLX_CO_FAILPOINT_INTO(result, seam, name, code, reason) static_cast<void>(0)

#endif
