#include "app/doctor.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "node/vm/qemu/qemu_driver.h"

namespace blixard::app {
namespace {

enum class Verdict : std::uint8_t { kGood, kPoor, kBad };

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGood:
      return "ok";
    case Verdict::kPoor:
      return "warning";
    case Verdict::kBad:
      return "error";
  }
  return "error";
}

struct Finding {
  std::string what;
  Verdict verdict = Verdict::kGood;
  std::string text;
};

struct SyncTimes {
  Duration median{};
  Duration slow{};  // 99th of a hundred
};

// What one durable write costs: every acknowledged change waits for one.
env::Task<Result<SyncTimes>> measure_syncs(env::Env env, std::string directory) {
  constexpr std::size_t kSyncs = 100;
  constexpr std::size_t kBlock = 4096;
  BLX_CO_TRY(co_await env.disk.make_directory(directory));
  const std::string path = env::join_path(directory, "doctor.tmp");
  std::vector<Duration> times;
  Result<void> done;
  {
    BLX_CO_TRY(auto file, co_await env.disk.open(path, env::OpenMode::kCreate));
    const std::string block(kBlock, 'x');
    const std::array<std::string_view, 1> parts{block};
    for (std::size_t i = 0; done && i < kSyncs; ++i) {
      done = co_await file->write_at(i * kBlock, parts);
      const Instant begin = env.clock.monotonic();
      if (done) done = co_await file->sync();
      times.push_back(env.clock.monotonic() - begin);
    }
  }
  ignore(co_await env.disk.remove(path), "a temporary file of ours");
  BLX_CO_TRY(std::move(done));
  std::sort(times.begin(), times.end());
  co_return SyncTimes{times[kSyncs / 2], times[kSyncs - 1]};
}

class Doctor {
 public:
  Doctor(env::Env env, DoctorCommand command) : env_(env), command_(std::move(command)) {}

  env::Task<void> examine() {
    const env::MachineFacts& facts = env_.machine.facts();
    add("machine", Verdict::kGood,
        fmt::format("{}, {} CPUs, {} MiB of memory ({} free), Linux {}", facts.architecture,
                    facts.cpus, facts.memory.mib(), env_.machine.memory_available().mib(),
                    facts.kernel));
    const env::ProgramUsage own = env_.machine.program_usage();
    add("allocator", Verdict::kGood,
        fmt::format("{}: {} KiB of the heap in use, {} KiB resident", own.allocator,
                    own.heap.value >> 10, own.resident.value >> 10));
    co_await examine_hypervisor();
    co_await examine_network();
    examine_isolation(facts);
    co_await examine_disk();
  }

  [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }

 private:
  void add(std::string what, Verdict verdict, std::string text) {
    findings_.push_back({std::move(what), verdict, std::move(text)});
  }

  env::Task<void> examine_hypervisor() {
    qemu::QemuDriver driver(env_, {.directory = env::join_path(command_.data_directory, "vms")});
    const auto found = co_await driver.probe();
    if (!found) {
      add("hypervisor", Verdict::kBad, found.error().message());
    } else {
      add("hypervisor", Verdict::kGood, "QEMU " + found->version);
      const bool native = found->accelerator == vm::Accelerator::kKvm;
      add("accelerator", native ? Verdict::kGood : Verdict::kPoor, found->accelerator_reason);
    }
    co_await driver.close();
  }

  env::Task<void> examine_network() {
    const auto listener = co_await env_.network.listen(env::Endpoint::tcp("127.0.0.1", 0));
    if (listener) {
      add("network", Verdict::kGood, "loopback ports can be published (user mode, no root needed)");
    } else {
      add("network", Verdict::kBad, listener.error().message());
    }
  }

  void examine_isolation(const env::MachineFacts& facts) {
    switch (env_.process.group_support()) {
      case env::Process::GroupSupport::kUnified:
        add("limits", Verdict::kGood, "cgroup v2: memory, CPU and process limits hold");
        break;
      case env::Process::GroupSupport::kHybrid:
        add("limits", Verdict::kGood, "cgroups v1 for limits, v2 for ending guests");
        break;
      case env::Process::GroupSupport::kNone:
        add("limits", Verdict::kPoor,
            "no writable cgroup: guests run without limits (run as root or under systemd with "
            "Delegate=yes)");
        break;
    }
    if (facts.guest_owner) {
      add("guest user", Verdict::kGood,
          fmt::format("guests' processes run as uid {}", facts.guest_owner->uid));
    } else {
      add("guest user", facts.is_root ? Verdict::kPoor : Verdict::kGood,
          facts.is_root ? "no unprivileged user for guests' processes: install the package, or "
                          "add a user blixard-vm"
                        : "guests' processes run as you (not root)");
    }
  }

  env::Task<void> examine_disk() {
    const auto times = co_await measure_syncs(env_, command_.data_directory);
    if (!times) {
      add("disk", Verdict::kBad, command_.data_directory + ": " + times.error().message());
      co_return;
    }
    const auto in_ms = [](Duration time) { return static_cast<double>(time.count()) / 1e6; };
    const bool slow = times->median > 10ms;
    add("disk", slow ? Verdict::kPoor : Verdict::kGood,
        fmt::format("{}: a synced write of 4 KiB takes {:.2f} ms (median), {:.2f} ms (slowest of "
                    "100){}",
                    command_.data_directory, in_ms(times->median), in_ms(times->slow),
                    slow ? "; every change waits for one: use a faster disk" : ""));
  }

  env::Env env_;
  DoctorCommand command_;
  std::vector<Finding> findings_;
};

}  // namespace

env::Task<int> run_doctor(env::Env env, DoctorCommand command, OutputFormat output) {
  Doctor doctor(env, std::move(command));
  {
    env::Scope scope(env.executor, co_await env::this_cancellation());
    Spinner spinner(env, scope, "examining this machine");
    co_await doctor.examine();
    spinner.stop();
    co_await scope.join();
  }
  bool bad = false;
  Table table({"CHECK", "VERDICT", "FINDING"});
  boost::json::array list;
  for (const Finding& finding : doctor.findings()) {
    bad = bad || finding.verdict == Verdict::kBad;
    const std::string verdict(verdict_name(finding.verdict));
    table.add({finding.what, verdict, finding.text});
    list.push_back(boost::json::object{
        {"check", finding.what}, {"verdict", verdict}, {"finding", finding.text}});
  }
  const std::string text = output == OutputFormat::kJson
                               ? pretty(boost::json::object{{"findings", std::move(list)}})
                               : table.text();
  std::fwrite(text.data(), 1, text.size(), stdout);
  co_return bad ? kExitFailed : kExitDone;
}

}  // namespace blixard::app
