#pragma once

// env::Security with OpenSSL: certificates (security_certificates.h) and TLS streams over this
// side's sockets (tls_stream.h).

#include "env/scope.h"
#include "env/security.h"
#include "observe/log.h"

namespace blixard::linux_side {

class Clock;
class Loop;
class Network;

class Security final : public env::Security {
 public:
  // Handshakes of listeners run in `background`.
  Security(Loop& loop, Clock& clock, Network& network, observe::LogSink& log,
           env::Scope& background)
      : loop_(loop), clock_(clock), network_(network), log_(log), background_(background) {}

  Result<env::Authority> make_authority(std::string_view cluster, WallTime now,
                                        Duration lifetime) override;
  Result<env::KeyRequest> make_request() override;
  Result<std::string> issue(const env::Authority& authority, std::string_view request,
                            const env::Subject& subject, WallTime now, Duration lifetime) override;
  Result<env::CertificateFacts> inspect(std::string_view certificate) override;
  Result<std::unique_ptr<env::SecureTransport>> open(const env::Credentials& credentials) override;
  env::Task<Result<std::unique_ptr<env::Stream>>> dial_to_enrol(env::Endpoint endpoint,
                                                                std::string authority_fingerprint,
                                                                Instant deadline) override;

 private:
  Loop& loop_;
  Clock& clock_;
  Network& network_;
  observe::LogSink& log_;
  env::Scope& background_;
};

}  // namespace blixard::linux_side
