#include "linearizability/formats.h"

#include <algorithm>

#include <fmt/format.h>

#include "linearizability/limits.h"

namespace blixard::linearizability {

std::optional<Format> parse_format(std::string_view name) {
  const auto* const found = std::ranges::find(kFormatNames, name);
  if (found == kFormatNames.end()) return std::nullopt;
  return static_cast<Format>(found - kFormatNames.begin());
}

Result<RecordedHistory> read_history(Format format, std::string_view text) {
  if (text.size() > limits::kHistoryBytes) {
    return fail(Code::kResourceExhausted, "history_too_long",
                fmt::format("more than {} bytes", limits::kHistoryBytes));
  }
  switch (format) {
    case Format::kPorcupineEtcd:
      return read_porcupine_etcd(text);
    case Format::kPorcupineKv:
      return read_porcupine_kv(text);
    case Format::kJepsenEdn:
      return read_jepsen_edn(text);
    case Format::kBlixardJson:
      return read_blixard_json(text);
  }
  return fail(Code::kInvalidArgument, "format_unknown");
}

Result<std::optional<std::string_view>> Lines::next() {
  if (rest_.empty()) return std::optional<std::string_view>();
  ++number_;
  const std::size_t end = std::min(rest_.find('\n'), rest_.size());
  std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  if (line.size() > limits::kLineBytes) return bad_line(number_, "a line that is too long");
  if (line.ends_with('\r')) line.remove_suffix(1);
  return std::optional(line);
}

}  // namespace blixard::linearizability
