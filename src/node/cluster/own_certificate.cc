#include "node/cluster/own_certificate.h"

#include <utility>

#include "env/failpoint.h"

namespace blixard::membership {
namespace {

constexpr Duration kLook = 10min;
constexpr Duration kRetryDelay = 1min;
constexpr Duration kDisagreedDelay = 1h;  // a new one was no better: somebody's clock is wrong

}  // namespace

bool OwnCertificate::is_due() const {
  const auto now = facts();
  if (!now) return true;
  const std::int64_t life = now->not_after.unix_ms - now->not_before.unix_ms;
  const WallTime wall = env_.clock.wall();
  if (now->not_after.unix_ms - wall.unix_ms <= life / 3) return true;
  const auto authority = env_.security.inspect(credentials_.authority);
  const bool lacks_mark = server_ && !now->subject.server;
  return (lacks_mark || wall < now->not_before) && authority && authority->not_before <= wall;
}

void OwnCertificate::tell(const Error& error) const {
  const auto now = facts();
  const WallTime wall = env_.clock.wall();
  if (!now || (now->not_before <= wall && wall < now->not_after)) {
    BLX_LOG(env_.log, kWarn, "this node's certificate is not renewed: {}", error.message());
    return;
  }
  // Nobody believes it, so nobody renews it.
  BLX_LOG(env_.log, kError,
          "this node's certificate {}, and the other nodes refuse it: {}. If this machine's clock "
          "is right, remove the node on another one with `blixard node remove`, and join it again "
          "with an empty --data directory",
          wall < now->not_before ? "is not valid yet" : "has expired", error.message());
}

env::Task<void> OwnCertificate::run() {
  while (true) {
    Duration pause = kLook;
    if (is_due() || env_.rare.happens(env::RareSite::kCertificateRenewedEarly)) {
      const auto renewed = co_await rotate();
      if (!renewed) {
        if (renewed.error().code() == Code::kCancelled) co_return;
        tell(renewed.error());
        pause = kRetryDelay;
      } else if (is_due()) {
        BLX_LOG(env_.log, kWarn,
                "this node's new certificate is out of its time already: this machine's clock and "
                "that of the server that issued it disagree");
        pause = kDisagreedDelay;
      }
    }
    if (!co_await env_.clock.sleep(pause)) co_return;
  }
}

env::Task<Result<env::CertificateFacts>> OwnCertificate::rotate() {
  if (std::exchange(is_rotating_, true)) {
    co_return fail(Code::kAborted, "rotation_in_progress");
  }
  auto made = co_await make_new();
  is_rotating_ = false;
  co_return made;
}

env::Task<Result<env::CertificateFacts>> OwnCertificate::make_new() {
  BLX_CO_FAILPOINT(env_, "certificate::renew", kUnavailable, "peer_unreachable");
  BLX_CO_TRY(const auto before, facts());
  BLX_CO_TRY(env::KeyRequest request, env_.security.make_request());
  BLX_CO_TRY(std::string certificate, co_await issue_(request.request));
  BLX_CO_TRY(const auto after, env_.security.inspect(certificate));
  if (after.subject.node != before.subject.node ||
      after.subject.cluster != before.subject.cluster || after.subject.server != server_) {
    co_return fail(Code::kInternal, "certificate_wrong", "it was issued for another node or role");
  }
  env::Credentials next{.certificate = std::move(certificate),
                        .key = std::move(request.key),
                        .authority = credentials_.authority};
  BLX_CO_TRY(co_await store_(next));
  BLX_CO_TRY(transport_.replace(next));
  credentials_ = std::move(next);
  BLX_LOG(env_.log, kInfo, "this node has a new certificate");
  co_return after;
}

}  // namespace blixard::membership
