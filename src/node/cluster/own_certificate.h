#pragma once

// This node's certificate, kept young: renewed when a third of its life is left, in use without a
// restart and without touching the connections there are. Renewed too when its begin lies ahead:
// a clock that was far ahead made it, and whoever's clock is right refuses it until then.
// Certificates are backdated (env::kBackdated), so clocks that differ by hours are no cause. A
// clock from before the authority's begin is wrong itself, such as after a start without a battery:
// what it made would have expired for everybody, so it makes nothing. And a server's that has no
// server's mark, because it is older than the mark, is renewed at once: machines that join believe
// marked ones only.
//
// Time here is the wall clock, the only clock that certificates know. It may jump, so the rest of
// the life is looked at again and again and never slept through. A certificate that is durable and
// not yet in use is no harm; one in use that a crash forgets would be none either, but the store
// comes first all the same.

#include <functional>
#include <string>

#include "base/result.h"
#include "env/env.h"
#include "env/security.h"
#include "env/task.h"

namespace blixard::membership {

class OwnCertificate {
 public:
  // A certificate for a request, from whoever can issue it.
  using Issue = std::function<env::Task<Result<std::string>>(std::string request)>;
  // Makes key and certificate durable, both or neither.
  using Store = std::function<env::Task<Result<void>>(env::Credentials)>;

  // `server`: whether this node is one.
  OwnCertificate(env::Env env, env::SecureTransport& transport, env::Credentials credentials,
                 bool server, Issue issue, Store store)
      : env_(env),
        transport_(transport),
        credentials_(std::move(credentials)),
        server_(server),
        issue_(std::move(issue)),
        store_(std::move(store)) {}

  // Until it is cancelled.
  env::Task<void> run();

  // A new key and certificate, now. Errors: Security's, those of the two functions;
  // kInternal "certificate_wrong" (what was issued is not ours), kAborted "rotation_in_progress".
  env::Task<Result<env::CertificateFacts>> rotate();

  [[nodiscard]] Result<env::CertificateFacts> facts() const {
    return env_.security.inspect(credentials_.certificate);
  }

 private:
  [[nodiscard]] bool is_due() const;
  void tell(const Error& error) const;
  env::Task<Result<env::CertificateFacts>> make_new();

  env::Env env_;
  env::SecureTransport& transport_;
  env::Credentials credentials_;
  bool server_;
  Issue issue_;
  Store store_;
  bool is_rotating_ = false;
};

}  // namespace blixard::membership
