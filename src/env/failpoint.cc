#include "env/failpoint.h"

#include "env/scope.h"

namespace blixard::env {
namespace {

class Pause final : public Parked<Result<void>>, private observe::FailpointWaiter {
 public:
  Pause(Executor& executor, observe::Failpoint& site) : Parked(executor), site_(site) {
    site_.add(*this);
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  ~Pause() override { site_.remove(*this); }

 private:
  void changed() override { complete(Result<void>()); }
  void cancelled() override {
    if (completed()) return;
    site_.remove(*this);
    complete(fail(Code::kCancelled, "cancelled"));
  }

  observe::Failpoint& site_;
};

}  // namespace

Task<Result<void>> pass_failpoint(observe::Failpoint& site, Executor& executor, Clock& clock) {
  auto passage = site.pass();
  if (passage.error) co_return std::unexpected(*std::move(passage.error));
  if (passage.delay > Duration()) co_return co_await clock.sleep(passage.delay);
  if (passage.pauses) {
    Pause pause(executor, site);
    co_return co_await pause;
  }
  co_return Result<void>();
}

}  // namespace blixard::env
