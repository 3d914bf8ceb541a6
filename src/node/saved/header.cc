#include "node/saved/header.h"

#include <array>

#include <boost/json.hpp>

#include "base/limits.h"
#include "core/wire/little_endian.h"
#include "node/vm/json_fields.h"

namespace blixard::saved {
namespace {

namespace json = boost::json;

constexpr std::string_view kMark = "blxsaved";
constexpr std::size_t kPrefixBytes = 12;  // mark, length of the JSON
constexpr std::uint64_t kFormat = 1;
constexpr const char* kDamaged = "saved_guest_damaged";

std::unexpected<Error> damaged(std::string what) {
  return fail(Code::kDataLoss, kDamaged, std::move(what));
}

Result<Uuid> uuid_of(const vm::JsonFields& fields) {
  constexpr std::size_t kUuidBytes = 36;
  BLX_TRY(const std::string text, fields.text("uuid", kUuidBytes));
  const auto uuid = Uuid::parse(text);
  if (!uuid || uuid->is_nil()) return fields.invalid("the uuid is malformed");
  return *uuid;
}

Result<Header> read(const vm::JsonFields& fields) {
  Header header;
  BLX_TRY(header.cluster, fields.text("cluster", limits::kNameLength));
  BLX_TRY(const std::uint64_t vm, fields.number("vm"));
  header.vm = VmId(vm);
  BLX_TRY(header.uuid, uuid_of(fields));
  BLX_TRY(header.name, fields.text("name", limits::kNameLength));
  BLX_TRY(header.key, fields.digest_text("key"));
  BLX_TRY(const std::uint64_t memory, fields.number("memory_mib", limits::kMemoryMibMax));
  header.memory = mib(memory);
  BLX_TRY(header.accelerator, fields.accelerator("accelerator"));
  BLX_TRY(header.hypervisor_version, fields.text("hypervisor_version", limits::kWordBytes));
  BLX_TRY(header.tsc_khz, fields.number("tsc_khz"));
  BLX_TRY(const std::uint64_t saved, fields.number("saved_unix_ms"));
  header.saved = WallTime{static_cast<std::int64_t>(saved)};
  return header;
}

}  // namespace

std::string encode(const Header& header) {
  const std::string text = json::serialize(json::object{
      {"format", kFormat},
      {"cluster", header.cluster},
      {"vm", header.vm.value},
      {"uuid", header.uuid.text()},
      {"name", header.name},
      {"key", header.key},
      {"memory_mib", header.memory.mib()},
      {"accelerator", json::string_view(vm::accelerator_name(header.accelerator))},
      {"hypervisor_version", header.hypervisor_version},
      {"tsc_khz", header.tsc_khz},
      {"saved_unix_ms", header.saved.unix_ms},
  });
  std::array<char, kPrefixBytes - kMark.size()> length{};
  wire::store32(length.data(), static_cast<std::uint32_t>(text.size()));
  std::string bytes(kMark);
  bytes.append(length.data(), length.size());
  return bytes + text;
}

Result<Decoded> decode(std::string_view beginning) {
  if (beginning.size() < kPrefixBytes || !beginning.starts_with(kMark)) {
    return damaged("it does not begin as a saved guest does");
  }
  const std::size_t length = wire::load32(beginning.data() + kMark.size());
  if (length > kHeaderBytesMax - kPrefixBytes) return damaged("its header is too long");
  if (beginning.size() < kPrefixBytes + length) return damaged("its header is cut");
  constexpr std::size_t kDepth = 2;
  BLX_TRY(const json::object object, vm::parse_object(beginning.substr(kPrefixBytes, length),
                                                      kHeaderBytesMax, kDepth, kDamaged));
  const vm::JsonFields fields(object, kDamaged);
  BLX_TRY(const std::uint64_t format, fields.number("format"));
  if (format > kFormat) {
    return fail(Code::kFailedPrecondition, "saved_guest_newer",
                "it is of format " + std::to_string(format) + ", this program knows " +
                    std::to_string(kFormat));
  }
  if (format != kFormat) return damaged("its format is unknown");
  BLX_TRY(Header header, read(fields));
  return Decoded{std::move(header), kPrefixBytes + length};
}

}  // namespace blixard::saved
