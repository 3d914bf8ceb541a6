#pragma once

// How many hypervisors stand by for clones of which template (vm::Driver::keep_standbys()): as many
// as were started in the last kWindow, and one for kIdle after the last start. All together at most
// so many as the node may have, fewer if the machine is short of memory; of several templates those
// come first that were used last. They are started when no VM is being started.

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::templates {

class Pool {
 public:
  static constexpr Duration kWindow = 10s;
  static constexpr Duration kIdle = 10min;
  // Of the machine's memory: that one needs, at most, and that is left to everybody else.
  static constexpr Bytes kStandbyMemory = mib(64);
  static constexpr Bytes kSpareMemory = mib(512);

  // `most`: 0: none stand by.
  Pool(env::Env env, vm::Driver& driver, std::size_t most);

  // A clone of spec.clone_of is being started.
  void started(vm::GuestSpec spec);
  // That template is there no more.
  void forget(const std::string& key);

  // Keeps them, until cancelled. They end with the driver.
  env::Task<void> run(std::function<bool()> is_starting);

  // That stand by, as of the last look.
  [[nodiscard]] std::size_t count() const;

 private:
  struct Kind {
    vm::GuestSpec spec;  // of the last start
    std::deque<Instant> starts;
    Instant last;
    Instant not_before;  // after a failure
    std::size_t kept = 0;
    bool is_gone = false;
  };

  env::Task<bool> wait_for_work();
  env::Task<void> keep_all();
  env::Task<Result<void>> keep(std::string key, std::size_t wanted);
  [[nodiscard]] std::size_t wanted(Kind& kind, std::size_t left) const;
  [[nodiscard]] std::size_t affordable() const;

  env::Env env_;
  vm::Driver& driver_;
  std::size_t most_;
  std::map<std::string, Kind> kinds_;  // by the template's key
  std::function<bool()> is_starting_;
  bool has_news_ = false;
  env::Signal changed_;
};

}  // namespace blixard::templates
