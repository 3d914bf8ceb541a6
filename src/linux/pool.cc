#include "linux/pool.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "linux/event_loop.h"
#include "linux/lock.h"

namespace blixard::linux_side {

class Pool::State {
 public:
  explicit State(Loop& loop) : loop_(loop) {}

  ~State() {
    {
      const std::lock_guard lock(lock_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_)
      thread.join();
  }

  bool submit(Job& job) {
    {
      std::unique_lock lock(lock_);
      if (queued_ == limits::kPoolJobs) return false;
      // A job is pushed before its thread is asked for, so only a machine without any thread
      // left runs it here.
      if (queued_ >= idle_ && threads_.size() < limits::kPoolThreads) start_thread();
      if (threads_.empty()) {
        lock.unlock();
        job.execute();
        job.finished();
        return true;
      }
      push(job);
    }
    // A thread that is woken under the lock would only wait for it.
    wake_.notify_one();
    return true;
  }

  [[nodiscard]] Loop& loop() { return loop_; }

 private:
  void push(Job& job) {
    job.next = nullptr;
    (last_ != nullptr ? last_->next : first_) = &job;
    last_ = &job;
    ++queued_;
  }

  void start_thread() {
    // Signals are for the loop's thread only.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      // Fewer threads, or none: submit() copes with both.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void work() {
    std::unique_lock lock(lock_);
    while (true) {
      while (first_ == nullptr && !stopping_) {
        ++idle_;
        lock_.wait(wake_);
        --idle_;
      }
      if (first_ == nullptr) return;
      Job& job = *first_;
      first_ = job.next;
      if (first_ == nullptr) last_ = nullptr;
      --queued_;
      lock.unlock();
      job.execute();
      lock.lock();
      give_back(job);
    }
  }

  void give_back(Job& job) {
    const bool is_first = done_ == nullptr;
    job.next = done_;
    done_ = &job;
    if (is_first) asio::post(loop_.io(), [this] { finish_done(); });
  }

  void finish_done() {
    Job* job = nullptr;
    {
      const std::lock_guard lock(lock_);
      job = std::exchange(done_, nullptr);
    }
    Job* in_order = nullptr;  // done_ is a stack
    while (job != nullptr) {
      Job* next = job->next;
      job->next = in_order;
      in_order = job;
      job = next;
    }
    while (in_order != nullptr) {
      Job* next = in_order->next;
      in_order->finished();
      in_order = next;
    }
  }

  Loop& loop_;
  Lock lock_{observe::LockName::kPool};
  std::condition_variable wake_;
  Job* first_ = nullptr;
  Job* last_ = nullptr;
  Job* done_ = nullptr;
  std::size_t queued_ = 0;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

Pool::Pool(Loop& loop) : state_(std::make_unique<State>(loop)) {}
Pool::~Pool() = default;

env::Executor& Pool::executor() { return state_->loop(); }
bool Pool::submit(Job& job) { return state_->submit(job); }

}  // namespace blixard::linux_side
