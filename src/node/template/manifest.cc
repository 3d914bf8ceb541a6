#include "node/template/manifest.h"

#include <limits>

#include <boost/json.hpp>

#include "base/limits.h"

namespace blixard::templates {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kTscTolerance = 10'000;  // a part in so many

std::unexpected<Error> invalid(std::string what) {
  return fail(Code::kDataLoss, "manifest_invalid", std::move(what));
}

Result<std::uint64_t> number_of(const json::object& object, std::string_view key,
                                std::uint64_t most) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !(value->is_int64() || value->is_uint64())) {
    return invalid(std::string(key) + " is no number");
  }
  if (value->is_int64() && value->get_int64() < 0)
    return invalid(std::string(key) + " is negative");
  const auto number = value->to_number<std::uint64_t>();
  if (number > most) return invalid(std::string(key) + " is too large");
  return number;
}

Result<std::string> text_of(const json::object& object, std::string_view key, std::size_t most) {
  const json::value* value = object.if_contains(key);
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  if (text == nullptr || text->size() > most) return invalid(std::string(key) + " is no text");
  for (const char c : *text)
    if (c < ' ' || c > '~') return invalid(std::string(key) + " is not printable");
  return std::string(text->data(), text->size());
}

Result<vm::Accelerator> accelerator_of(const json::object& object) {
  BLX_TRY(const std::string name, text_of(object, "accelerator", limits::kNameLength));
  for (const auto known :
       {vm::Accelerator::kTcg, vm::Accelerator::kKvm, vm::Accelerator::kSimulated}) {
    if (name == vm::accelerator_name(known)) return known;
  }
  return invalid("the accelerator is unknown");
}

Result<std::vector<vm::TemplateFile>> files_of(const json::object& object) {
  const json::value* value = object.if_contains("files");
  const json::array* array = value != nullptr ? value->if_array() : nullptr;
  if (array == nullptr || array->empty() || array->size() > limits::kTemplateFiles) {
    return invalid("the files are missing or too many");
  }
  std::vector<vm::TemplateFile> files;
  for (const json::value& entry : *array) {
    const json::object* file = entry.if_object();
    if (file == nullptr) return invalid("a file is no object");
    vm::TemplateFile read;
    BLX_TRY(read.name, text_of(*file, "name", limits::kNameLength));
    BLX_TRY(const std::uint64_t size, number_of(*file, "size", limits::kTemplateFileBytes));
    read.size = Bytes(size);
    BLX_TRY(const std::string digest, text_of(*file, "blake3", 64));
    const auto parsed = image::parse_digest(digest);
    if (!parsed) return invalid("a digest is malformed");
    read.digest = *parsed;
    files.push_back(std::move(read));
  }
  return files;
}

}  // namespace

std::string_view Manifest::accelerator_text() const { return vm::accelerator_name(accelerator); }

std::string Manifest::encode() const {
  json::array entries;
  for (const vm::TemplateFile& file : files) {
    entries.push_back({{"name", file.name},
                       {"size", file.size.value},
                       {"blake3", image::digest_text(file.digest)}});
  }
  return json::serialize(json::object{
      {"format", kFormat},
      {"key", key},
      {"image", image},
      {"vcpus", vcpus},
      {"memory_mib", memory.mib()},
      {"accelerator", json::string_view(accelerator_text())},
      {"tsc_khz", tsc_khz},
      {"made_unix_ms", made.unix_ms},
      {"files", std::move(entries)},
  });
}

Result<Manifest> Manifest::decode(std::string_view bytes) {
  if (bytes.size() > limits::kTemplateManifestBytes) return invalid("it is too large");
  json::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  const json::value value = json::parse(bytes, error, {}, options);
  const json::object* object = value.if_object();
  if (error || object == nullptr) return invalid("it is no JSON object");
  constexpr std::uint64_t kAny = std::numeric_limits<std::int64_t>::max();
  BLX_TRY(const std::uint64_t format, number_of(*object, "format", kAny));
  if (format > kFormat) {
    return fail(Code::kFailedPrecondition, "manifest_newer",
                "it is of format " + std::to_string(format) + ", this program knows " +
                    std::to_string(kFormat));
  }
  if (format != kFormat) return invalid("its format is unknown");
  Manifest manifest;
  BLX_TRY(manifest.key, text_of(*object, "key", 64));
  if (!image::parse_digest(manifest.key)) return invalid("its key is malformed");
  BLX_TRY(manifest.image, text_of(*object, "image", limits::kNameLength));
  BLX_TRY(const std::uint64_t vcpus, number_of(*object, "vcpus", limits::kVcpus));
  manifest.vcpus = static_cast<std::uint32_t>(vcpus);
  BLX_TRY(const std::uint64_t memory, number_of(*object, "memory_mib", limits::kMemoryMibMax));
  manifest.memory = mib(memory);
  BLX_TRY(manifest.accelerator, accelerator_of(*object));
  BLX_TRY(manifest.tsc_khz, number_of(*object, "tsc_khz", kAny));
  BLX_TRY(const std::uint64_t made, number_of(*object, "made_unix_ms", kAny));
  manifest.made = WallTime{static_cast<std::int64_t>(made)};
  BLX_TRY(manifest.files, files_of(*object));
  return manifest;
}

bool tsc_agrees(std::uint64_t saved_khz, std::uint64_t here_khz) {
  const std::uint64_t apart = saved_khz > here_khz ? saved_khz - here_khz : here_khz - saved_khz;
  return apart <= saved_khz / kTscTolerance;
}

}  // namespace blixard::templates
