// `shrink`: each try in a process of its own, so that runs that crash or hang can be made small
// too.

#include "vopr/shrink.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "app/output.h"
#include "app/vopr/commands.h"
#include "app/vopr/plan_files.h"
#include "app/vopr/pool.h"
#include "app/vopr/run_result.h"

namespace blixard::app {
namespace {

// A try is nothing beside the whole; but people want to see that it goes on.
constexpr std::size_t kTriesALine = 25;

int refuse(std::string_view why) {
  fmt::print(stderr, "blixard-vopr: {}\n", printable(why));
  return kExitBadInput;
}

class Tries {
 public:
  Tries(const Runner& runner, Duration limit) : runner_(runner), limit_(limit) {}

  // Once interrupted everything else is content: the shrinker then ends with what it has.
  std::optional<vopr::Violation> run(const vopr::Plan& plan) {
    if (interrupted_) return std::nullopt;
    std::optional<vopr::Violation> violation;
    bool begun = false;
    PoolOrders orders;
    orders.piece_limit = limit_;
    orders.next = [&]() -> std::optional<std::uint64_t> {
      if (std::exchange(begun, true)) return std::nullopt;
      return 0;
    };
    orders.tick = [] {};
    orders.work = [&](std::uint64_t, const auto& send) {
      send(line_of(run_checked(plan, runner_, false)));
    };
    orders.finished = [&](const Finished& finished) { violation = outcome_of(finished).violation; };
    interrupted_ = !run_pool(orders);
    return violation;
  }

  [[nodiscard]] bool interrupted() const { return interrupted_; }

 private:
  const Runner& runner_;
  Duration limit_;
  bool interrupted_ = false;
};

void show_progress(const vopr::ShrinkProgress& progress) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (!terminal && progress.runs % kTriesALine != 0) return;
  fmt::print(stderr, "{}{} runs, {} decisions{}", terminal ? "\r\x1b[K" : "", progress.runs,
             progress.steps, terminal ? "" : "\n");
  std::fflush(stderr);
}

}  // namespace

int shrink_plan(const ShrinkPlan& command, const Runner& runner) {
  const auto plan = read_plan(command.source);
  if (!plan) return refuse(plan.error().detail());
  Tries tries(runner, command.run_limit);
  const auto violation = tries.run(*plan);
  if (!violation) return refuse("this plan does not fail, so there is nothing to make small");
  fmt::print(stderr, "{} decisions fail as {}: {}\n", plan->steps.size(),
             printable(violation->checker), printable(violation->text));
  const vopr::Shrunk shrunk = vopr::shrink(
      *plan, *violation, [&](const vopr::Plan& smaller) { return tries.run(smaller); },
      command.runs, show_progress);
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\x1b[K");
  const std::string text = vopr::scenario_text(shrunk.plan);
  std::string out = command.out;
  if (out.empty()) {
    out = plan_file_name(shrunk.violation.checker + "-small", shrunk.plan.seed);
  }
  if (const auto written = write_text(out, text); !written) return refuse(written.error().detail());
  fmt::print("# {}: {}\n# {} decisions of {}, {} runs{}\n{}", printable(shrunk.violation.checker),
             printable(shrunk.violation.text.substr(0, shrunk.violation.text.find('\n'))),
             shrunk.plan.steps.size(), plan->steps.size(), shrunk.runs,
             tries.interrupted() ? "; stopped" : "", text);
  fmt::print("again:  blixard-vopr replay {0}\nlook:   blixard-vopr show {0}\n", out);
  return kExitDone;
}

}  // namespace blixard::app
