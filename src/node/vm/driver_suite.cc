#include "node/vm/driver_suite.h"

#include <vector>

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm {

std::span<const SuiteCase> driver_suite() {
  static const std::vector<SuiteCase> all = [] {
    std::vector<SuiteCase> cases;
    for (const auto part :
         {suite::start_cases(), suite::prepare_cases(), suite::stop_cases(), suite::adopt_cases(),
          suite::template_cases(), suite::unusable_template_cases(), suite::standby_cases(),
          suite::save_cases()}) {
      cases.insert(cases.end(), part.begin(), part.end());
    }
    return cases;
  }();
  return all;
}

env::Task<Result<void>> clean_up(SuiteHost& host) {
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  for (const VmId id : left)
    BLX_CO_TRY(co_await host.driver().release_leftover(id));
  co_return Result<void>();
}

}  // namespace blixard::vm
