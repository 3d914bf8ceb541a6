#pragma once

// A node's connections with a watch between them and the replica, and with weather: messages of
// consensus may be lost, doubled or delayed behind later ones, which TCP alone does to them only
// when a connection ends. Snapshots and requests go through as they are.

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "env/scope.h"
#include "node/peer/peers.h"
#include "sim/random.h"

namespace blixard::vopr {

// Of all nodes together.
struct Weather {
  std::uint32_t lost_percent = 0;
  std::uint32_t doubled_percent = 0;
  std::uint32_t delayed_percent = 0;
  Duration delay_max{};
};

class WatchedPeers final : public peer::Peers {
 public:
  using OnSent = std::function<void(const raft::Message&)>;

  WatchedPeers(env::Env env, std::unique_ptr<peer::Peers> peers, OnSent on_sent,
               const Weather& weather)
      : env_(env),
        peers_(std::move(peers)),
        on_sent_(std::move(on_sent)),
        weather_(weather),
        random_(env.random.fork("weather")),
        delayed_(env.executor, nullptr) {}

  void set_handler(peer::Handler* handler) override { peers_->set_handler(handler); }
  env::Task<Result<void>> serve(std::unique_ptr<env::Listener> listener) override {
    return peers_->serve(std::move(listener));
  }
  void set_peer(NodeId node, env::Endpoint address) override {
    peers_->set_peer(node, std::move(address));
  }
  void remove_peer(NodeId node) override { peers_->remove_peer(node); }
  [[nodiscard]] std::vector<peer::PeerStatus> status() const override { return peers_->status(); }
  [[nodiscard]] peer::Counters counters() const override { return peers_->counters(); }

  void send(std::vector<raft::Message> messages) override {
    std::vector<raft::Message> now;
    now.reserve(messages.size());
    for (raft::Message& message : messages) {
      on_sent_(message);
      if (hits(weather_.lost_percent)) continue;
      if (hits(weather_.doubled_percent)) now.push_back(message);
      if (!stopped_ && hits(weather_.delayed_percent)) {
        delayed_.spawn(send_later(std::move(message)));
      } else {
        now.push_back(std::move(message));
      }
    }
    if (!now.empty()) peers_->send(std::move(now));
  }
  env::Task<Result<std::string>> request(NodeId to, peer::RequestKind kind, std::string body,
                                         Instant deadline) override {
    return peers_->request(to, kind, std::move(body), deadline);
  }
  env::Task<Result<void>> send_snapshot(raft::Message message,
                                        std::unique_ptr<peer::SnapshotSource> source) override {
    on_sent_(message);
    return peers_->send_snapshot(std::move(message), std::move(source));
  }
  env::Task<void> stop() override {
    stopped_ = true;
    delayed_.cancel();
    co_await delayed_.join();
    co_await peers_->stop();
  }

 private:
  bool hits(std::uint32_t percent) { return percent != 0 && random_->below(100) < percent; }
  env::Task<void> send_later(raft::Message message) {
    const auto most = static_cast<std::uint64_t>(weather_.delay_max.count());
    const Duration delay(static_cast<std::int64_t>(random_->below(most + 1)));
    if (!co_await env_.clock.sleep(delay) || stopped_) co_return;
    std::vector<raft::Message> one;
    one.push_back(std::move(message));
    peers_->send(std::move(one));
  }

  env::Env env_;
  std::unique_ptr<peer::Peers> peers_;
  OnSent on_sent_;
  const Weather& weather_;
  std::unique_ptr<env::Random> random_;
  env::Scope delayed_;
  bool stopped_ = false;
};

}  // namespace blixard::vopr
