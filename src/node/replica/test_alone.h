#pragma once

// A replica without a cluster around it, for tests of what stands on one, and the commands that
// tests of replicas propose.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/state.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"

namespace blixard::replica {

inline std::string bytes_of(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

// `request` 0: without a request id.
inline v1::Command add_image(const std::string& name, std::uint64_t request = 0) {
  v1::Command command;
  if (request != 0) command.set_request_id(bytes_of(Uuid::from_random(request, 1)));
  auto& image = *command.mutable_add_image();
  image.set_name(name);
  auto& file = *image.add_files();
  file.set_name("vmlinux");
  file.set_bytes(4096);
  file.set_digest(std::string(32, 'd'));
  return command;
}

inline v1::Command remove_image(const std::string& name) {
  v1::Command command;
  command.mutable_remove_image()->set_name(name);
  return command;
}

// Peers of a node that has none.
class NoPeers : public peer::Peers {
 public:
  void set_handler(peer::Handler* /*handler*/) override {}
  env::Task<Result<void>> serve(std::unique_ptr<env::Listener> /*listener*/) override {
    co_return Result<void>();
  }
  void set_peer(NodeId /*node*/, env::Endpoint /*address*/) override {}
  void remove_peer(NodeId /*node*/) override {}
  [[nodiscard]] std::vector<peer::PeerStatus> status() const override { return {}; }
  [[nodiscard]] peer::Counters counters() const override { return {}; }
  void send(std::vector<raft::Message> /*messages*/) override {}
  env::Task<Result<std::string>> request(NodeId /*to*/, peer::RequestKind /*kind*/,
                                         std::string /*body*/, Instant /*deadline*/) override {
    co_return fail(Code::kUnavailable, "peer_unreachable");
  }
  env::Task<Result<void>> send_snapshot(raft::Message /*message*/,
                                        std::unique_ptr<peer::SnapshotSource> /*source*/) override {
    co_return fail(Code::kUnavailable, "peer_unreachable");
  }
  env::Task<void> stop() override {
    stopped_ = true;
    co_return;
  }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  bool stopped_ = false;
};

// The state of a cluster that `self` founded alone; not through tokens, so any id will do.
inline cluster::State lone_state(NodeId self) {
  cluster::State state;
  const auto done = state.apply_configuration(LogIndex(1), {.voters = {self}}, {}, nullptr);
  BLX_ASSERT(done.has_value());
  return state;
}

// A replica of one voter for tests of what stands on it. `peers` outlives it.
inline env::Task<Result<std::unique_ptr<Replica>>> open_alone(env::Env env, std::string directory,
                                                              NodeId self, Options options,
                                                              peer::Peers& peers) {
  const auto made = co_await bootstrap(env, directory, lone_state(self), options);
  if (!made && made.error().reason() != "log_not_empty") co_return std::unexpected(made.error());
  co_return co_await open_replica(env, std::move(directory), self, options, peers, nullptr);
}

}  // namespace blixard::replica
