#include "node/vm/driver_suite_steps.h"

#include <memory>

#include "node/vm/template_files.h"

namespace blixard::vm::suite {

using env::Task;

std::unexpected<Error> broken(const char* file, int line, const char* expectation,
                              std::string seen) {
  std::string detail = std::string(env::last_part(file)) + ":" + std::to_string(line) + ": ";
  detail += expectation;
  if (!seen.empty()) detail += "; seen: " + seen;
  return fail(Code::kInternal, "suite_expectation_broken", std::move(detail));
}

std::string describe(const Status& status) {
  return std::string(phase_name(status.phase)) + ", " + std::string(end_reason_name(status.end)) +
         ", " + status.detail;
}

Instant after(SuiteHost& host, Duration duration) {
  return host.env().clock.monotonic() + duration;
}

Task<Result<Started>> start_spec(SuiteHost& host, GuestSpec spec) {
  Started started{std::move(spec), {}};
  BLX_CO_TRY(Record prepared, co_await host.driver().prepare(started.spec));
  BLX_EXPECT(prepared.process.pid == 0);
  BLX_CO_TRY(started.record, co_await host.driver().start(started.spec, std::move(prepared),
                                                          after(host, kStartMax)));
  BLX_EXPECT(started.record.process.pid > 0);
  co_return started;
}

Task<Result<Started>> start_guest(SuiteHost& host, std::string cmdline) {
  co_return co_await start_spec(host, host.guest(std::move(cmdline)));
}

Task<Result<Started>> start_ready(SuiteHost& host, std::string cmdline) {
  BLX_CO_TRY(Started started, co_await start_guest(host, std::move(cmdline)));
  BLX_CO_TRY(co_await host.driver().wait_ready(started.record, after(host, kBootMax)));
  co_return started;
}

Task<bool> is_alive(SuiteHost& host, env::ProcessId process) {
  const auto child = co_await host.env().process.adopt(process);
  co_return child.has_value();
}

Task<Result<void>> kill_from_outside(SuiteHost& host, env::ProcessId process) {
  BLX_CO_TRY(const std::unique_ptr<env::Child> child, co_await host.env().process.adopt(process));
  co_return child->kill(env::Kill::kNow);
}

Task<Result<void>> wait_for_console(SuiteHost& host, Record record, std::string_view text) {
  const Instant deadline = after(host, kBootMax);
  while (host.env().clock.monotonic() < deadline) {
    BLX_CO_TRY(const std::string console, co_await host.driver().console(record, 65536));
    if (console.find(text) != std::string::npos) co_return Result<void>();
    BLX_CO_TRY(co_await host.env().clock.sleep(50ms));
  }
  co_return broken(__FILE__, __LINE__, "the console shows the text in time", std::string(text));
}

Task<Result<void>> release_all(SuiteHost& host, Record record) {
  BLX_CO_TRY(co_await host.driver().release(record));
  BLX_CO_TRY(co_await host.driver().release(record));
  if (record.process.pid != 0) BLX_EXPECT(!co_await is_alive(host, record.process));
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(std::ranges::find(left, record.id) == left.end());
  const auto files = co_await host.env().disk.list(record.directory);
  BLX_EXPECT(!files && files.error().code() == Code::kNotFound);
  BLX_CO_TRY(const auto groups, co_await host.env().process.groups());
  BLX_EXPECT(std::ranges::find(groups, record.group) == groups.end());
  co_return Result<void>();
}

Task<Result<Template>> make_template(SuiteHost& host, GuestSpec spec) {
  BLX_CO_TRY(std::string key, co_await host.driver().template_key(spec));
  BLX_CO_TRY(std::string folder, co_await host.empty_folder());
  BLX_CO_TRY(std::vector<std::string> names,
             co_await host.driver().make_template(spec, folder, after(host, kMakeMax)));
  co_return co_await measure_template(host.env().disk, std::move(key), std::move(folder),
                                      std::move(names));
}

GuestSpec clone_spec(SuiteHost& host, const Template& made) {
  GuestSpec spec = host.guest("");
  spec.clone_of = made;
  return spec;
}

Task<Result<Started>> clone_ready(SuiteHost& host, Template made) {
  BLX_CO_TRY(Started clone, co_await start_spec(host, clone_spec(host, made)));
  BLX_CO_TRY(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)));
  BLX_EXPECT(clone.record.template_key == made.key);
  co_return clone;
}

Task<Result<void>> remove_template(SuiteHost& host, Template made) {
  co_return co_await host.env().disk.remove_tree(made.directory);
}

}  // namespace blixard::vm::suite
