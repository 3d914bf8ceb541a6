#pragma once

// Load on a cluster as an open loop: every operation has an instant at which it is to begin, set by
// the rate alone, and its latency is counted from there, also when the generator or the cluster was
// late. A closed loop would stop asking while the cluster stands still and so measure the
// standstill once; here everybody who would have asked meanwhile is counted (coordinated omission,
// as Gil Tene named it).

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/task.h"
#include "node/http/client_pool.h"
#include "test/perf/load/fleet.h"
#include "test/perf/report/latencies.h"

namespace blixard::load {

using perf::Latencies;

struct Target {
  env::Endpoint endpoint;
  std::string token;  // of the API; empty: none is sent
};

struct Plan {
  std::vector<Target> nodes;  // asked in turns
  std::size_t vms = 0;        // there before the load begins
  double rate = 0;            // operations a second
  Duration warm_up{};         // of load that is not counted
  Duration length{};          // of load that is
  Duration patience = 10s;    // for one answer
  Duration settle_max = 60s;  // for desired and observed to be the same
  std::string image;
  std::string prefix = "load-";
  Mix mix = kUsualMix;
};

struct Counted {
  Latencies latencies;  // of those that succeeded
  std::map<std::string, std::uint64_t> errors;
  std::uint64_t failed = 0;
};

// One second of the load, by intended instants.
struct Second {
  std::uint64_t intended = 0;
  Counted counted;
};

struct Outcome {
  double seconds = 0;  // from the first intended instant to the last answer
  std::uint64_t intended = 0;
  std::array<Counted, kOperations> operations;
  std::vector<std::unique_ptr<Second>> over_time;
};

// What is in the cluster beside what was acknowledged.
struct Verdict {
  std::size_t expected = 0;
  std::size_t found = 0;      // of ours, without the uncertain ones
  std::size_t missing = 0;    // acknowledged, and not there
  std::size_t unasked = 0;    // there, and deleted or never acknowledged
  std::size_t differing = 0;  // what is desired is not what was acknowledged
  std::size_t unsettled = 0;  // what is observed is not what is desired
  std::size_t uncertain = 0;  // requests about them ended without an answer
  double seconds = 0;         // until it was so
  [[nodiscard]] bool good() const { return missing + unasked + differing + unsettled == 0; }
};

class Generator {
 public:
  Generator(env::Env env, Plan plan);

  // Until there are plan.vms VMs and each is as it is wanted. Errors: of the requests;
  // kFailedPrecondition "not_settled".
  env::Task<Result<void>> prepare();
  env::Task<Outcome> run();
  // Asks until all is as acknowledged, or settle_max has passed. Errors: of the requests.
  env::Task<Result<Verdict>> verify();

  [[nodiscard]] const http::ClientPool::Counters& connections() const { return pool_.counters(); }

 private:
  struct Seen {
    std::string desired;
    std::string state;
  };

  http::ClientRequest request_for(const Choice& choice, const Target& target);
  env::Task<Result<http::Answer>> ask(const Choice& choice, std::size_t node, Instant deadline);
  env::Task<void> operate(Instant intended, std::size_t number, Outcome* outcome, Second* second);
  env::Task<void> create_one(Choice choice, std::size_t node);
  env::Task<Result<std::map<std::string, Seen>>> list_all();
  [[nodiscard]] Verdict judge(const std::map<std::string, Seen>& seen) const;

  env::Env env_;
  Plan plan_;
  http::ClientPool pool_;
  std::unique_ptr<env::Random> random_;
  Fleet fleet_;
  std::size_t under_way_ = 0;
  std::size_t failed_creates_ = 0;
  env::Signal ended_;
};

}  // namespace blixard::load
