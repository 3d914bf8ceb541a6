#include "node/vm/qemu/kvm_verdict.h"

#include <utility>

#include <boost/json.hpp>

#include "base/limits.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormat = 1;

std::unexpected<Error> invalid(const char* what) {
  return fail(Code::kDataLoss, "verdict_invalid", std::string(what));
}

Result<std::string> text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  if (text == nullptr) return invalid("a text is missing");
  for (const char c : *text) {
    if (c < ' ' || c > '~') return invalid("a text is not printable");
  }
  return std::string(text->data(), text->size());
}

}  // namespace

std::string KvmVerdict::encode() const {
  return json::serialize(json::object{{"format", kFormat},
                                      {"boot_id", key.boot_id},
                                      {"version", key.version},
                                      {"module", key.module},
                                      {"boots", boots},
                                      {"finding", finding}});
}

Result<KvmVerdict> KvmVerdict::decode(std::string_view bytes) {
  if (bytes.size() > limits::kKvmVerdictBytes) return invalid("it is too large");
  json::error_code error;
  json::parse_options options;
  options.max_depth = 2;
  const json::value value = json::parse(bytes, error, {}, options);
  const json::object* object = value.if_object();
  if (error || object == nullptr) return invalid("it is no JSON object");
  const json::value* format = object->if_contains("format");
  const std::int64_t* number = format != nullptr ? format->if_int64() : nullptr;
  if (number == nullptr || *number != kFormat) return invalid("its format is another one");
  const json::value* boots = object->if_contains("boots");
  if (boots == nullptr || !boots->is_bool()) return invalid("it does not say whether");
  KvmVerdict verdict{.key = {}, .boots = boots->get_bool(), .finding = {}};
  BLX_TRY(verdict.key.boot_id, text_of(*object, "boot_id"));
  BLX_TRY(verdict.key.version, text_of(*object, "version"));
  BLX_TRY(verdict.key.module, text_of(*object, "module"));
  BLX_TRY(verdict.finding, text_of(*object, "finding"));
  return verdict;
}

env::Task<std::optional<KvmVerdict>> load_verdict(env::Disk& disk, std::string path, KvmKey key) {
  // A host that does not say when it was booted cannot have been asked before.
  if (key.boot_id.empty()) co_return std::nullopt;
  const auto bytes = co_await disk.read_file(std::move(path), limits::kKvmVerdictBytes);
  if (!bytes) co_return std::nullopt;
  auto verdict = KvmVerdict::decode(*bytes);
  if (!verdict || verdict->key != key) co_return std::nullopt;
  co_return *std::move(verdict);
}

env::Task<Result<void>> store_verdict(env::Disk& disk, std::string path, KvmVerdict verdict) {
  co_return co_await disk.replace_file(std::move(path), verdict.encode());
}

}  // namespace blixard::qemu
