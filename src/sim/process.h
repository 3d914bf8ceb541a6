#pragma once

// Programs of a simulated machine other than the daemon: coroutines that play a program's part,
// such as a hypervisor that boots, answers on its monitor socket and crashes.
//
// They belong to the machine: they live on when the daemon crashes and end when power is lost.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "env/process.h"
#include "env/sync.h"
#include "sim/incarnation.h"

namespace blixard::sim {

struct ProcessRecord;

// What a program sees of itself. A small value: keep it by copy.
class ProcessContext {
 public:
  explicit ProcessContext(ProcessRecord& record) : record_(&record) {}

  [[nodiscard]] const env::SpawnSpec& spec() const;
  [[nodiscard]] env::ProcessId id() const;
  // Its sockets and files; the same machine as the daemon's.
  [[nodiscard]] env::Env env() const;
  void print(std::string_view text) const;  // to the output file
  void set_usage(env::Child::Usage usage) const;

  // The end, from this call on: nothing it does later has any effect. A program that returns
  // without it has exit code 0.
  void exit(int code) const;
  void die(int signal) const;

  // Waits for Kill::kTerminate. From the first call on the program decides itself what to do about
  // it; without a call it dies of it, as programs do.
  env::Task<Result<void>> terminate_requested() const;

 private:
  ProcessRecord* record_;
};

using Behaviour = std::function<env::Task<void>(ProcessContext)>;

class ExitWait;

struct Capture {
  std::string output;
  std::size_t size_max = 0;
};

struct ProcessRecord {
  ProcessRecord(Incarnation& own_run, env::SpawnSpec what, env::ProcessId number)
      : run(own_run), spec(std::move(what)), id(number), changed(own_run.executor()) {}

  Incarnation& run;  // of this process
  env::SpawnSpec spec;
  env::ProcessId id;
  const Incarnation* parent = nullptr;
  std::shared_ptr<const Behaviour> behaviour;
  std::optional<env::ExitStatus> ended;
  Capture* capture = nullptr;  // run(): gets the output instead of the file
  env::Child::Usage usage;
  bool handles_terminate = false;
  std::uint32_t terminates = 0;
  env::Signal changed;
  std::vector<ExitWait*> waiting;
};

class ProcessTable {
 public:
  explicit ProcessTable(Host& host) : host_(host) {}

  void install(std::string path, Behaviour behaviour);
  void boot();  // new numbers; no process, no group
  void power_off();

  Result<ProcessRecord*> start(Incarnation& parent, env::SpawnSpec spec, Capture* capture);
  void end(ProcessRecord& process, env::ExitStatus status, bool silent);
  [[nodiscard]] ProcessRecord* find(env::ProcessId id);  // null: no such process lives
  [[nodiscard]] std::vector<ProcessRecord*> members(std::string_view group);
  [[nodiscard]] std::size_t living_count() const { return living_.size(); }
  [[nodiscard]] bool has_program(const std::string& path) const { return programs_.contains(path); }

  struct Group {
    env::GroupLimits limits;
    bool was_killed = false;  // since it was made, and takes nobody any more
  };
  std::map<std::string, Group, std::less<>> groups;
  env::Process::GroupSupport group_support = env::Process::GroupSupport::kUnified;
  std::optional<Error> next_spawn_error;

 private:
  Host& host_;
  std::map<std::string, std::shared_ptr<const Behaviour>> programs_;
  std::int64_t next_pid_ = 0;
  std::vector<std::unique_ptr<ProcessRecord>> records_;  // of all that ever ran: frames point there
  std::map<std::int64_t, ProcessRecord*> living_;
};

}  // namespace blixard::sim
