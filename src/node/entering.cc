#include "node/entering.h"

#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::node {
namespace {

namespace json = boost::json;

constexpr std::size_t kPendingBytes = 4 * limits::kCredentialBytes;

// A join that began: with which token, and under which key.
struct Pending {
  std::string token_id;  // empty: a bootstrap
  env::KeyRequest key;
};

std::string encode(const Pending& pending) {
  return json::serialize(json::object{
      {"token", pending.token_id}, {"key", pending.key.key}, {"request", pending.key.request}});
}

// A pending.json that cannot be read was not durable: nothing came after it.
Pending decode(const std::string& content) {
  boost::system::error_code error;
  const auto value = json::parse(content, error);
  const auto* object = error ? nullptr : value.if_object();
  Pending pending;
  if (object == nullptr) return pending;
  const auto text = [&](const char* name, std::string& into) {
    const auto* member = object->if_contains(name);
    if (member != nullptr && member->is_string()) into = member->get_string();
  };
  text("token", pending.token_id);
  text("key", pending.key.key);
  text("request", pending.key.request);
  return pending;
}

class Entering {
 public:
  Entering(env::Env env, std::string directory, Entry entry, EntryParts parts)
      : env_(env),
        directory_(std::move(directory)),
        entry_(std::move(entry)),
        parts_(std::move(parts)) {}

  env::Task<Result<Identity>> enter() {
    BLX_CO_TRY(auto identity, co_await load_identity(env_, directory_));
    if (identity) {
      BLX_CO_TRY(co_await check_join(*identity));
      BLX_CO_TRY(co_await remove_pending());
      co_return std::move(*identity);
    }
    if (entry_.bootstrap && !entry_.join.empty()) {
      co_return fail(Code::kInvalidArgument, "choose_one",
                     "--bootstrap begins a new cluster, --join enters one: give one of them");
    }
    if (!entry_.bootstrap && entry_.join.empty()) {
      co_return fail(Code::kFailedPrecondition, "no_cluster",
                     fmt::format("{} belongs to no cluster yet. "
                                 "To begin a new one, start with --bootstrap. "
                                 "To join one, make a token on a server with `blixard token "
                                 "create` and start with --join TOKEN@HOST:PORT",
                                 directory_));
    }
    BLX_CO_TRY(entry_.name, node_name(env_, entry_.name));
    BLX_CO_TRY(co_await make_directory());
    BLX_CO_TRY(pending_, co_await load_pending());
    BLX_CO_TRY(co_await check_nothing_is_lost());
    if (entry_.bootstrap) co_return co_await bootstrap();
    co_return co_await join();
  }

 private:
  [[nodiscard]] std::string path(const char* name) const {
    return env::join_path(directory_, name);
  }

  // With a name that a loss of power does not take: what is in it may be an identity that the
  // cluster gave out.
  env::Task<Result<void>> make_directory() {
    BLX_CO_TRY(co_await env_.disk.make_directory(directory_));
    for (std::string at = directory_; at.size() > 1;) {
      at = std::string(env::parent_path(at));
      if (at.empty()) at = "/";
      const auto synced = co_await env_.disk.sync_directory(at);
      // Above what may be opened nothing was made by us.
      if (!synced && synced.error().code() != Code::kPermissionDenied) co_return synced;
    }
    co_return Result<void>();
  }

  // A member already: a token of its own cluster is as good as none, another's is a mistake.
  env::Task<Result<void>> check_join(const Identity& identity) {
    if (entry_.join.empty()) {
      if (entry_.bootstrap) note(identity, "--bootstrap");
      co_return Result<void>();
    }
    BLX_CO_TRY(const auto target, membership::JoinTarget::parse(entry_.join));
    BLX_CO_TRY(const std::string authority,
               co_await env_.disk.read_file(path("authority.crt"), limits::kCredentialBytes));
    BLX_CO_TRY(const auto facts, env_.security.inspect(authority));
    if (facts.fingerprint != target.token.authority) {
      co_return fail(Code::kFailedPrecondition, "other_cluster",
                     fmt::format("{} belongs to cluster {}, and the token to another; "
                                 "give this node an empty --data directory, or leave --join out",
                                 directory_, identity.cluster.text()));
    }
    note(identity, "--join");
    co_return Result<void>();
  }

  void note(const Identity& identity, const char* option) {
    BLX_LOG(env_.log, kInfo, "this directory is node {} of cluster {} already; {} is ignored",
            identity.id.value, identity.cluster.text(), option);
  }

  env::Task<Result<std::optional<Pending>>> load_pending() {
    const auto content = co_await env_.disk.read_file(path("pending.json"), kPendingBytes);
    if (content) co_return std::optional(decode(*content));
    if (content.error().code() == Code::kNotFound) co_return std::optional<Pending>();
    co_return std::unexpected(content.error());
  }

  env::Task<Result<void>> remove_pending() {
    const auto removed = co_await env_.disk.remove(path("pending.json"));
    if (!removed && removed.error().code() != Code::kNotFound) co_return removed;
    co_return Result<void>();
  }

  // A log that no entry of ours left is somebody's who lost node.json.
  env::Task<Result<void>> check_nothing_is_lost() {
    if (pending_) co_return Result<void>();
    const auto log = co_await env_.disk.list(path("log"));
    if (!log && log.error().code() == Code::kNotFound) co_return Result<void>();
    BLX_CO_TRY(log);
    co_return fail(Code::kFailedPrecondition, "directory_unclear",
                   fmt::format("{} has a log and no node.json; "
                               "restore node.json from a backup, or start with an empty directory",
                               directory_));
  }

  env::Task<Result<void>> write_pending(Pending pending) {
    pending_ = pending;
    co_return co_await replace_secret(env_, path("pending.json"), encode(pending));
  }

  env::Task<Result<Identity>> finish(Identity identity) {
    BLX_CO_TRY(co_await store_identity(env_, directory_, identity));
    BLX_CO_TRY(co_await remove_pending());
    co_return identity;
  }

  env::Task<Result<Identity>> bootstrap() {
    const Uuid cluster = env_.random.uuid();
    BLX_CO_TRY(const cluster::State state,
               cluster::State::found(
                   {.cluster = cluster, .name = entry_.name, .peer_address = entry_.peer_address}));
    BLX_CO_TRY(co_await write_pending({}));
    const NodeId self(1);
    const WallTime now = env_.clock.wall();
    Keys keys;
    BLX_CO_TRY(keys.authority,
               env_.security.make_authority(cluster.text(), now, membership::kAuthorityLifetime));
    BLX_CO_TRY(env::KeyRequest own, env_.security.make_request());
    BLX_CO_TRY(keys.credentials.certificate,
               env_.security.issue(*keys.authority, own.request,
                                   {.cluster = cluster.text(), .node = self, .server = true}, now,
                                   membership::kNodeLifetime));
    keys.credentials.key = std::move(own.key);
    keys.credentials.authority = keys.authority->certificate;
    BLX_CO_TRY(co_await store_keys(env_, directory_, std::move(keys)));
    BLX_CO_TRY(co_await env_.disk.remove_tree(path("log")));
    BLX_CO_TRY(co_await parts_.begin_log(state));
    BLX_LOG(env_.log, kInfo, "a new cluster: {}", cluster.text());
    co_return co_await finish({.cluster = cluster,
                               .id = self,
                               .name = entry_.name,
                               .role = cluster::NodeRole::kServer,
                               .members = {}});
  }

  env::Task<Result<Identity>> join() {
    BLX_CO_TRY(const auto target, membership::JoinTarget::parse(entry_.join));
    const std::string token_id = fmt::format("{:016x}", target.token.id.value);
    if (!pending_ || pending_->token_id != token_id || pending_->key.request.empty()) {
      BLX_CO_TRY(env::KeyRequest key, env_.security.make_request());
      BLX_CO_TRY(co_await write_pending({.token_id = token_id, .key = std::move(key)}));
    }
    BLX_CO_TRY(const membership::Enrolment enrolment,
               co_await parts_.enrol(target, {.name = entry_.name,
                                              .peer_address = entry_.peer_address,
                                              .key = pending_->key}));
    Keys keys{.credentials = {.certificate = enrolment.certificate,
                              .key = pending_->key.key,
                              .authority = enrolment.authority_certificate},
              .authority = std::nullopt};
    if (!enrolment.authority_key.empty()) {
      keys.authority = env::Authority{.certificate = enrolment.authority_certificate,
                                      .key = enrolment.authority_key};
    }
    BLX_CO_TRY(co_await store_keys(env_, directory_, std::move(keys)));
    BLX_CO_TRY(co_await env_.disk.remove_tree(path("log")));
    BLX_LOG(env_.log, kInfo, "joined cluster {} as node {}", enrolment.cluster.text(),
            enrolment.id.value);
    co_return co_await finish({.cluster = enrolment.cluster,
                               .id = enrolment.id,
                               .name = enrolment.name,
                               .role = enrolment.role,
                               .members = enrolment.members});
  }

  env::Env env_;
  std::string directory_;
  Entry entry_;
  EntryParts parts_;
  std::optional<Pending> pending_;
};

}  // namespace

env::Task<Result<Identity>> enter_cluster(env::Env env, std::string directory, Entry entry,
                                          EntryParts parts) {
  Entering entering(env, std::move(directory), std::move(entry), std::move(parts));
  co_return co_await entering.enter();
}

}  // namespace blixard::node
