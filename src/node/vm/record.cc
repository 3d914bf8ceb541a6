// The record's form on disk: one JSON object. Unknown fields are ignored, so that an older daemon
// can still adopt what a newer one started.

#include <limits>

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/vm/driver.h"

namespace blixard::vm {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFormat = 1;

std::unexpected<Error> invalid(const char* what) {
  return fail(Code::kDataLoss, "record_invalid", std::string(what));
}

Result<std::uint64_t> number_of(const json::object& object, std::string_view key,
                                std::uint64_t max = std::numeric_limits<std::uint64_t>::max()) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return invalid("a number is missing");
  std::uint64_t number = 0;
  if (const std::int64_t* small = value->if_int64(); small != nullptr && *small >= 0) {
    number = static_cast<std::uint64_t>(*small);
  } else if (const std::uint64_t* large = value->if_uint64(); large != nullptr) {
    number = *large;
  } else {
    return invalid("a field is no number");
  }
  if (number > max) return invalid("a number is too large");
  return number;
}

Result<std::string> text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const json::string* string = value != nullptr ? value->if_string() : nullptr;
  if (string == nullptr) return invalid("a text is missing");
  return std::string(string->data(), string->size());
}

Result<std::vector<Publish>> published_of(const json::object& object) {
  const json::value* value = object.if_contains("published");
  const json::array* array = value != nullptr ? value->if_array() : nullptr;
  if (array == nullptr || array->size() > limits::kPublishedPorts) {
    return invalid("the published ports are missing or too many");
  }
  constexpr std::uint64_t kPortMax = std::numeric_limits<std::uint16_t>::max();
  std::vector<Publish> ports;
  for (const json::value& entry : *array) {
    const json::object* port = entry.if_object();
    if (port == nullptr) return invalid("a published port is no object");
    BLX_TRY(const std::uint64_t host, number_of(*port, "host_port", kPortMax));
    BLX_TRY(const std::uint64_t guest, number_of(*port, "guest_port", kPortMax));
    ports.push_back({static_cast<std::uint16_t>(host), static_cast<std::uint16_t>(guest)});
  }
  return ports;
}

Result<Accelerator> accelerator_of(const json::object& object) {
  BLX_TRY(const std::string name, text_of(object, "accelerator"));
  for (const Accelerator known : {Accelerator::kTcg, Accelerator::kKvm, Accelerator::kSimulated}) {
    if (name == accelerator_name(known)) return known;
  }
  return invalid("the accelerator is unknown");
}

}  // namespace

std::string Record::encode() const {
  json::array ports;
  for (const Publish& port : published) {
    ports.push_back({{"host_port", port.host_port}, {"guest_port", port.guest_port}});
  }
  const json::object object{
      {"format", kFormat},
      {"id", id.value},
      {"generation", generation.value},
      {"uuid", uuid.text()},
      {"name", name},
      {"directory", directory},
      {"group", group},
      {"published", std::move(ports)},
      {"accelerator", json::string_view(accelerator_name(accelerator))},
      {"pid", process.pid},
      {"start_ticks", process.start_ticks},
      {"template", template_key},
      {"resumed", is_resumed},
      {"standby", standby.is_nil() ? std::string() : standby.text()},
  };
  return json::serialize(object);
}

Result<Record> Record::decode(std::string_view bytes) {
  if (bytes.size() > limits::kVmRecordBytes) return invalid("it is too large");
  json::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  const json::value value = json::parse(bytes, error, {}, options);
  const json::object* object = value.if_object();
  if (error || object == nullptr) return invalid("it is no JSON object");
  BLX_TRY(const std::uint64_t format, number_of(*object, "format"));
  if (format != kFormat) return invalid("its format is of another version");

  Record record;
  BLX_TRY(const std::uint64_t id, number_of(*object, "id"));
  record.id = VmId(id);
  if (!record.id) return invalid("it has no id");
  BLX_TRY(const std::uint64_t generation, number_of(*object, "generation"));
  record.generation = Generation(generation);
  BLX_TRY(const std::string uuid_text, text_of(*object, "uuid"));
  const std::optional<Uuid> uuid = Uuid::parse(uuid_text);
  if (!uuid) return invalid("its uuid is malformed");
  record.uuid = *uuid;
  BLX_TRY(record.name, text_of(*object, "name"));
  BLX_TRY(record.directory, text_of(*object, "directory"));
  BLX_TRY(record.group, text_of(*object, "group"));
  BLX_TRY(record.published, published_of(*object));
  BLX_TRY(record.accelerator, accelerator_of(*object));
  constexpr std::uint64_t kPidMax = std::numeric_limits<std::int32_t>::max();
  BLX_TRY(const std::uint64_t pid, number_of(*object, "pid", kPidMax));
  record.process.pid = static_cast<std::int64_t>(pid);
  BLX_TRY(record.process.start_ticks, number_of(*object, "start_ticks"));
  if (object->contains("template")) {
    BLX_TRY(record.template_key, text_of(*object, "template"));
    const bool is_key = image::parse_digest(record.template_key).has_value();
    if (!record.template_key.empty() && !is_key) return invalid("its template's key is malformed");
  }
  if (const json::value* resumed = object->if_contains("resumed")) {
    if (!resumed->is_bool()) return invalid("a field is neither true nor false");
    record.is_resumed = resumed->get_bool();
  }
  if (object->contains("standby")) {
    BLX_TRY(const std::string standby_text, text_of(*object, "standby"));
    const std::optional<Uuid> standby = Uuid::parse(standby_text);
    if (!standby_text.empty() && !standby) return invalid("its process' uuid is malformed");
    if (standby) record.standby = *standby;
  }
  return record;
}

}  // namespace blixard::vm
