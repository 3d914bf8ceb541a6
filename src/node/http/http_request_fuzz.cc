// The request parser with bytes from anywhere, whole and cut at every place the input says. However
// it is cut, the verdict must be the same.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "node/http/codec.h"

namespace {

using blixard::http::Request;
using blixard::http::RequestParser;

struct Verdict {
  bool refused = false;
  std::optional<Request> request;
};

Verdict parse(std::string_view bytes, std::size_t step) {
  RequestParser parser({16 * 1024, 64 * 1024});
  std::string pending;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    pending += bytes.substr(at, step);
    while (!pending.empty() && !parser.done()) {
      const auto taken = parser.put(pending);
      if (!taken) return {.refused = true, .request = {}};
      BLX_ASSERT(*taken <= pending.size());
      if (*taken == 0) break;
      pending.erase(0, *taken);
    }
    if (parser.done()) return {.refused = false, .request = parser.take()};
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Verdict whole = parse(bytes, bytes.size() + 1);
  const Verdict cut = parse(bytes, 1 + data[0] % 64);
  BLX_ASSERT(whole.request.has_value() == cut.request.has_value() || whole.refused || cut.refused);
  if (whole.request && cut.request) {
    BLX_ASSERT(whole.request->path == cut.request->path);
    BLX_ASSERT(whole.request->body == cut.request->body);
    BLX_ASSERT(whole.request->path.starts_with('/'));
    BLX_ASSERT(whole.request->body.size() <= 64 * 1024);
  }
  return 0;
}
