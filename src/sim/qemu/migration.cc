#include "sim/qemu/migration.h"

#include <algorithm>
#include <array>
#include <utility>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "sim/qemu/guest.h"

namespace blixard::sim {
namespace {

namespace json = boost::json;

constexpr std::string_view kIgnoreShared = "x-ignore-shared";
constexpr int kSignalSegfault = 11;

// Which of them are played: the first.
constexpr std::array<std::string_view, 6> kCapabilities = {
    kIgnoreShared, "events", "multifd", "postcopy-ram", "return-path", "validate-uuid"};
struct Parameter {
  std::string_view name;
  std::int64_t most;
};
constexpr std::array<Parameter, 3> kParameters = {{
    {"max-bandwidth", INT64_MAX},
    {"announce-rounds", 1000},
    {"downtime-limit", 2'000'000},
}};

QmpOutcome unexpected_parameter(std::string_view name) {
  return qmp_refused(fmt::format("Parameter '{}' is unexpected", name));
}

// The stream that "uri" names.
std::expected<std::unique_ptr<env::Stream>, QmpRefusal> take_stream(const json::object* arguments,
                                                                    QmpStreams& streams) {
  constexpr std::string_view kKind = "fd:";
  const json::value* uri = arguments != nullptr ? arguments->if_contains("uri") : nullptr;
  if (uri == nullptr || !uri->is_string()) return qmp_refused("Parameter 'uri' is missing");
  std::string_view name(uri->get_string());
  if (!name.starts_with(kKind)) {
    return qmp_refused("Parameter 'uri' expects a valid migration protocol");
  }
  name.remove_prefix(kKind.size());
  const auto stream = streams.find(name);
  if (stream == streams.end()) {
    return qmp_refused(fmt::format("File descriptor named '{}' has not been found", name));
  }
  auto taken = std::move(stream->second);
  streams.erase(stream);
  return taken;
}

}  // namespace

std::optional<QmpOutcome> QemuMigration::obey(std::string_view command,
                                              const json::object* arguments, QmpStreams& streams) {
  if (command == "query-migrate-capabilities") return list_capabilities();
  if (command == "migrate-set-capabilities") return set_capabilities(arguments);
  if (command == "migrate-set-parameters") return set_parameters(arguments);
  if (command == "query-migrate") return progress();
  if (command == "migrate") return begin_save(arguments, streams);
  if (command == "migrate-incoming") return begin_load(arguments, streams);
  return std::nullopt;
}

QmpOutcome QemuMigration::list_capabilities() const {
  json::array list;
  for (const std::string_view name : kCapabilities) {
    const bool is_on = name == kIgnoreShared && ignores_shared_;
    if (name == kIgnoreShared && guest_.faults().no_ignore_shared) continue;
    list.push_back(json::object{{"capability", json::string_view(name)}, {"state", is_on}});
  }
  return json::serialize(list);
}

QmpOutcome QemuMigration::set_capabilities(const json::object* arguments) {
  const json::value* list = arguments != nullptr ? arguments->if_contains("capabilities") : nullptr;
  if (list == nullptr || !list->is_array()) {
    return qmp_refused("Parameter 'capabilities' is missing");
  }
  if (is_saving_) return qmp_refused("There's a migration process in progress");
  bool ignores_shared = ignores_shared_;
  for (const json::value& entry : list->get_array()) {
    const json::object* each = entry.if_object();
    const json::value* name = each != nullptr ? each->if_contains("capability") : nullptr;
    const json::value* state = each != nullptr ? each->if_contains("state") : nullptr;
    if (name == nullptr || !name->is_string() || state == nullptr || !state->is_bool()) {
      return qmp_refused("Parameter 'capabilities[].capability' or '.state' is missing");
    }
    const std::string_view known(name->get_string());
    const bool is_missing = known == kIgnoreShared && guest_.faults().no_ignore_shared;
    if (is_missing || std::ranges::find(kCapabilities, known) == kCapabilities.end()) {
      return qmp_refused(fmt::format("Parameter 'capability' does not accept value '{}'", known));
    }
    if (known == kIgnoreShared) {
      ignores_shared = state->get_bool();
    } else if (state->get_bool()) {
      return qmp_refused(fmt::format("{} is not played here", known));
    }
  }
  ignores_shared_ = ignores_shared;
  return "{}";
}

QmpOutcome QemuMigration::set_parameters(const json::object* arguments) const {
  if (arguments == nullptr) return "{}";
  for (const auto& [name, value] : *arguments) {
    const auto* const parameter =
        std::ranges::find(kParameters, std::string_view(name), &Parameter::name);
    if (parameter == kParameters.end()) return unexpected_parameter(name);
    const std::int64_t* number = value.if_int64();
    if (number == nullptr || *number < 0 || *number > parameter->most) {
      return qmp_refused(fmt::format("Parameter '{}' expects a value between 0 and {}",
                                     std::string_view(name), parameter->most));
    }
  }
  return "{}";
}

QmpOutcome QemuMigration::progress() const {
  switch (progress_) {
    case Progress::kNone:
      return "{}";
    case Progress::kActive:
      return R"({"status": "active"})";
    case Progress::kCompleted:
      return R"({"status": "completed"})";
    case Progress::kFailed:
      return R"({"status": "failed", "error-desc": "Unable to write to socket: Broken pipe"})";
  }
  return "{}";
}

QmpOutcome QemuMigration::begin_save(const json::object* arguments, QmpStreams& streams) {
  if (is_saving_) return qmp_refused("There's a migration process in progress");
  if (guest_.state() == QemuState::kInMigrate) {
    return qmp_refused("Guest is waiting for an incoming migration");
  }
  if (guest_.state() == QemuState::kPostMigrate) {
    return qmp_refused("Can't migrate the vm that was paused due to previous migration");
  }
  auto stream = take_stream(arguments, streams);
  if (!stream) return std::unexpected(stream.error());
  is_saving_ = true;
  progress_ = Progress::kActive;
  guest_.spawn(save(*std::move(stream)));
  return "{}";
}

// First while the guest goes on as it was, then while it stands still.
env::Task<void> QemuMigration::save(std::unique_ptr<env::Stream> stream) {
  env::Clock& clock = guest_.process().env().clock;
  const Duration half = guest_.draw(guest_.faults().save) / 2;
  const bool ignores_shared = ignores_shared_;
  constexpr std::size_t kFirst = kStateMagic.size() / 2;
  ignore(co_await stream->write_all(kStateMagic.substr(0, kFirst)), "the next one tells");
  if (!co_await clock.sleep(half)) co_return;
  bool is_written = (co_await stream->write_all(kStateMagic.substr(kFirst))).has_value();
  if (is_written) {
    const auto state = guest_.begin_save(ignores_shared);
    if (!state || !co_await clock.sleep(half / 2)) co_return;
    const std::string bytes = encode_state(*state);
    const std::string_view rest = std::string_view(bytes).substr(kStateMagic.size());
    is_written = (co_await stream->write_all(rest.substr(0, rest.size() / 2))).has_value();
    if (guest_.faults().dies_at == "migrate") co_return guest_.process().die(kSignalSegfault);
    if (!co_await clock.sleep(half / 2)) co_return;
    is_written = is_written && !guest_.faults().save_fails;
    if (is_written) {
      is_written = (co_await stream->write_all(rest.substr(rest.size() / 2))).has_value();
    }
    guest_.end_save(is_written);
  }
  stream->close();
  is_saving_ = false;
  progress_ = is_written ? Progress::kCompleted : Progress::kFailed;
}

QmpOutcome QemuMigration::begin_load(const json::object* arguments, QmpStreams& streams) {
  if (was_told_to_load_) return qmp_refused("The incoming migration has already been started");
  if (guest_.state() != QemuState::kInMigrate) {
    return qmp_refused("'-incoming' was not specified on the command line");
  }
  auto stream = take_stream(arguments, streams);
  if (!stream) return std::unexpected(stream.error());
  was_told_to_load_ = true;
  guest_.tell("MIGRATION", R"({"status": "setup"})");
  guest_.spawn(load(*std::move(stream)));
  return "{}";
}

env::Task<void> QemuMigration::load(std::unique_ptr<env::Stream> stream) {
  env::Clock& clock = guest_.process().env().clock;
  const Duration half = guest_.draw(guest_.faults().load) / 2;
  std::string bytes;
  if (!co_await read_up_to(*stream, kStateHeaderBytes, bytes)) co_return;
  const auto header = decode_state_header(bytes);
  const auto why = header ? unfit(header->state) : "Not a migration stream";
  if (why) {
    guest_.process().print("qemu-system-x86_64: " + *why + "\n");
    co_return fail_load("Invalid argument");
  }
  progress_ = Progress::kActive;
  if (!co_await read_up_to(*stream, header->needed() / 2, bytes)) co_return;
  if (!co_await clock.sleep(half) || !co_await pass_half_way()) co_return;
  if (!co_await read_up_to(*stream, header->total(), bytes)) co_return;
  if (bytes.size() < header->needed()) co_return fail_load("Input/output error");
  if (!co_await clock.sleep(half)) co_return;
  stream->close();
  progress_ = Progress::kCompleted;
  guest_.take_in(decode_state(*header, bytes));
}

env::Task<Result<void>> QemuMigration::read_up_to(env::Stream& stream, std::size_t size,
                                                  std::string& bytes) {
  std::array<char, 2048> buffer;
  while (bytes.size() < size) {
    const std::size_t room = std::min(buffer.size(), size - bytes.size());
    const auto count = co_await stream.read_some(std::span(buffer).first(room));
    if (!count && count.error().code() == Code::kCancelled)
      co_return std::unexpected(count.error());
    if (!count || *count == 0) break;
    bytes.append(buffer.data(), *count);
  }
  co_return Result<void>();
}

env::Task<bool> QemuMigration::pass_half_way() {
  const QemuFaults& faults = guest_.faults();
  if (faults.dies_at == "migrate-incoming") {
    guest_.process().die(kSignalSegfault);
    co_return false;
  }
  if (faults.load_fails) {
    fail_load("Invalid argument");
    co_return false;
  }
  if (!faults.load_stalls) co_return true;
  ignore(co_await guest_.process().env().clock.sleep_until(Instant::never()), "it never goes on");
  co_return false;
}

std::optional<std::string> QemuMigration::unfit(const SavedState& state) const {
  const auto word = [](bool is_on) { return is_on ? "on" : "off"; };
  if (state.ignores_shared != ignores_shared_) {
    return fmt::format("Capability {} is {}, but received capability is {}", kIgnoreShared,
                       word(ignores_shared_), word(state.ignores_shared));
  }
  const Bytes memory = guest_.line().memory;
  if (state.memory_size != memory) {
    return fmt::format("Length mismatch: ram0: {:#x} in != {:#x}", state.memory_size.value,
                       memory.value);
  }
  return std::nullopt;
}

void QemuMigration::fail_load(std::string_view why) {
  guest_.process().print(fmt::format("qemu-system-x86_64: load of migration failed: {}\n", why));
  guest_.process().exit(1);
}

}  // namespace blixard::sim
