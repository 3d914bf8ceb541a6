#pragma once

// Threads for calls that may block the loop: disk reads and syncs, cgroup files, measurements.
//
//   Result<std::size_t> count = co_await pool.run([&] { return read_fully(fd, buffer); });
//
// A job lives in the frame of the coroutine that awaits it, so queueing allocates nothing. It is
// not cut short by cancellation: the coroutine always gets the job's real result, and what the
// job refers to stays alive until then. Threads start when first needed.

#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "env/executor.h"
#include "env/scope.h"
#include "env/task.h"

namespace blixard::linux_side {

class Loop;

class Pool {
 public:
  explicit Pool(Loop& loop);
  ~Pool();  // precondition: nothing is awaited any more
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // `work()` gives a Result and runs on another thread. Errors: its own, and
  // kResourceExhausted "pool_busy" when too many wait.
  template <class F>
  env::Task<std::invoke_result_t<F&>> run(F work) {
    Call<F> call(executor(), work);
    if (!submit(call)) co_return fail(Code::kResourceExhausted, "pool_busy");
    co_return co_await call;
  }

 private:
  class State;

  class Job {
   public:
    virtual void execute() = 0;   // on a thread of the pool
    virtual void finished() = 0;  // on the loop
    Job* next = nullptr;

   protected:
    ~Job() = default;
  };

  template <class F>
  class Call final : public Job, public env::Parked<std::invoke_result_t<F&>> {
   public:
    using Value = std::invoke_result_t<F&>;
    Call(env::Executor& executor, F& work) : env::Parked<Value>(executor), work_(work) {}
    void execute() override { outcome_.emplace(work_()); }
    void finished() override { this->complete(std::move(*outcome_)); }

   private:
    F& work_;
    std::optional<Value> outcome_;
  };

  [[nodiscard]] env::Executor& executor();
  bool submit(Job& job);

  std::unique_ptr<State> state_;
};

}  // namespace blixard::linux_side
