// Secure streams in virtual time. Instead of encrypting, both ends exchange their certificates over
// a simulated connection, message by message as TLS 1.3 does, so a handshake takes what the links
// make of it and fails where TLS would:
//
//   dialler    "hello"
//   acceptor   "certificates": its own and its authority's
//   dialler    checks them; "certificate" with its own or none, or "refused"
//   acceptor   checks it; "welcome" or "refused"

#include <array>

#include "base/limits.h"
#include "env/handshakes.h"
#include "env/sync.h"
#include "sim/certificate.h"
#include "sim/fabric.h"
#include "sim/host.h"
#include "sim/incarnation.h"

namespace blixard::sim {
namespace {

using Accepted = std::unique_ptr<env::Stream>;

constexpr std::size_t kMessageBytes = 2 * limits::kCredentialBytes;
constexpr std::string_view kRefused = "refused ";
constexpr std::string_view kHello = "hello";
constexpr std::string_view kWelcome = "welcome";

class SecureStream final : public env::Stream {
 public:
  SecureStream(Accepted plain, const env::CertificateFacts* peer)
      : plain_(std::move(plain)), peer_(plain_->peer()) {
    if (peer == nullptr) return;
    peer_.node = peer->subject.node;
    peer_.cluster = peer->subject.cluster;
    peer_.server = peer->subject.server;
  }

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    return plain_->read_some(buffer);
  }
  env::Task<Result<void>> write(std::span<const std::string_view> parts) override {
    const observe::AllocationTag tag(observe::Subsystem::kSimulator);
    return plain_->write(parts);
  }
  void close() override { plain_->close(); }
  const env::PeerIdentity& peer() const override { return peer_; }

 private:
  Accepted plain_;
  env::PeerIdentity peer_;
};

std::unexpected<Error> no_handshake() {
  return fail(Code::kUnavailable, "handshake_failed", "the other end does not speak our protocol");
}

std::unexpected<Error> refused(std::string detail) {
  return fail(Code::kPermissionDenied, "certificate_refused", std::move(detail));
}

// What a message is, its first part included: two bytes of length, then the text.
env::Task<Result<void>> send(env::Stream& stream, std::string text) {
  BLX_ASSERT(text.size() <= kMessageBytes);
  const std::array<char, 2> size{static_cast<char>(text.size() >> 8),
                                 static_cast<char>(text.size() & 0xff)};
  const std::array<std::string_view, 2> parts{std::string_view(size.data(), 2), text};
  co_return co_await stream.write(parts);
}

env::Task<Result<void>> receive_exactly(env::Stream& stream, std::span<char> buffer) {
  while (!buffer.empty()) {
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
    if (count == 0) {
      co_return fail(Code::kUnavailable, "connection_lost", "it ended during the handshake");
    }
    buffer = buffer.subspan(count);
  }
  co_return Result<void>();
}

env::Task<Result<std::string>> receive(env::Stream& stream) {
  std::array<char, 2> head{};
  BLX_CO_TRY(co_await receive_exactly(stream, head));
  const std::size_t size = static_cast<std::size_t>(static_cast<unsigned char>(head[0])) << 8 |
                           static_cast<unsigned char>(head[1]);
  if (size > kMessageBytes) co_return no_handshake();
  std::string text(size, '\0');
  BLX_CO_TRY(co_await receive_exactly(stream, text));
  if (text.starts_with(kRefused)) {
    co_return refused("the other end refused our certificate: " + text.substr(kRefused.size()));
  }
  co_return text;
}

// Who may be at the other end.
struct Trust {
  std::string authority;          // its certificate; empty: by fingerprint
  std::string fingerprint;        // of the authority; believes servers only
  std::string offered_authority;  // what the other end sent, where fingerprint decides
  NodeId expected;                // none: any
};

Result<env::CertificateFacts> check_peer(const Trust& trust, std::string_view text, WallTime now) {
  const auto certificate = Certificate::parse(text);
  if (!certificate) return refused("it is damaged");
  const auto authority =
      Certificate::parse(trust.authority.empty() ? trust.offered_authority : trust.authority);
  const bool is_known =
      authority && !authority->node &&
      (!trust.authority.empty() || authority->facts().fingerprint == trust.fingerprint);
  if (!is_known || !certificate->signed_by(*authority)) return refused("unknown authority");
  if (!certificate->node) return refused("not a node's");
  if (certificate->cluster != authority->cluster) return refused("of another cluster");
  if (trust.authority.empty() && !certificate->server) {
    return refused("a worker's, which lets nobody in");
  }
  for (const Certificate& one : {*certificate, *authority}) {
    if (one.valid_at(now)) continue;
    return refused(now.unix_ms < one.not_before_s * 1000 ? "not valid yet" : "expired");
  }
  if (trust.expected && certificate->node != trust.expected) {
    return fail(Code::kPermissionDenied, "peer_identity_wrong",
                "node " + std::to_string(certificate->node.value) + " answers instead of node " +
                    std::to_string(trust.expected.value));
  }
  return certificate->facts();
}

env::Task<Result<Accepted>> shake_dialling(Incarnation& owner, Accepted plain, Trust trust,
                                           std::string own_certificate) {
  make_secure(*plain);
  BLX_CO_TRY(co_await send(*plain, std::string(kHello)));
  BLX_CO_TRY(const std::string theirs, co_await receive(*plain));
  const auto line = theirs.find('\n');
  if (line == std::string::npos) co_return no_handshake();
  trust.offered_authority = theirs.substr(line + 1);
  const auto peer = check_peer(trust, theirs.substr(0, line + 1), owner.host().wall());
  if (!peer) {
    const Error& error = peer.error();
    ignore(co_await send(*plain, std::string(kRefused) + "bad certificate"), "it failed anyway");
    co_return std::unexpected(Error(
        error.code(), error.reason().data(),
        plain->peer().address + ": we refused the certificate: " + std::string(error.detail())));
  }
  BLX_CO_TRY(co_await send(*plain, std::move(own_certificate)));
  BLX_CO_TRY(const std::string answer, co_await receive(*plain));
  if (answer != kWelcome) co_return no_handshake();
  co_return std::make_unique<SecureStream>(std::move(plain), &*peer);
}

env::Task<Result<Accepted>> shake_accepting(Incarnation& owner, Accepted plain,
                                            env::Credentials credentials) {
  make_secure(*plain);
  BLX_CO_TRY(const std::string hello, co_await receive(*plain));
  if (hello != kHello) co_return no_handshake();
  BLX_CO_TRY(co_await send(*plain, credentials.certificate + credentials.authority));
  BLX_CO_TRY(const std::string theirs, co_await receive(*plain));
  std::optional<env::CertificateFacts> peer;
  if (!theirs.empty()) {
    auto facts = check_peer({.authority = credentials.authority}, theirs, owner.host().wall());
    if (!facts) {
      ignore(co_await send(*plain, std::string(kRefused) + std::string(facts.error().detail())),
             "it failed anyway");
      co_return std::unexpected(facts.error());
    }
    peer = std::move(*facts);
  }
  BLX_CO_TRY(co_await send(*plain, std::string(kWelcome)));
  co_return std::make_unique<SecureStream>(std::move(plain), peer ? &*peer : nullptr);
}

env::Task<Result<Accepted>> dial_secure(Incarnation& owner, env::Endpoint endpoint, Trust trust,
                                        std::string own_certificate, Instant deadline) {
  const env::Env env = owner.env();
  BLX_CO_TRY(Accepted plain, co_await env.network.dial(std::move(endpoint), deadline));
  std::string address = plain->peer().address;
  const Instant last = std::min(deadline, env.clock.monotonic() + limits::kHandshakeTimeout);
  auto result = co_await env::with_deadline(
      env.executor, env.clock, last,
      shake_dialling(owner, std::move(plain), std::move(trust), std::move(own_certificate)));
  if (!result && result.error().code() == Code::kDeadlineExceeded) {
    co_return fail(Code::kDeadlineExceeded, "handshake_timed_out", std::move(address));
  }
  co_return std::move(result);
}

class SimTransport final : public env::SecureTransport {
 public:
  SimTransport(Incarnation& owner, const env::Credentials& credentials)
      : owner_(owner),
        credentials_(std::make_shared<env::Credentials>(credentials)),
        failures_(std::make_shared<env::HandshakeFailures>(owner.env().clock, owner.env().log)) {}

  Result<void> replace(const env::Credentials& credentials) override {
    BLX_TRY(check_credentials(credentials));
    *credentials_ = credentials;
    return {};
  }

  env::Task<Result<std::unique_ptr<env::Listener>>> listen(env::Endpoint endpoint) override {
    const env::Env env = owner_.env();
    BLX_CO_TRY(auto plain, co_await env.network.listen(std::move(endpoint)));
    auto handshake = [&owner = owner_, credentials = credentials_](Accepted stream) {
      return shake_accepting(owner, std::move(stream), *credentials);
    };
    co_return std::make_unique<env::HandshakeListener>(
        env.executor, env.clock, owner_.scope(), std::move(plain), std::move(handshake), failures_);
  }

  env::Task<Result<Accepted>> dial(env::Endpoint endpoint, NodeId expected,
                                   Instant deadline) override {
    return dial_secure(owner_, std::move(endpoint),
                       {.authority = credentials_->authority, .expected = expected},
                       credentials_->certificate, deadline);
  }

  std::uint64_t handshakes_failed() const override { return failures_->count(); }

 private:
  Incarnation& owner_;
  std::shared_ptr<env::Credentials> credentials_;  // listeners look at it for each handshake
  std::shared_ptr<env::HandshakeFailures> failures_;
};

class SimSecurity final : public env::Security {
 public:
  SimSecurity(Incarnation& owner, std::unique_ptr<env::Random> random)
      : owner_(owner), random_(std::move(random)) {}

  Result<env::Authority> make_authority(std::string_view cluster, WallTime now,
                                        Duration lifetime) override {
    return sim::make_authority(*random_, cluster, now, lifetime);
  }
  Result<env::KeyRequest> make_request() override { return sim::make_request(*random_); }
  Result<std::string> issue(const env::Authority& authority, std::string_view request,
                            const env::Subject& subject, WallTime now, Duration lifetime) override {
    return sim::issue(*random_, authority, request, subject, now, lifetime);
  }
  Result<env::CertificateFacts> inspect(std::string_view certificate) override {
    BLX_TRY(const Certificate parsed, Certificate::parse(certificate));
    return parsed.facts();
  }
  Result<std::unique_ptr<env::SecureTransport>> open(const env::Credentials& credentials) override {
    BLX_TRY(check_credentials(credentials));
    return std::make_unique<SimTransport>(owner_, credentials);
  }
  env::Task<Result<Accepted>> dial_to_enrol(env::Endpoint endpoint,
                                            std::string authority_fingerprint,
                                            Instant deadline) override {
    return dial_secure(owner_, std::move(endpoint),
                       {.fingerprint = std::move(authority_fingerprint)}, {}, deadline);
  }

 private:
  Incarnation& owner_;
  std::unique_ptr<env::Random> random_;
};

}  // namespace

std::unique_ptr<env::Security> make_security(Incarnation& owner, std::uint64_t seed) {
  return std::make_unique<SimSecurity>(owner, std::make_unique<SeededRandom>(seed));
}

}  // namespace blixard::sim
