#include "node/telemetry/program.h"

#include <memory>

namespace blixard::telemetry {
namespace {

using env::ProgramUsage;
using observe::Answer;
using observe::Metrics;
using Usage = std::shared_ptr<const ProgramUsage>;

double real(std::uint64_t number) { return static_cast<double>(number); }
double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
double seconds_of_ns(std::uint64_t ns) { return static_cast<double>(ns) / 1e9; }

void register_process(Metrics& metrics, const Usage& usage) {
  metrics.computed_gauge("process_resident_memory_bytes", "Resident memory size in bytes.",
                         [usage](Answer& answer) { answer(real(usage->resident.value)); });
  metrics.computed_gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                         [usage](Answer& answer) { answer(real(usage->virtual_memory.value)); });
  metrics.computed_counter(
      "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
      [usage](Answer& answer) { answer(seconds(usage->cpu_user + usage->cpu_system)); });
  metrics.computed_gauge("process_open_fds", "Number of open file descriptors.",
                         [usage](Answer& answer) { answer(real(usage->open_files)); });
  metrics.computed_gauge("process_max_fds", "Maximum number of open file descriptors.",
                         [usage](Answer& answer) { answer(real(usage->open_files_max)); });
  metrics.computed_gauge("process_threads", "Number of OS threads in the process.",
                         [usage](Answer& answer) { answer(real(usage->threads)); });
  metrics.computed_gauge(
      "process_start_time_seconds", "Start time of the process since unix epoch in seconds.",
      [usage](Answer& answer) { answer(static_cast<double>(usage->started.unix_ms) / 1e3); });
  metrics.computed_counter("process_page_faults_total",
                           "Page faults; a major one waited for a disk.",
                           [usage](Answer& answer) {
                             answer({"major"}, real(usage->faults_major));
                             answer({"minor"}, real(usage->faults_minor));
                           },
                           {"kind"});
}

// What the registry says of itself.
void register_series(Metrics& metrics) {
  metrics.computed_counter("blixard_metric_series_refused_total",
                           "Series that would have been too many: what they count is lost.",
                           [&metrics](Answer& answer) { answer(real(metrics.refused())); });
}

void register_heap(Metrics& metrics, const Usage& usage) {
  metrics.computed_gauge(
      "blixard_heap_bytes",
      "Memory that the program has of its allocator; of mimalloc, that the allocator has.",
      [usage](Answer& answer) { answer({usage->allocator}, real(usage->heap.value)); },
      {"allocator"});
  const auto by_subsystem = [&](observe::MetricName<observe::Kind::kCounter> name,
                                observe::Help help,
                                std::uint64_t observe::AllocationCounts::* count) {
    metrics.computed_counter(name, help,
                             [usage, count](Answer& answer) {
                               if (!usage->allocations) return;
                               for (std::size_t i = 0; i < observe::kSubsystems; ++i) {
                                 const auto subsystem = static_cast<observe::Subsystem>(i);
                                 if (subsystem == observe::Subsystem::kSimulator) continue;
                                 answer({subsystem_name(subsystem)},
                                        real((*usage->allocations)[i].*count));
                               }
                             },
                             {"subsystem"});
  };
  by_subsystem("blixard_allocations_total", "Allocations, by the part of the node they were for.",
               &observe::AllocationCounts::allocations);
  by_subsystem("blixard_allocated_bytes_total",
               "Bytes asked of the allocator, by the part of the node they were for.",
               &observe::AllocationCounts::bytes);
  by_subsystem("blixard_frees_total",
               "Memory given back, by the part of the node that gave it back.",
               &observe::AllocationCounts::frees);
}

void register_locks(Metrics& metrics, const Usage& usage) {
  using Figures = observe::LockFigures;
  const auto of_each = [usage](double (*of)(const Figures&)) {
    return [usage, of](Answer& answer) {
      for (std::size_t i = 0; i < usage->locks.size(); ++i)
        answer({lock_name(static_cast<observe::LockName>(i))}, of(usage->locks[i]));
    };
  };
  metrics.computed_counter("blixard_lock_taken_total", "How often a lock was taken, a little late.",
                           of_each([](const Figures& figures) { return real(figures.taken); }),
                           {"lock"});
  metrics.computed_counter(
      "blixard_lock_contended_total", "How often a thread had to wait for a lock.",
      of_each([](const Figures& figures) { return real(figures.contended); }), {"lock"});
  metrics.computed_counter(
      "blixard_lock_wait_seconds_total", "Time that threads waited for a lock.",
      of_each([](const Figures& figures) { return seconds_of_ns(figures.wait_ns); }), {"lock"});
  metrics.computed_gauge(
      "blixard_lock_wait_max_seconds", "The longest wait for a lock since the start.",
      of_each([](const Figures& figures) { return seconds_of_ns(figures.wait_max_ns); }), {"lock"});
  metrics.computed_counter(
      "blixard_lock_holds_measured_total", "Holds of a lock that were measured, one of many.",
      of_each([](const Figures& figures) { return real(figures.holds_measured); }), {"lock"});
  metrics.computed_counter(
      "blixard_lock_hold_seconds_total", "Time of the holds of a lock that were measured.",
      of_each([](const Figures& figures) { return seconds_of_ns(figures.hold_ns); }), {"lock"});
  metrics.computed_gauge(
      "blixard_lock_hold_max_seconds", "The longest hold of a lock that was measured.",
      of_each([](const Figures& figures) { return seconds_of_ns(figures.hold_max_ns); }), {"lock"});
}

}  // namespace

void register_program(Metrics& metrics, env::Machine* machine) {
  const auto usage = std::make_shared<ProgramUsage>();
  if (machine != nullptr) {
    metrics.before_reading([usage, machine] { *usage = machine->program_usage(); });
  }
  register_process(metrics, usage);
  register_series(metrics);
  register_heap(metrics, usage);
  register_locks(metrics, usage);
}

}  // namespace blixard::telemetry
