#pragma once

// The queue of one node's ready coroutines: everything of a node runs on it, one at a time.

#include <coroutine>

#include "observe/allocations.h"

namespace blixard::env {

class Executor {
 public:
  virtual ~Executor() = default;

  // Resumes `ready` later, never inside this call, and without an allocation tag. In order of
  // posting, except in simulation, where the seed may choose among what is ready.
  virtual void post(std::coroutine_handle<> ready) = 0;
};

// Lets what else is ready run first: `co_await env::Turn{executor}`. A loop whose operations never
// wait needs it, or it would keep the node to itself.
struct Turn {
  Executor& executor;
  observe::Subsystem tag = observe::allocation_tag();
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) const { executor.post(self); }
  void await_resume() const noexcept { observe::set_allocation_tag(tag); }
};

}  // namespace blixard::env
