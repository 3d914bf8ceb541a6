#include "node/identity.h"

#include <boost/json.hpp>

#include "base/limits.h"
#include "core/cluster/model.h"

namespace blixard::node {
namespace {

constexpr std::size_t kIdentityBytes = 4096;
constexpr std::size_t kTokenRandomBytes = 32;
constexpr std::size_t kTokenBytesMax = 512;

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

Result<Identity> decode(const std::string& content, const std::string& path) {
  const auto damaged = [&](const char* what) {
    return fail(Code::kDataLoss, "identity_damaged",
                path + " " + what + "; restore it from a backup, or start with an empty directory");
  };
  boost::system::error_code error;
  const auto value = boost::json::parse(content, error);
  const auto* object = error ? nullptr : value.if_object();
  if (object == nullptr) return damaged("is not a JSON object");
  const auto* format = object->if_contains("format");
  if (format == nullptr || !format->is_int64()) return damaged("names no format");
  if (format->get_int64() < 1) return damaged("names no format");
  if (format->get_int64() > kDataFormat) {
    return fail(Code::kFailedPrecondition, "data_too_new",
                path + " was written by a newer blixard (format " +
                    std::to_string(format->get_int64()) + ", this one knows " +
                    std::to_string(kDataFormat) + "); run that version");
  }
  const auto* id = object->if_contains("node_id");
  const auto* name = object->if_contains("name");
  if (id == nullptr || !id->is_int64() || id->get_int64() <= 0) return damaged("names no node");
  if (name == nullptr || !name->is_string()) return damaged("has no name");
  Identity identity{NodeId(static_cast<std::uint64_t>(id->get_int64())),
                    std::string(name->get_string())};
  BLX_TRY(cluster::check_name(identity.name));
  return identity;
}

std::string encode(const Identity& identity) {
  return boost::json::serialize(boost::json::object{
             {"format", kDataFormat}, {"node_id", identity.id.value}, {"name", identity.name}}) +
         "\n";
}

}  // namespace

env::Task<Result<Identity>> load_identity(env::Env env, std::string directory, std::string name) {
  const std::string path = env::join_path(directory, "node.json");
  const auto content = co_await env.disk.read_file(path, kIdentityBytes);
  if (content) co_return decode(*content, path);
  if (content.error().code() != Code::kNotFound) co_return std::unexpected(content.error());

  Identity identity{NodeId(1), name.empty() ? name_from_host(env.machine.facts().host_name) : name};
  BLX_CO_TRY(cluster::check_name(identity.name));
  BLX_CO_TRY(co_await env.disk.replace_file(path, encode(identity)));
  co_return identity;
}

env::Task<Result<std::string>> load_api_token(env::Env env, std::string path) {
  auto content = co_await env.disk.read_file(path, kTokenBytesMax);
  if (content) {
    while (!content->empty() && content->back() == '\n')
      content->pop_back();
    if (content->size() >= 2 * kTokenRandomBytes) co_return std::move(*content);
    co_return fail(Code::kDataLoss, "token_damaged",
                   path + " holds no token; remove it and start again to get a new one");
  }
  if (content.error().code() != Code::kNotFound) co_return std::unexpected(content.error());
  const std::string token = env.random.hex(kTokenRandomBytes);
  {
    // Narrow before there is anything to read.
    const std::string beside = path + ".new";
    BLX_CO_TRY(auto file, co_await env.disk.open(beside, env::OpenMode::kCreate));
    BLX_CO_TRY(co_await env.disk.set_mode(beside, 0600, std::nullopt));
  }
  BLX_CO_TRY(co_await env.disk.replace_file(path, token + "\n"));
  co_return token;
}

}  // namespace blixard::node
