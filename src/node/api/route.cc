#include "node/api/route.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::api {
namespace {

constexpr auto kDescriptions = std::to_array<ParameterDescription>({
    {kWait, "wait",
     "Answer when the VM is running, stopped, gone, paused or suspended; snapshot: when the one "
     "that was asked for is made. A VM that fails first gives 409 vm_failed, also where its "
     "restart policy starts it again.",
     R"({"type":"string","enum":["running","stopped","deleted","paused","suspended","snapshot"]})"},
    {kWait, "timeout", "How long to wait, as 500ms, 60s or 2m; 10m at most.",
     R"({"type":"string","pattern":"^[0-9]+(ms|s|m)$","default":"60s"})"},
    {kConsistency, "consistency",
     "stale: answer from what this node has applied, without asking the cluster.",
     R"({"type":"string","enum":["linearizable","stale"],"default":"linearizable"})"},
    {kTailBytes, "tail_bytes", "How much of the end to give.",
     R"({"type":"integer","minimum":1,"maximum":1048576,"default":65536})"},
    {kSince, "since",
     "Give the changes after this revision; the present one by default. The header Last-Event-ID "
     "goes before it.",
     R"({"type":"integer","minimum":0})"},
    {kForce, "force",
     "true: remove the node although VMs are on it. You vouch that its machine is off: they are "
     "started elsewhere.",
     R"({"type":"boolean","default":false})"},
    {kPage, "limit", "Give so many at the most; all of them by default.",
     R"({"type":"integer","minimum":1,"maximum":100000})"},
    {kPage, "after", "Give those whose names come after this one: the last of the page before.",
     R"({"type":"string","maxLength":63})"},
});

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<Error> invalid(std::string_view name, std::string_view rule) {
  return fail(Code::kInvalidArgument, "parameter_invalid", fmt::format("{} {}", name, rule));
}

Result<void> read_parameter(std::string_view name, std::string_view value, Query& query) {
  if (name == "wait") {
    for (const auto wait : {WaitFor::kRunning, WaitFor::kStopped, WaitFor::kDeleted,
                            WaitFor::kPaused, WaitFor::kSuspended, WaitFor::kSnapshot}) {
      if (value == wait_name(wait)) query.wait = wait;
    }
    if (query.wait == WaitFor::kNothing) {
      return invalid(name, "must be running, stopped, deleted, paused, suspended or snapshot");
    }
  } else if (name == "timeout") {
    const auto timeout = parse_duration(value);
    if (!timeout || *timeout > limits::kApiWaitMax) {
      return invalid(name, "must be a time such as 500ms, 60s or 2m, of 10m at most");
    }
    query.timeout = *timeout;
  } else if (name == "consistency") {
    if (value != "stale" && value != "linearizable") {
      return invalid(name, "must be stale or linearizable");
    }
    query.stale = value == "stale";
  } else if (name == "tail_bytes") {
    const auto bytes = number(value);
    if (!bytes || *bytes == 0 || *bytes > limits::kLogTailBytes) {
      return invalid(name, fmt::format("must be a number from 1 to {}", limits::kLogTailBytes));
    }
    query.tail_bytes = *bytes;
  } else if (name == "limit") {
    const auto limit = number(value);
    if (!limit || *limit == 0 || *limit > limits::kVms) {
      return invalid(name, fmt::format("must be a number from 1 to {}", limits::kVms));
    }
    query.limit = *limit;
  } else if (name == "after") {
    if (value.size() > limits::kNameLength) {
      return invalid(name, fmt::format("must be a name, of {} bytes at most", limits::kNameLength));
    }
    query.after = value;
  } else if (name == "force") {
    if (value != "true" && value != "false") return invalid(name, "must be true or false");
    query.force = value == "true";
  } else {
    const auto since = number(value);
    if (!since) return invalid(name, "must be a revision");
    query.since = *since;
    query.has_since = true;
  }
  return {};
}

}  // namespace

std::string_view wait_name(WaitFor wait) {
  switch (wait) {
    case WaitFor::kNothing:
      return "";
    case WaitFor::kRunning:
      return "running";
    case WaitFor::kStopped:
      return "stopped";
    case WaitFor::kDeleted:
      return "deleted";
    case WaitFor::kPaused:
      return "paused";
    case WaitFor::kSuspended:
      return "suspended";
    case WaitFor::kSnapshot:
      return "snapshot";
  }
  return "";
}

Result<Duration> parse_duration(std::string_view text) {
  const auto digits_end = text.find_first_not_of("0123456789");
  const auto count = number(text.substr(0, digits_end));
  const auto unit = digits_end == std::string_view::npos ? "" : text.substr(digits_end);
  // Within a day, so that nothing overflows.
  if (!count || *count > 86'400'000) return invalid("a time", "such as 60s is needed");
  const auto amount = static_cast<std::int64_t>(*count);
  if (unit == "ms") return Duration(std::chrono::milliseconds(amount));
  if (unit == "s") return Duration(std::chrono::seconds(amount));
  if (unit == "m") return Duration(std::chrono::minutes(amount));
  return invalid("a time", "such as 60s is needed");
}

Result<Query> read_query(const http::Request& request, std::uint8_t parameters) {
  Query query;
  for (const auto& [name, value] : request.query) {
    const auto known = std::ranges::find_if(kDescriptions, [&](const auto& description) {
      return description.name == name && (parameters & description.parameter) != 0;
    });
    if (known == kDescriptions.end()) {
      return fail(Code::kInvalidArgument, "parameter_unknown", name.substr(0, 64));
    }
    BLX_TRY(read_parameter(name, value, query));
  }
  if (request.query.contains("timeout") && query.wait == WaitFor::kNothing) {
    return invalid("timeout", "needs wait");
  }
  const std::string* last = request.header("Last-Event-ID");
  if (last != nullptr && (parameters & kSince) != 0) {
    const auto since = number(*last);
    if (!since) return invalid("Last-Event-ID", "must be a revision");
    query.since = *since;
    query.has_since = true;
  }
  return query;
}

std::span<const ParameterDescription> parameter_descriptions() { return kDescriptions; }

}  // namespace blixard::api
