#pragma once

// Who runs the cluster: forms it, lets machines join, removes and replaces nodes, upgrades daemons,
// moves the lead, decides about placement. What he asks for may fail at any step; of what changes
// the members he asks again until he knows.
//
// He keeps to the rules of operation: one change of the members at a time; nothing that a quorum
// cannot survive (may_lose()); a node is removed by force only while its machine is off; and a node
// whose disk is not to be trusted any more is replaced by a new one.

#include <cstdint>
#include <string>

#include "env/scope.h"
#include "vopr/bodies.h"
#include "vopr/clients.h"
#include "vopr/cluster.h"

namespace blixard::vopr {

class Operator {
 public:
  Operator(Cluster& cluster, Clients& clients);

  // The founding members, all voters, each with the image. False: it did not come to that.
  env::Task<bool> form();

  // Carries out a step, as a task of its own.
  env::Task<void> act(const Step& step);
  // Replaces what has to be replaced, until it is cancelled.
  env::Task<void> mend();
  [[nodiscard]] bool busy() const { return busy_; }
  // Whether the cluster survives the loss of this machine's disk.
  [[nodiscard]] bool may_lose(const Site& site) const;
  [[nodiscard]] bool has_voter(const Site& site) const;

 private:
  class Turn;

  // Until there is an answer that says what became of it; status 0: the end of the run.
  env::Task<rest::Reply> ask(http::Method method, std::string target, std::string body);
  env::Task<void> write_image(Site& site);
  env::Task<void> import_image(Site& site);
  env::Task<bool> take_in(Site& site);
  env::Task<void> join(Site& site);
  env::Task<void> remove(Site& site);
  env::Task<void> replace(Site& site);
  env::Task<void> upgrade(const Step& step, Site& site);
  env::Task<void> once(Site* site, Ask ask);
  [[nodiscard]] std::size_t voters() const;
  [[nodiscard]] std::size_t lost() const;

  Cluster& cluster_;
  Clients& clients_;
  bool busy_ = false;
};

}  // namespace blixard::vopr
