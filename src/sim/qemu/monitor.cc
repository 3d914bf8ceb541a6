#include "sim/qemu/monitor.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "sim/fabric.h"
#include "sim/qemu/guest.h"
#include "sim/qemu/migration.h"

namespace blixard::sim {
namespace {

namespace json = boost::json;

constexpr std::size_t kLineMax = std::size_t{64} << 10;
constexpr Duration kSilenceStep = 250ms;
constexpr int kSignalSegfault = 11;
constexpr std::size_t kStreamsMax = 16;
constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, )"
    R"("package": "simulated"}, "capabilities": ["oob"]}})";

std::string error_line(std::string_view error_class, std::string_view text, std::string_view id) {
  return fmt::format(R"({{"id": {}, "error": {{"class": "{}", "desc": {}}}}})", id, error_class,
                     json::serialize(json::string(text)));
}

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view part = bytes.substr(i, 3);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k)
      word = word << 8 | (k < part.size() ? static_cast<unsigned char>(part[k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= part.size() ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace

env::Task<void> QemuMonitor::serve() {
  for (;;) {
    auto stream = co_await next_client(guest_.process().env(), *listener_);
    if (!stream) co_return;
    client_ = std::make_shared<Outbox>(std::move(stream));
    co_await talk();
    is_negotiated_ = false;
    client_.reset();
  }
}

// A QEMU whose main loop is stuck: it accepts, and that is the kernel's doing.
env::Task<bool> QemuMonitor::wait_while_silent() {
  while (guest_.faults().monitor_silent) {
    if (!co_await guest_.process().env().clock.sleep(kSilenceStep)) co_return false;
  }
  co_return true;
}

env::Task<void> QemuMonitor::talk() {
  if (!co_await wait_while_silent()) co_return;
  say({}, "0", kGreeting);
  if (!co_await Outbox::flush(client_)) co_return;
  std::array<char, 1024> buffer;
  std::string text;
  for (;;) {
    const auto count = co_await client_->stream().read_some(buffer);
    if (!count || *count == 0) co_return;
    text.append(buffer.data(), *count);
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos;
         end = text.find('\n', begin)) {
      if (!co_await take(std::string_view(text).substr(begin, end - begin))) co_return;
      begin = end + 1;
    }
    text.erase(0, begin);
    if (text.size() > kLineMax) co_return;
  }
}

env::Task<bool> QemuMonitor::take(std::string_view line) {
  if (!co_await wait_while_silent()) co_return false;
  std::array<unsigned char, 2048> memory;
  json::monotonic_resource resource(memory.data(), memory.size());
  json::error_code error;
  const json::value value = json::parse(json::string_view(line), error, &resource);
  const json::object* object = value.if_object();
  const json::value* execute = object != nullptr ? object->if_contains("execute") : nullptr;
  const json::string* name = execute != nullptr ? execute->if_string() : nullptr;
  const json::value* id = object != nullptr ? object->if_contains("id") : nullptr;
  const std::string id_text = id != nullptr ? json::serialize(*id) : "null";
  const std::string command = name != nullptr ? std::string(*name) : std::string();
  const QemuFaults& faults = guest_.faults();
  const bool is_transfer = command == "migrate" || command == "migrate-incoming";
  if (!command.empty() && command == faults.dies_at && !is_transfer) {
    guest_.process().die(kSignalSegfault);
    co_return false;
  }
  if (faults.ignored.contains(command)) co_return true;
  if (faults.answer_delay.most > Duration{}) {
    if (!co_await guest_.process().env().clock.sleep(guest_.draw(faults.answer_delay)))
      co_return false;
  }
  if (name == nullptr) {
    say(command, id_text, error_line("GenericError", "Invalid QMP input", id_text));
  } else if (command == "human-monitor-command" && is_negotiated_) {
    const std::string words = co_await obey_human(object->if_contains("arguments"));
    say(command, id_text,
        fmt::format(R"({{"return": {}, "id": {}}})", json::serialize(json::string(words)),
                    id_text));
  } else {
    const json::value* arguments = object->if_contains("arguments");
    const QmpOutcome outcome =
        obey(command, arguments != nullptr ? arguments->if_object() : nullptr);
    say(command, id_text,
        outcome ? fmt::format(R"({{"return": {}, "id": {}}})", *outcome, id_text)
                : error_line(outcome.error().error_class, outcome.error().text, id_text));
  }
  co_return (co_await Outbox::flush(client_)).has_value();
}

void QemuMonitor::say(std::string_view command, std::string_view id, std::string_view answer) {
  QemuFaults& faults = guest_.faults();
  const bool is_noisy =
      !faults.noise.empty() && (faults.noise_at.empty() || faults.noise_at == command);
  if (!is_noisy) return client_->say(answer);
  const std::string noise = std::exchange(faults.noise, {});
  client_->say(expand_noise(noise, id, answer));
}

bool QemuMonitor::tell(std::string_view line) {
  if (!client_ || !is_negotiated_) return false;
  client_->say(line);
  return true;
}

env::Task<void> QemuMonitor::flush() {
  const std::shared_ptr<Outbox> client = client_;
  if (!client || !co_await wait_while_silent()) co_return;
  ignore(co_await Outbox::flush(client), "talk() finds out");
}

QmpOutcome QemuMonitor::obey(std::string_view command, const json::object* arguments) {
  if (command == "qmp_capabilities") return negotiate();
  if (!is_negotiated_) {
    return std::unexpected(QmpRefusal{
        "CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'"});
  }
  if (command == "query-status") {
    return fmt::format(R"({{"status": "{}", "singlestep": false, "running": {}}})",
                       qemu_state_name(guest_.state()), guest_.state() == QemuState::kRunning);
  }
  if (command == "query-uuid") {
    return fmt::format(R"({{"UUID": "{}"}})",
                       guest_.faults().uuid.value_or(guest_.line().uuid).text());
  }
  if (command == "query-memory-size-summary") {
    return fmt::format(R"({{"base-memory": {}, "plugged-memory": 0}})", guest_.line().memory.value);
  }
  if (command == "query-name") return fmt::format(R"({{"name": "{}"}})", guest_.line().name);
  if (command == "ringbuf-read") return read_console(arguments);
  if (command == "getfd") return take_stream(arguments);
  if (auto outcome = guest_.migration().obey(command, arguments, streams_)) {
    return *std::move(outcome);
  }
  return change(command);
}

// What it prints; "" is what most commands have to say.
env::Task<std::string> QemuMonitor::obey_human(const json::value* arguments) {
  const json::object* object = arguments != nullptr ? arguments->if_object() : nullptr;
  const json::value* line = object != nullptr ? object->if_contains("command-line") : nullptr;
  const json::string* text = line != nullptr ? line->if_string() : nullptr;
  constexpr std::string_view kForward = "hostfwd_add ";
  const std::string words = text != nullptr ? std::string(*text) : std::string();
  if (!words.starts_with(kForward)) co_return "unknown command: '" + words + "'\r\n";
  co_return co_await guest_.forward(words.substr(kForward.size()));
}

QmpOutcome QemuMonitor::negotiate() {
  if (is_negotiated_) {
    return std::unexpected(QmpRefusal{
        "CommandNotFound", "Capabilities negotiation is already complete, command ignored"});
  }
  is_negotiated_ = true;
  return "{}";
}

QmpOutcome QemuMonitor::take_stream(const json::object* arguments) {
  const json::value* name = arguments != nullptr ? arguments->if_contains("fdname") : nullptr;
  if (name == nullptr) return qmp_refused("Parameter 'fdname' is missing");
  if (!name->is_string()) {
    return qmp_refused("Invalid parameter type for 'fdname', expected: string");
  }
  auto stream = take_handed(client_->stream());
  if (!stream) return qmp_refused("No file descriptor supplied via SCM_RIGHTS");
  std::string key(name->get_string());
  if (streams_.size() >= kStreamsMax && !streams_.contains(key)) {
    return qmp_refused("Too many file descriptors");
  }
  streams_.insert_or_assign(std::move(key), std::move(stream));
  return "{}";
}

QmpOutcome QemuMonitor::change(std::string_view command) {
  if (command == "stop") {
    guest_.pause();
  } else if (command == "cont") {
    if (const auto why = guest_.resume()) return qmp_refused(std::string(*why));
  } else if (command == "system_powerdown") {
    guest_.press_button();
  } else if (command == "system_reset") {
    guest_.reboot();
  } else if (command == "quit") {
    guest_.quit();
  } else {
    return std::unexpected(
        QmpRefusal{"CommandNotFound", fmt::format("The command {} has not been found", command)});
  }
  return "{}";
}

QmpOutcome QemuMonitor::read_console(const json::object* arguments) {
  const json::value* device = arguments != nullptr ? arguments->if_contains("device") : nullptr;
  const json::value* size = arguments != nullptr ? arguments->if_contains("size") : nullptr;
  const json::value* format = arguments != nullptr ? arguments->if_contains("format") : nullptr;
  if (device == nullptr || !device->is_string() || size == nullptr || !size->is_int64()) {
    return qmp_refused("Parameter 'device' or 'size' is missing");
  }
  const std::string_view name(device->get_string());
  if (name != guest_.line().console) {
    return qmp_refused(fmt::format("Device '{}' not found", name));
  }
  if (size->get_int64() <= 0) {
    return qmp_refused("size must be greater than zero");
  }
  std::string bytes = guest_.read_console(static_cast<std::size_t>(size->get_int64()));
  const bool is_base64 = format != nullptr && *format == "base64";
  return is_base64 ? "\"" + to_base64(bytes) + "\"" : json::serialize(json::string(bytes));
}

}  // namespace blixard::sim
