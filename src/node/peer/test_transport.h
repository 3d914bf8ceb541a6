#pragma once

// Secure streams as a test wants them: the plain network of the simulation, with identities that
// are simply said, and faults on the way.

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/env.h"
#include "env/security.h"
#include "env/sync.h"

namespace blixard::peer {

// What goes wrong on streams of one transport.
struct Faults {
  std::function<void(std::string&)> written;  // may change what is written
  bool reads_stall = false;                   // a program that does not read
  bool peers_are_servers = false;             // as their certificates say
};

class TestStream final : public env::Stream {
 public:
  TestStream(env::Env env, std::unique_ptr<env::Stream> plain, NodeId node, std::string cluster,
             Faults& faults)
      : env_(env), plain_(std::move(plain)), faults_(faults), peer_(plain_->peer()) {
    peer_.node = node;
    peer_.cluster = std::move(cluster);
    peer_.server = faults.peers_are_servers;
  }

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override {
    while (faults_.reads_stall && !closed_)
      BLX_CO_TRY(co_await env_.clock.sleep(10ms));
    co_return co_await plain_->read_some(buffer);
  }
  env::Task<Result<void>> write(std::span<const std::string_view> parts) override {
    if (!faults_.written) co_return co_await plain_->write(parts);
    std::string all;
    for (const std::string_view part : parts)
      all += part;
    faults_.written(all);
    co_return co_await plain_->write_all(all);
  }
  void close() override {
    closed_ = true;
    plain_->close();
  }
  [[nodiscard]] const env::PeerIdentity& peer() const override { return peer_; }

 private:
  env::Env env_;
  std::unique_ptr<env::Stream> plain_;
  Faults& faults_;
  env::PeerIdentity peer_;
  bool closed_ = false;
};

inline constexpr std::size_t kSaidBytes = 32;

inline env::Task<Result<env::PeerIdentity>> exchange_identities(env::Stream& stream, NodeId self,
                                                                std::string cluster) {
  std::string said = std::to_string(self.value) + " " + cluster;
  said.resize(kSaidBytes);
  BLX_CO_TRY(co_await stream.write_all(said));
  std::array<char, kSaidBytes> heard{};
  for (std::size_t at = 0; at < heard.size();) {
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(std::span(heard).subspan(at)));
    if (count == 0) co_return fail(Code::kUnavailable, "closed");
    at += count;
  }
  const std::string text(heard.data());
  const std::size_t space = text.find(' ');
  env::PeerIdentity peer;
  peer.node = NodeId(std::stoull(text.substr(0, space)));
  peer.cluster = text.substr(space + 1);
  co_return peer;
}

class TestListener final : public env::Listener {
 public:
  TestListener(env::Env env, std::unique_ptr<env::Listener> plain, NodeId self, std::string cluster,
               Faults& faults)
      : env_(env),
        plain_(std::move(plain)),
        self_(self),
        cluster_(std::move(cluster)),
        faults_(faults) {}

  env::Task<Result<std::unique_ptr<env::Stream>>> accept() override {
    while (true) {
      BLX_CO_TRY(auto stream, co_await plain_->accept());
      auto peer =
          co_await env::with_deadline(env_.executor, env_.clock, env_.clock.monotonic() + 1s,
                                      exchange_identities(*stream, self_, cluster_));
      if (!peer) continue;
      co_return std::make_unique<TestStream>(env_, std::move(stream), peer->node, peer->cluster,
                                             faults_);
    }
  }
  [[nodiscard]] env::Endpoint local() const override { return plain_->local(); }
  void close() override { plain_->close(); }

 private:
  env::Env env_;
  std::unique_ptr<env::Listener> plain_;
  NodeId self_;
  std::string cluster_;
  Faults& faults_;
};

// `self` none: a node without a certificate.
class TestTransport final : public env::SecureTransport {
 public:
  TestTransport(env::Env env, NodeId self, std::string cluster, Faults& faults)
      : env_(env), self_(self), cluster_(std::move(cluster)), faults_(faults) {}

  Result<void> replace(const env::Credentials&) override { return {}; }
  env::Task<Result<std::unique_ptr<env::Listener>>> listen(env::Endpoint endpoint) override {
    BLX_CO_TRY(auto plain, co_await env_.network.listen(std::move(endpoint)));
    co_return std::make_unique<TestListener>(env_, std::move(plain), self_, cluster_, faults_);
  }
  env::Task<Result<std::unique_ptr<env::Stream>>> dial(env::Endpoint endpoint, NodeId expected,
                                                       Instant deadline) override {
    BLX_CO_TRY(auto plain, co_await env_.network.dial(std::move(endpoint), deadline));
    BLX_CO_TRY(const env::PeerIdentity peer,
               co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                           exchange_identities(*plain, self_, cluster_)));
    if (expected && peer.node != expected) {
      co_return fail(Code::kPermissionDenied, "peer_identity_wrong");
    }
    co_return std::make_unique<TestStream>(env_, std::move(plain), peer.node, peer.cluster,
                                           faults_);
  }
  [[nodiscard]] std::uint64_t handshakes_failed() const override { return 0; }

 private:
  env::Env env_;
  NodeId self_;
  std::string cluster_;
  Faults& faults_;
};

}  // namespace blixard::peer
