#include "node/template/manifest.h"

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/vm/json_fields.h"

namespace blixard::templates {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kTscTolerance = 10'000;  // a part in so many

constexpr const char* kInvalid = "manifest_invalid";

std::unexpected<Error> invalid(std::string what) {
  return fail(Code::kDataLoss, kInvalid, std::move(what));
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
    const vm::JsonFields fields(*file, kInvalid);
    vm::TemplateFile read;
    BLX_TRY(read.name, fields.text("name", limits::kNameLength));
    BLX_TRY(const std::uint64_t size, fields.number("size", limits::kTemplateFileBytes));
    read.size = Bytes(size);
    BLX_TRY(const std::string digest, fields.digest_text("blake3"));
    read.digest = *image::parse_digest(digest);
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
  constexpr std::size_t kDepth = 4;
  BLX_TRY(const json::object object,
          vm::parse_object(bytes, limits::kTemplateManifestBytes, kDepth, kInvalid));
  const vm::JsonFields fields(object, kInvalid);
  BLX_TRY(const std::uint64_t format, fields.number("format"));
  if (format > kFormat) {
    return fail(Code::kFailedPrecondition, "manifest_newer",
                "it is of format " + std::to_string(format) + ", this program knows " +
                    std::to_string(kFormat));
  }
  if (format != kFormat) return invalid("its format is unknown");
  Manifest manifest;
  BLX_TRY(manifest.key, fields.digest_text("key"));
  BLX_TRY(manifest.image, fields.text("image", limits::kNameLength));
  BLX_TRY(const std::uint64_t vcpus, fields.number("vcpus", limits::kVcpus));
  manifest.vcpus = static_cast<std::uint32_t>(vcpus);
  BLX_TRY(const std::uint64_t memory, fields.number("memory_mib", limits::kMemoryMibMax));
  manifest.memory = mib(memory);
  BLX_TRY(manifest.accelerator, fields.accelerator("accelerator"));
  BLX_TRY(manifest.tsc_khz, fields.number("tsc_khz"));
  BLX_TRY(const std::uint64_t made, fields.number("made_unix_ms"));
  manifest.made = WallTime{static_cast<std::int64_t>(made)};
  BLX_TRY(manifest.files, files_of(object));
  return manifest;
}

bool tsc_agrees(std::uint64_t saved_khz, std::uint64_t here_khz) {
  const std::uint64_t apart = saved_khz > here_khz ? saved_khz - here_khz : here_khz - saved_khz;
  return apart <= saved_khz / kTscTolerance;
}

}  // namespace blixard::templates
