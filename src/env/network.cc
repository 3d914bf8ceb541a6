#include "env/network.h"

#include <array>
#include <charconv>

namespace blixard::env {

Endpoint Endpoint::tcp(std::string host, std::uint16_t port) {
  return {Kind::kTcp, std::move(host), port};
}

Endpoint Endpoint::unix_socket(std::string path) { return {Kind::kUnix, std::move(path), 0}; }

std::string Endpoint::text() const {
  if (kind == Kind::kUnix) return "unix:" + host;
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  constexpr std::string_view kUnixPrefix = "unix:";
  if (text.starts_with(kUnixPrefix)) {
    const auto path = text.substr(kUnixPrefix.size());
    if (path.empty()) {
      return fail(Code::kInvalidArgument, "address_invalid", "unix: needs a path behind it");
    }
    return unix_socket(std::string(path));
  }
  if (text.starts_with("tcp:")) text.remove_prefix(4);
  const auto colon = text.rfind(':');
  std::string_view host = colon == std::string_view::npos ? "" : text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto digits = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || digits.empty() || error != std::errc() ||
      end != digits.data() + digits.size()) {
    return fail(Code::kInvalidArgument, "address_invalid",
                "'" + std::string(text) + "' is not an address; write it as 127.0.0.1:7100");
  }
  return tcp(std::string(host), port);
}

Task<Result<void>> Stream::write_all(std::string_view bytes) {
  const std::array<std::string_view, 1> parts{bytes};
  co_return co_await write(parts);
}

Task<Result<void>> Stream::write_with(std::string_view, std::unique_ptr<Stream>) {
  co_return fail(Code::kInvalidArgument, "not_local", "only a unix socket carries another one");
}

}  // namespace blixard::env
