#include "linux/runtime.h"

#include <signal.h>

#include <string_view>
#include <vector>

#include <boost/asio/signal_set.hpp>

#include "linux/clock.h"
#include "linux/disk.h"
#include "linux/event_loop.h"
#include "linux/kvm_probe.h"
#include "linux/machine.h"
#include "linux/network.h"
#include "linux/pool.h"
#include "linux/process.h"
#include "linux/security.h"
#include "linux/system_random.h"

namespace blixard::linux_side {
namespace {

class NoLog final : public observe::LogSink {
 public:
  [[nodiscard]] bool wants(observe::Level /*level*/) const override { return false; }
  void write(observe::Level /*level*/, std::string_view /*line*/) override {}
};

// Errors of a write come back as errno, not as the end of the process.
void ignore_write_signals() {
  struct sigaction ignored{};
  ignored.sa_handler = SIG_IGN;
  (void)sigaction(SIGPIPE, &ignored, nullptr);
  (void)sigaction(SIGXFSZ, &ignored, nullptr);
}

env::Task<void> run_and_stop(Loop& loop, env::Task<void> task) {
  co_await std::move(task);
  loop.stop();
}

void run_task(Loop& loop, env::Task<void> task) {
  env::Scope root(loop, nullptr);
  root.spawn(run_and_stop(loop, std::move(task)));
  loop.run();
}

env::Task<Result<int>> wait_for_signal(Loop& loop, asio::signal_set& signals,
                                       std::vector<int> numbers) {
  for (const int number : numbers) {
    ErrorCode error;
    signals.add(number, error);  // fine if it is in the set
    if (error) co_return fail(Code::kInternal, "signal_refused", error.message());
  }
  Operation<int> operation(loop);
  signals.async_wait(operation.handler([](const ErrorCode& error, int number) -> Result<int> {
    if (error) return fail(Code::kCancelled, "cancelled");
    return number;
  }));
  co_return co_await operation;
}

}  // namespace

class Runtime::Impl {
 public:
  explicit Impl(Options options)
      : log(options.log != nullptr ? *options.log : no_log),
        pool(loop),
        clock(loop),
        network(loop, clock),
        background(loop, nullptr),
        security(loop, clock, network, log, background),
        disk(pool),
        process(loop, clock, pool, options.group_root),
        machine(clock, pool, process),
        stop_signals(loop.io()),
        reload_signals(loop.io()) {
    if (!process.group_remark().empty()) BLX_LOG(log, kInfo, "{}", process.group_remark());
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    background.cancel();
    if (background.running() > 0) run_task(loop, background.join());
  }

  NoLog no_log;
  observe::LogSink& log;
  Loop loop;
  Pool pool;
  Clock clock;
  Random random;
  Network network;
  env::Scope background;  // handshakes of clients
  Security security;
  Disk disk;
  Process process;
  Machine machine;
  env::NoRareEvents rare;
  asio::signal_set stop_signals;
  asio::signal_set reload_signals;
};

Runtime::Runtime(Options options) {
  ignore_write_signals();
  impl_ = std::make_unique<Impl>(std::move(options));
}

Runtime::~Runtime() = default;

env::Env Runtime::env() {
  return {.executor = impl_->loop,
          .clock = impl_->clock,
          .random = impl_->random,
          .network = impl_->network,
          .security = impl_->security,
          .disk = impl_->disk,
          .process = impl_->process,
          .machine = impl_->machine,
          .rare = impl_->rare,
          .log = impl_->log};
}

void Runtime::run(env::Task<void> task) { run_task(impl_->loop, std::move(task)); }

env::Task<Result<int>> Runtime::wait_for_stop_signal() {
  return wait_for_signal(impl_->loop, impl_->stop_signals, {SIGINT, SIGTERM});
}

env::Task<Result<void>> Runtime::wait_for_reload_signal() {
  BLX_CO_TRY(co_await wait_for_signal(impl_->loop, impl_->reload_signals, {SIGHUP}));
  co_return Result<void>();
}

int run_hidden_command(int argc, char** argv) {
  if (argc < 2) return -1;
  const std::string_view command = argv[1];
  if (command == "internal-kvm-loop") return run_kvm_loop();
  return -1;
}

}  // namespace blixard::linux_side
