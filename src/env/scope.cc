#include "env/scope.h"

namespace blixard::env {

void CancelHook::unlink() {
  if (owner_ == nullptr) return;
  if (previous_ != nullptr) {
    previous_->next_ = next_;
  } else {
    owner_->first_ = next_;
  }
  if (next_ != nullptr) next_->previous_ = previous_;
  owner_ = nullptr;
  previous_ = next_ = nullptr;
}

Cancellation::Cancellation(Cancellation* parent) {
  if (parent == nullptr) return;
  if (parent->requested()) {
    requested_ = true;
  } else {
    parent->add(*this);
  }
}

Cancellation::~Cancellation() { BLX_ASSERT(first_ == nullptr); }

void Cancellation::request() {
  if (requested_) return;
  requested_ = true;
  while (first_ != nullptr) {
    CancelHook* hook = first_;
    hook->unlink();
    hook->on_cancel();
  }
}

void Cancellation::add(CancelHook& hook) {
  BLX_ASSERT(!requested_ && !hook.linked());
  hook.owner_ = this;
  hook.next_ = first_;
  hook.previous_ = nullptr;
  if (first_ != nullptr) first_->previous_ = &hook;
  first_ = &hook;
}

namespace {

// The outermost frame of a spawned task: nobody awaits it, so it frees itself.
struct Detached {
  struct promise_type {  // NOLINT(readability-identifier-naming): the language's name
    Cancellation* cancellation = nullptr;

    Detached get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { internal::exception_escaped(); }
    static void* operator new(std::size_t size) { return internal::allocate_frame(size); }
    static void operator delete(void* frame, std::size_t size) noexcept {
      internal::free_frame(frame, size);
    }
  };
  std::coroutine_handle<promise_type> handle;
};

template <class Finished>
Detached run_detached(Task<void> task, observe::Subsystem tag, Finished finished) {
  observe::set_allocation_tag(tag);
  {
    // Ends before finished(): the scope may go away with the last task.
    Task<void> owned = std::move(task);
    co_await std::move(owned);
  }
  finished();
}

}  // namespace

void Scope::spawn(Task<void> task) {
  ++running_;
  auto finished = [this] { this->finished(); };
  Detached detached = run_detached(std::move(task), observe::allocation_tag(), finished);
  detached.handle.promise().cancellation = &cancellation_;
  executor_.post(detached.handle);
}

void Scope::finished() {
  --running_;
  if (running_ == 0 && joiner_ != nullptr) std::exchange(joiner_, nullptr)->complete(true);
}

Task<void> Scope::join() {
  while (running_ != 0) {
    BLX_ASSERT(joiner_ == nullptr);
    Parked<bool> all_ended(executor_);
    joiner_ = &all_ended;
    co_await all_ended;
  }
}

}  // namespace blixard::env
