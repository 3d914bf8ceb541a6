#include "app/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include <boost/json.hpp>
#include <fmt/format.h>

namespace blixard::app {
namespace {

void pretty_into(std::string& out, const boost::json::value& value, std::size_t depth) {
  const std::string inner((depth + 1) * 2, ' ');
  const std::string outer(depth * 2, ' ');
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    const char* separator = "{\n";
    for (const auto& [key, member] : *object) {
      out += separator + inner + boost::json::serialize(key) + ": ";
      pretty_into(out, member, depth + 1);
      separator = ",\n";
    }
    out += "\n" + outer + "}";
  } else if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
    const char* separator = "[\n";
    for (const auto& element : *array) {
      out += separator + inner;
      pretty_into(out, element, depth + 1);
      separator = ",\n";
    }
    out += "\n" + outer + "]";
  } else {
    out += boost::json::serialize(value);
  }
}

}  // namespace

std::string Table::text() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string pretty(const boost::json::value& value) {
  std::string out;
  pretty_into(out, value, 0);
  return out + "\n";
}

std::string text_of(const boost::json::value& object, std::string_view member) {
  const auto* fields = object.if_object();
  const auto* value = fields != nullptr ? fields->if_contains(member) : nullptr;
  if (value == nullptr || value->is_null()) return {};
  if (const auto* text = value->if_string()) return printable(std::string(*text));
  return boost::json::serialize(*value);
}

const boost::json::array& items_of(const boost::json::value& object, std::string_view member) {
  static const boost::json::array kNone;
  const auto* fields = object.if_object();
  const auto* value = fields != nullptr ? fields->if_contains(member) : nullptr;
  const auto* array = value != nullptr ? value->if_array() : nullptr;
  return array != nullptr ? *array : kNone;
}

std::string joined(const boost::json::array& items) {
  std::string text;
  for (const auto& item : items) {
    if (!text.empty()) text += ",";
    text +=
        item.is_string() ? printable(std::string(item.get_string())) : boost::json::serialize(item);
  }
  return text;
}

std::string age_since(std::string_view rfc3339, WallTime now) {
  std::tm parts{};
  const std::string text(rfc3339);
  if (::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return {};
  const std::int64_t seconds = std::max<std::int64_t>(now.unix_ms / 1000 - ::timegm(&parts), 0);
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  if (seconds < 172'800) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86'400);
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) c = '?';
  }
  return out;
}

Spinner::Spinner(env::Env env, env::Scope& scope, std::string what)
    : env_(env), what_(std::move(what)), cancellation_(&scope.cancellation()) {
  if (::isatty(STDERR_FILENO) == 1) scope.spawn(spin().under(cancellation_));
}

void Spinner::stop() {
  cancellation_.request();
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

env::Task<void> Spinner::spin() {
  constexpr std::array<const char*, 4> kFrames{"|", "/", "-", "\\"};
  const Instant begin = env_.clock.monotonic();
  for (std::size_t turn = 0;; ++turn) {
    const auto tenths = (env_.clock.monotonic() - begin) / 100ms;
    fmt::print(stderr, "\r\033[K{} {}  {}.{} s", kFrames[turn % kFrames.size()], what_, tenths / 10,
               tenths % 10);
    std::fflush(stderr);
    shown_ = true;
    if (!co_await env_.clock.sleep(100ms)) co_return;
  }
}

}  // namespace blixard::app
