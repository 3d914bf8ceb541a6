#pragma once

// One running node: puts the parts together, in order, and takes them apart in reverse.
//
// It is given an Env and a hypervisor driver and reaches nothing else, so the same object runs as
// the daemon on Linux and, many at a time, in simulation.
//
// The data directory:
//   node.json      who this node is, in which cluster, and the layout's format
//   node.key, node.crt, authority.crt   what it proves itself with, and whom it believes
//   authority.key  of a server: what it issues certificates with
//   pending.json   an entry into a cluster that is not finished
//   renewal.json   a certificate's renewal that is not finished
//   lock           held while a daemon uses the directory
//   api.sock       the API for local users; api.token the bearer token for TCP
//   log/           the replicated log and snapshots
//   images/        imported images
//   vms/           sockets and consoles of guests (the driver's; pretended-vms/ of pretended ones)
//   records/       which process belongs to which VM (the agent's)

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/cluster/model.h"
#include "env/env.h"
#include "env/scope.h"
#include "env/settings.h"
#include "env/sync.h"
#include "node/agent/agent.h"
#include "node/api/api.h"
#include "node/cluster/enrolment.h"
#include "node/cluster/own_certificate.h"
#include "node/cluster/steward.h"
#include "node/entering.h"
#include "node/http/server.h"
#include "node/identity.h"
#include "node/image/store.h"
#include "node/peer/peers.h"
#include "node/placement/drainer.h"
#include "node/placement/placer.h"
#include "node/placement/upkeep.h"
#include "node/replica/replica.h"
#include "node/saved/store.h"
#include "node/telemetry/telemetry.h"
#include "node/template/store.h"
#include "node/tracing.h"
#include "node/vm/driver.h"
#include "observe/metrics.h"

namespace blixard::node {

// What a node offers to guests.
struct Capacity {
  std::uint32_t vcpus = 0;
  std::uint32_t memory_mib = 0;
};

// What placement is told of a node beside that.
struct Offer {
  std::optional<std::int64_t> disk_mib;  // none: the size of the disk that holds the data directory
  std::int64_t network_mbit = 0;
  std::vector<resources::Counter> counters;
  std::vector<resources::DeviceGroup> devices;
  std::vector<cluster::Label> labels;
  cluster::Topology topology;
  std::int64_t cost_per_hour_micro = 0;
};

// Of requests that come without a trace of their own.
inline constexpr double kTraceSampleRatio = 0.01;

struct Config {
  std::string data_directory;
  std::string name;                     // empty: the host's
  std::optional<env::Endpoint> listen;  // TCP; none: unix socket only
  bool bootstrap = false;               // begin a cluster, where the directory belongs to none
  std::string join;                     // TOKEN@HOST:PORT; or join one
  env::Endpoint peer_listen = env::Endpoint::tcp("127.0.0.1", 7481);
  std::string advertise;  // where the other nodes reach it; empty: peer_listen
  std::string version;
  bool allow_failpoints = false;  // to be armed over the API
  // The newest that it says to know; an older one makes it a program of before, in a simulation.
  std::uint32_t model_version = cluster::kModelVersion;
  std::optional<Capacity> capacity;  // none: as the machine has it
  Offer offer{};
  Bytes templates;           // of disk for them; 0: every guest boots
  std::size_t standbys = 0;  // hypervisors that wait for clones, at most
  replica::Options replica{};
  double trace_sample_ratio = kTraceSampleRatio;  // without settings
  // What may change while it runs, and who reads it anew for the API; they outlive the node. None:
  // the defaults, and nothing to read.
  const env::SettingsView* settings = nullptr;
  api::Configuration* configuration = nullptr;
  // What stands between this node and its connections: a judge of whole clusters. None: nothing.
  std::function<std::unique_ptr<peer::Peers>(NodeId self, std::unique_ptr<peer::Peers>)>
      watch_peers;
};

// Told once everything answers.
struct Ready {
  NodeId id;
  std::string name;
  std::string socket;
  std::optional<env::Endpoint> listen;  // as it is, with the port that was chosen
  env::Endpoint peer_listen;
};

enum class StopGuests : std::uint8_t { kNo, kYes };

class Node final : private replica::RequestHandler {
 public:
  Node(env::Env env, Config config, vm::Driver& driver);
  ~Node() override;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Serves until stop(), or until it is cancelled or cannot go on. Errors: those of opening
  // ("directory_in_use", "no_cluster", "data_too_new", "log_corrupt", "address_in_use", ...);
  // kUnavailable "log_failed" when the disk fails under it; kFailedPrecondition "removed" when the
  // cluster removed this node.
  env::Task<Result<void>> run(std::function<void(const Ready&)> on_ready);

  // Guests run on, for the next daemon to adopt, unless told otherwise.
  void stop(StopGuests guests);

  // For judges. Null: it is not open.
  [[nodiscard]] const replica::Replica* replica() const { return replica_.get(); }

 private:
  env::Task<Result<void>> open();
  env::Task<Result<void>> enter();
  env::Task<Result<void>> open_cluster();
  Result<void> open_services(std::string token);
  env::Task<void> stop_replica();
  agent::AskHolder ask_holder();
  env::Task<Result<std::string>> on_request(NodeId from, peer::RequestKind kind,
                                            Payload body) override;
  // A request about this node itself, to whichever server answers.
  env::Task<Result<std::string>> ask_a_server(std::string body);
  env::Task<Result<std::string>> certificate_for(std::string request);
  env::Task<Result<void>> introduce();
  env::Task<Result<void>> tell_address();
  env::Task<Result<void>> wait_until_known(Instant deadline);
  env::Task<Result<void>> serve(std::function<void(const Ready&)> on_ready);
  [[nodiscard]] std::vector<Name> images_here() const;
  env::Task<Result<void>> register_node();
  [[nodiscard]] env::Task<Result<cluster::Node>> own_facts();
  env::Task<void> keep_introduced();
  env::Task<void> guard(env::Task<Result<void>> part);
  env::Task<void> run_agent();
  void fail_node(Error error);

  env::Env env_;
  Config config_;
  vm::Driver& driver_;
  std::unique_ptr<env::DirectoryLock> lock_;
  Identity identity_;
  Keys keys_;
  std::string advertise_;
  std::unique_ptr<env::SecureTransport> transport_;
  std::unique_ptr<peer::Peers> peers_;
  vm::Capabilities capabilities_;
  observe::Metrics metrics_;
  telemetry::Telemetry telemetry_{metrics_};
  std::unique_ptr<Tracing> tracing_;
  std::unique_ptr<replica::Replica> replica_;
  std::unique_ptr<membership::Enroller> enroller_;
  std::unique_ptr<membership::OwnCertificate> certificate_;
  std::unique_ptr<image::Store> images_;
  std::unique_ptr<templates::Store> templates_;
  std::unique_ptr<saved::Store> saved_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<api::Api> api_;
  env::Cancellation* entering_ = nullptr;  // while it enters a cluster
  bool replica_stopped_ = false;
  bool introduced_ = false;  // the cluster has this node's address and facts as they are
  env::Signal changed_;
  std::optional<StopGuests> stopping_;
  std::optional<Error> failure_;
  bool agent_done_ = false;
};

}  // namespace blixard::node
