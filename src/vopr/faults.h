#pragma once

// What goes wrong, by decision. A fault that lasts heals by itself after its time; heal() ends all
// of them at once. What a correct cluster cannot survive is not done: that is the atlas's rule
// (Operator::may_lose), and the step is noted as skipped.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "env/scope.h"
#include "vopr/cluster.h"
#include "vopr/intruder.h"
#include "vopr/operator.h"

namespace blixard::vopr {

class Faults {
 public:
  Faults(Cluster& cluster, Operator& owner);

  // What lasts and what takes time becomes a task of `scope`.
  void strike(const Step& step, env::Scope& scope);
  // No fault is left; every daemon that is a node runs again.
  void heal();

 private:
  struct Lasting {
    Action action = Action::kNone;
    std::uint32_t site = 0;
    std::function<void()> undo;
  };

  void on_machine(const Step& step, Site& site, env::Scope& scope);
  void on_clock(const Step& step, Site& site, env::Scope& scope);
  void on_link(const Step& step, Site& site, env::Scope& scope);
  void on_disk(const Step& step, Site& site, env::Scope& scope);
  void on_guest(const Step& step, Site& site, env::Scope& scope);

  // Notes the step; `undo` comes after its length.
  void lasts(const Step& step, const Site& site, env::Scope& scope, std::function<void()> undo);
  void done(const Step& step, const Site& site);
  void skip(const Step& step, const Site& site, const char* why);
  env::Task<void> end_later(std::uint64_t number, Duration length);
  void end(std::uint64_t number);
  void hold(Site& site, const Step& step, env::Scope& scope);
  env::Task<void> restart(const Step& step, Site& site);
  void cut_off(Site& site, bool hears);
  [[nodiscard]] Site* other_of(const Step& step, const Site& site);

  Cluster& cluster_;
  Operator& operator_;
  Intruder intruder_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Lasting> lasting_;
};

}  // namespace blixard::vopr
