#pragma once

// What goes wrong, by decision. A fault that lasts heals by itself after its time; heal() ends all
// of them at once. Faults overlap, and each ends alone: a link is cut as long as any fault cuts it,
// and where two set the same (the latency of a link, the speed of a disk), the newest that is
// still there counts. What a correct cluster cannot survive is not done: that is the atlas's rule
// (Operator::may_lose), and the step is noted as skipped.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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
  // Of what a fault does as long as it lasts.
  struct Change {
    std::string what;            // it sets; empty: nothing that others set too
    std::function<void()> make;  // again, when a newer one of the same is over
    std::function<void()> undo;
  };
  struct Lasting {
    Action action = Action::kNone;
    std::uint32_t site = 0;
    Change change;
  };
  using Direction = std::pair<std::uint32_t, std::uint32_t>;  // from one machine to another

  void on_machine(const Step& step, Site& site, env::Scope& scope);
  void on_clock(const Step& step, Site& site, env::Scope& scope);
  void on_link(const Step& step, Site& site, env::Scope& scope);
  void on_one_link(const Step& step, Site& site, Site& other, env::Scope& scope);
  void on_disk(const Step& step, Site& site, env::Scope& scope);
  void on_guest(const Step& step, Site& site, env::Scope& scope);
  void on_template(const Step& step, Site& site, env::Scope& scope);
  void damage_template(const Step& step, Site& site);
  void on_saved(const Step& step, Site& site, env::Scope& scope);
  void harm_saved(const Step& step, Site& site);
  static void set_wall(Site& site, Duration offset);

  // Notes the step; the change is undone after its length.
  void lasts(const Step& step, const Site& site, env::Scope& scope, Change change);
  // The same for what can be set again and again, with a beginning.
  void sets(const Step& step, const Site& site, env::Scope& scope, std::function<void()> make,
            std::function<void()> undo);
  void done(const Step& step, const Site& site);
  void skip(const Step& step, const Site& site, const char* why);
  env::Task<void> end_later(std::uint64_t number, Duration length);
  void end(std::uint64_t number);
  void hold(Site& site, const Step& step, env::Scope& scope);
  env::Task<void> restart(const Step& step, Site& site);
  [[nodiscard]] std::vector<Direction> cut_by(const Step& step, const Site& site,
                                              const Site* other) const;
  void cut(const Step& step, const Site& site, env::Scope& scope,
           const std::vector<Direction>& directions);
  void mend_cut(Direction direction);
  [[nodiscard]] sim::Machine& machine(std::uint32_t number);
  [[nodiscard]] Site* other_of(const Step& step, const Site& site);

  Cluster& cluster_;
  Operator& operator_;
  Intruder intruder_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Lasting> lasting_;  // in the order they began
  std::map<Direction, std::uint32_t> cuts_;   // how many faults cut it
};

}  // namespace blixard::vopr
