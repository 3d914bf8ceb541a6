#pragma once

// The queue of one node's ready coroutines: everything of a node runs on it, one at a time.

#include <coroutine>

namespace blixard::env {

class Executor {
 public:
  virtual ~Executor() = default;

  // Resumes `ready` later, never inside this call. In order of posting, except in simulation,
  // where the seed may choose among what is ready.
  virtual void post(std::coroutine_handle<> ready) = 0;
};

}  // namespace blixard::env
