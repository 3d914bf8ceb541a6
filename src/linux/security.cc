#include "linux/security.h"

#include <algorithm>

#include "base/limits.h"
#include "env/handshakes.h"
#include "env/sync.h"
#include "linux/clock.h"
#include "linux/event_loop.h"
#include "linux/network.h"
#include "linux/security_certificates.h"
#include "linux/tls_context.h"
#include "linux/tls_stream.h"

namespace blixard::linux_side {
namespace {

using Secured = Result<std::unique_ptr<env::Stream>>;

std::unique_ptr<SocketStream> socket_of(std::unique_ptr<env::Stream> stream) {
  // network.h: every stream of it is one.
  return std::unique_ptr<SocketStream>(static_cast<SocketStream*>(stream.release()));
}

env::Task<Secured> dial_secure(Loop& loop, Clock& clock, Network& network, env::Endpoint endpoint,
                               std::shared_ptr<const TlsContext> context, TlsPeerCheck check,
                               Instant deadline) {
  BLX_CO_TRY(auto plain, co_await network.dial(std::move(endpoint), deadline));
  std::string address = plain->peer().address;
  const Instant last = std::min(deadline, clock.monotonic() + limits::kHandshakeTimeout);
  auto result =
      co_await env::with_deadline(loop, clock, last,
                                  shake_hands(socket_of(std::move(plain)), std::move(context),
                                              TlsRole::kDial, std::move(check)));
  if (!result && result.error().code() == Code::kDeadlineExceeded) {
    co_return fail(Code::kDeadlineExceeded, "handshake_timed_out", std::move(address));
  }
  co_return std::move(result);
}

class Transport final : public env::SecureTransport {
 public:
  Transport(Loop& loop, Clock& clock, Network& network, observe::LogSink& log,
            env::Scope& background, std::shared_ptr<const TlsContext> context)
      : loop_(loop),
        clock_(clock),
        network_(network),
        background_(background),
        context_(std::make_shared<Current>(std::move(context))),
        failures_(std::make_shared<env::HandshakeFailures>(clock, log)) {}

  Result<void> replace(const env::Credentials& credentials) override {
    BLX_TRY(*context_, TlsContext::make(credentials));
    return {};
  }

  env::Task<Result<std::unique_ptr<env::Listener>>> listen(env::Endpoint endpoint) override {
    BLX_CO_TRY(auto plain, co_await network_.listen(std::move(endpoint)));
    auto handshake = [context = context_](std::unique_ptr<env::Stream> stream) {
      return shake_hands(socket_of(std::move(stream)), *context, TlsRole::kAccept,
                         {.cluster = (*context)->cluster()});
    };
    co_return std::make_unique<env::HandshakeListener>(loop_, clock_, background_, std::move(plain),
                                                       std::move(handshake), failures_);
  }

  env::Task<Secured> dial(env::Endpoint endpoint, NodeId expected, Instant deadline) override {
    return dial_secure(loop_, clock_, network_, std::move(endpoint), *context_,
                       {.cluster = (*context_)->cluster(), .expected = expected}, deadline);
  }

  [[nodiscard]] std::uint64_t handshakes_failed() const override { return failures_->count(); }

 private:
  using Current = std::shared_ptr<const TlsContext>;

  Loop& loop_;
  Clock& clock_;
  Network& network_;
  env::Scope& background_;
  std::shared_ptr<Current> context_;  // listeners look at it for each handshake
  std::shared_ptr<env::HandshakeFailures> failures_;
};

}  // namespace

Result<env::Authority> Security::make_authority(std::string_view cluster, WallTime now,
                                                Duration lifetime) {
  return linux_side::make_authority(cluster, now, lifetime);
}

Result<env::KeyRequest> Security::make_request() { return linux_side::make_request(); }

Result<std::string> Security::issue(const env::Authority& authority, std::string_view request,
                                    const env::Subject& subject, WallTime now, Duration lifetime) {
  return linux_side::issue(authority, request, subject, now, lifetime);
}

Result<env::CertificateFacts> Security::inspect(std::string_view certificate) {
  BLX_TRY(const X509Ptr parsed, read_certificate(certificate));
  return facts_of(*parsed);
}

Result<std::unique_ptr<env::SecureTransport>> Security::open(const env::Credentials& credentials) {
  BLX_TRY(auto context, TlsContext::make(credentials));
  return std::make_unique<Transport>(loop_, clock_, network_, log_, background_,
                                     std::move(context));
}

env::Task<Secured> Security::dial_to_enrol(env::Endpoint endpoint,
                                           std::string authority_fingerprint, Instant deadline) {
  BLX_CO_TRY(auto context, TlsContext::make_without_credentials());
  co_return co_await dial_secure(loop_, clock_, network_, std::move(endpoint), std::move(context),
                                 {.pinned = std::move(authority_fingerprint)}, deadline);
}

}  // namespace blixard::linux_side
