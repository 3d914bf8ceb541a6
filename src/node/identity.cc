#include "node/identity.h"

#include <algorithm>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "base/limits.h"
#include "env/failpoint.h"

namespace blixard::node {
namespace {

namespace json = boost::json;

constexpr std::size_t kIdentityBytes = 64 * 1024;
constexpr std::size_t kApiTokenRandomBytes = 32;
constexpr std::size_t kApiTokenBytesMax = 512;
constexpr std::size_t kPairBytes = 3 * limits::kCredentialBytes;

// Host names may hold dots and capitals; ours are DNS labels.
std::string name_from_host(std::string_view host) {
  std::string name;
  for (const char c : host) {
    if (c == '.' || name.size() == limits::kNameLength) break;
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (is_upper) {
      name += static_cast<char>(c - 'A' + 'a');
    } else {
      name += is_plain ? c : '-';
    }
  }
  return name.empty() ? "node" : name;
}

// The members of a JSON object, each with the type that is asked for or none.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}

  [[nodiscard]] std::optional<std::string> text(std::string_view name) const {
    const auto* value = object_.if_contains(name);
    if (value == nullptr || !value->is_string()) return std::nullopt;
    return std::string(value->get_string());
  }
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const {
    const auto* value = object_.if_contains(name);
    if (value == nullptr || !value->is_int64() || value->get_int64() <= 0) return std::nullopt;
    return static_cast<std::uint64_t>(value->get_int64());
  }

 private:
  const json::object& object_;
};

std::optional<std::vector<membership::Member>> read_members(const json::object& object) {
  const auto* list = object.if_contains("members");
  if (list == nullptr || !list->is_array() || list->get_array().size() > limits::kNodes) return {};
  std::vector<membership::Member> members;
  for (const json::value& entry : list->get_array()) {
    if (!entry.is_object()) return {};
    const Reader reader(entry.get_object());
    const auto id = reader.number("id");
    const auto address = env::Endpoint::parse(reader.text("address").value_or(""));
    if (!id || !address) return {};
    members.push_back({.id = NodeId(*id), .address = *address});
  }
  return members;
}

Result<Identity> decode(const std::string& content, const std::string& path) {
  const auto damaged = [&](const char* what) {
    return fail(Code::kDataLoss, "identity_damaged",
                fmt::format("{} {}; restore it from a backup, or start with an empty directory",
                            path, what));
  };
  boost::system::error_code error;
  const auto value = json::parse(content, error);
  const auto* object = error ? nullptr : value.if_object();
  if (object == nullptr) return damaged("is not a JSON object");
  const Reader reader(*object);
  const auto format = reader.number("format");
  if (!format) return damaged("names no format");
  if (*format > kDataFormat) {
    return fail(Code::kFailedPrecondition, "data_too_new",
                fmt::format("{} was written by a newer blixard (format {}, this one knows {}); "
                            "run that version",
                            path, *format, kDataFormat));
  }
  if (*format < kDataFormat) {
    return fail(Code::kFailedPrecondition, "data_too_old",
                fmt::format("{} is of a single node, from before clusters "
                            "(format {}, this one needs {}); "
                            "run that version, or start with an empty directory",
                            path, *format, kDataFormat));
  }
  const auto cluster = Uuid::parse(reader.text("cluster").value_or(""));
  const auto id = reader.number("node_id");
  const auto role = cluster::parse_role(reader.text("role").value_or(""));
  auto members = read_members(*object);
  if (!cluster || cluster->is_nil()) return damaged("names no cluster");
  if (!id) return damaged("names no node");
  if (!role) return damaged("names no role");
  if (!members) return damaged("has no list of members");
  Identity identity{.cluster = *cluster,
                    .id = NodeId(*id),
                    .name = reader.text("name").value_or(""),
                    .role = *role,
                    .members = std::move(*members)};
  if (!cluster::check_name(identity.name)) return damaged("has no name");
  const auto is_self = [&](const membership::Member& member) { return member.id == identity.id; };
  if (std::ranges::any_of(identity.members, is_self)) {
    return damaged("names itself among the members it begins with");
  }
  return identity;
}

std::string encode(const Identity& identity) {
  json::array members;
  for (const membership::Member& member : identity.members) {
    members.push_back(json::object{{"id", member.id.value}, {"address", member.address.text()}});
  }
  return json::serialize(json::object{{"format", kDataFormat},
                                      {"cluster", identity.cluster.text()},
                                      {"node_id", identity.id.value},
                                      {"name", identity.name},
                                      {"role", cluster::role_name(identity.role)},
                                      {"members", std::move(members)}}) +
         "\n";
}

std::string identity_path(const std::string& directory) {
  return env::join_path(directory, "node.json");
}

env::Task<Result<std::string>> read_key_file(env::Env env, std::string directory,
                                             const char* name) {
  const std::string path = env::join_path(directory, name);
  auto content = co_await env.disk.read_file(path, limits::kCredentialBytes);
  if (content || content.error().code() == Code::kUnavailable) co_return content;
  co_return fail(Code::kDataLoss, "keys_damaged",
                 fmt::format("{} cannot be used ({}); restore it from a backup, or remove this "
                             "node from the cluster and join anew with an empty directory",
                             path, content.error().message()));
}

env::Task<Result<void>> write_pair(env::Env env, std::string directory,
                                   env::Credentials credentials) {
  BLX_CO_TRY(co_await replace_secret(env, env::join_path(directory, "node.key"), credentials.key));
  co_return co_await env.disk.replace_file(env::join_path(directory, "node.crt"),
                                           credentials.certificate);
}

// A pair is two files, and a crash may come between them: so it is first one file.
env::Task<Result<void>> finish_renewal(env::Env env, std::string directory) {
  const std::string path = env::join_path(directory, "renewal.json");
  const auto content = co_await env.disk.read_file(path, kPairBytes);
  if (!content && content.error().code() == Code::kNotFound) co_return Result<void>();
  BLX_CO_TRY(content);
  boost::system::error_code error;
  const auto value = json::parse(*content, error);
  const auto* object = error ? nullptr : value.if_object();
  if (object == nullptr) co_return fail(Code::kDataLoss, "keys_damaged", path);
  const Reader reader(*object);
  const auto key = reader.text("key");
  const auto certificate = reader.text("certificate");
  if (!key || !certificate) co_return fail(Code::kDataLoss, "keys_damaged", path);
  BLX_CO_TRY(co_await write_pair(env, directory,
                                 {.certificate = *certificate, .key = *key, .authority = ""}));
  BLX_CO_TRY(co_await env.disk.remove(path));
  co_return co_await env.disk.sync_directory(directory);
}

}  // namespace

env::Task<Result<void>> replace_secret(env::Env env, std::string path, std::string content) {
  BLX_CO_FAILPOINT(env, "storage::write", kResourceExhausted, "disk_full");
  {
    // Narrow before there is anything to read; replace_file() goes through this name.
    const std::string beside = path + ".new";
    BLX_CO_TRY(auto file, co_await env.disk.open(beside, env::OpenMode::kCreate));
    BLX_CO_TRY(co_await env.disk.set_mode(beside, 0600, std::nullopt));
  }
  co_return co_await env.disk.replace_file(path, content);
}

Result<std::string> node_name(env::Env env, std::string name) {
  if (name.empty()) name = name_from_host(env.machine.facts().host_name);
  BLX_TRY(cluster::check_name(name));
  return name;
}

env::Task<Result<std::optional<Identity>>> load_identity(env::Env env, std::string directory) {
  const std::string path = identity_path(directory);
  const auto content = co_await env.disk.read_file(path, kIdentityBytes);
  if (content) {
    BLX_CO_TRY(Identity identity, decode(*content, path));
    co_return std::optional(std::move(identity));
  }
  if (content.error().code() == Code::kNotFound) co_return std::optional<Identity>();
  co_return std::unexpected(content.error());
}

env::Task<Result<void>> store_identity(env::Env env, std::string directory, Identity identity) {
  co_return co_await env.disk.replace_file(identity_path(directory), encode(identity));
}

env::Task<Result<Keys>> load_keys(env::Env env, std::string directory, Identity identity) {
  BLX_CO_TRY(co_await finish_renewal(env, directory));
  Keys keys;
  env::Credentials& own = keys.credentials;
  BLX_CO_TRY(own.key, co_await read_key_file(env, directory, "node.key"));
  BLX_CO_TRY(own.certificate, co_await read_key_file(env, directory, "node.crt"));
  BLX_CO_TRY(own.authority, co_await read_key_file(env, directory, "authority.crt"));
  const auto facts = env.security.inspect(own.certificate);
  if (!facts || facts->subject.node != identity.id ||
      facts->subject.cluster != identity.cluster.text()) {
    co_return fail(Code::kDataLoss, "keys_damaged",
                   "node.crt is not the certificate of the node that node.json names");
  }
  if (identity.role == cluster::NodeRole::kServer) {
    BLX_CO_TRY(std::string key, co_await read_key_file(env, directory, "authority.key"));
    keys.authority = env::Authority{.certificate = own.authority, .key = std::move(key)};
  }
  co_return keys;
}

env::Task<Result<void>> store_keys(env::Env env, std::string directory, Keys keys) {
  if (keys.authority) {
    BLX_CO_TRY(co_await replace_secret(env, env::join_path(directory, "authority.key"),
                                       keys.authority->key));
  }
  BLX_CO_TRY(co_await env.disk.replace_file(env::join_path(directory, "authority.crt"),
                                            keys.credentials.authority));
  co_return co_await write_pair(env, directory, std::move(keys.credentials));
}

env::Task<Result<void>> store_renewed(env::Env env, std::string directory,
                                      env::Credentials credentials) {
  const std::string pair = json::serialize(
      json::object{{"key", credentials.key}, {"certificate", credentials.certificate}});
  BLX_CO_TRY(co_await replace_secret(env, env::join_path(directory, "renewal.json"), pair));
  co_return co_await finish_renewal(env, directory);
}

env::Task<Result<std::string>> load_api_token(env::Env env, std::string path) {
  auto content = co_await env.disk.read_file(path, kApiTokenBytesMax);
  if (content) {
    while (!content->empty() && content->back() == '\n')
      content->pop_back();
    if (content->size() >= 2 * kApiTokenRandomBytes) co_return std::move(*content);
    co_return fail(Code::kDataLoss, "token_damaged",
                   path + " holds no token; remove it and start again to get a new one");
  }
  if (content.error().code() != Code::kNotFound) co_return std::unexpected(content.error());
  const std::string token = env.random.hex(kApiTokenRandomBytes);
  BLX_CO_TRY(co_await replace_secret(env, path, token + "\n"));
  co_return token;
}

}  // namespace blixard::node
