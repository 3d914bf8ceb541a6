#include "env/sync.h"

namespace blixard::env {

class Signal::Waiter final : public Parked<Result<void>> {
 public:
  Waiter(Executor& executor, Signal& signal) : Parked(executor), signal_(signal) {}

  Waiter* previous = nullptr;
  Waiter* next = nullptr;

 private:
  void cancelled() override {
    signal_.remove(*this);
    complete(fail(Code::kCancelled, "cancelled"));
  }

  Signal& signal_;
};

Task<Result<void>> Signal::wait() {
  Waiter waiter(executor_, *this);
  waiter.previous = last_;
  (last_ != nullptr ? last_->next : first_) = &waiter;
  last_ = &waiter;
  co_return co_await waiter;
}

void Signal::notify_all() {
  while (first_ != nullptr) {
    Waiter& waiter = *first_;
    remove(waiter);
    waiter.complete(Result<void>());
  }
}

void Signal::remove(Waiter& waiter) {
  (waiter.previous != nullptr ? waiter.previous->next : first_) = waiter.next;
  (waiter.next != nullptr ? waiter.next->previous : last_) = waiter.previous;
  waiter.previous = waiter.next = nullptr;
}

namespace internal {

Task<void> cancel_at(Clock& clock, Instant deadline, Cancellation& target, bool& expired) {
  if (!co_await clock.sleep_until(deadline)) co_return;
  expired = true;
  target.request();
}

}  // namespace internal

}  // namespace blixard::env
