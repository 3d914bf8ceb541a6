#include "node/vm/json_fields.h"

namespace blixard::vm {

namespace json = boost::json;

Result<json::object> parse_object(std::string_view bytes, std::size_t size_max,
                                  std::size_t depth_max, const char* reason) {
  if (bytes.size() > size_max) return fail(Code::kDataLoss, reason, "it is too large");
  json::error_code error;
  json::parse_options options;
  options.max_depth = depth_max;
  json::value value = json::parse(bytes, error, {}, options);
  if (error || !value.is_object()) return fail(Code::kDataLoss, reason, "it is no JSON object");
  return std::move(value.get_object());
}

Result<std::uint64_t> JsonFields::number(std::string_view key, std::uint64_t most) const {
  const json::value* value = object_.if_contains(key);
  if (value == nullptr || !(value->is_int64() || value->is_uint64())) {
    return invalid(std::string(key) + " is no number");
  }
  if (value->is_int64() && value->get_int64() < 0)
    return invalid(std::string(key) + " is negative");
  const auto number = value->to_number<std::uint64_t>();
  if (number > most) return invalid(std::string(key) + " is too large");
  return number;
}

Result<std::string> JsonFields::text(std::string_view key, std::size_t most) const {
  const json::value* value = object_.if_contains(key);
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  if (text == nullptr || text->size() > most) return invalid(std::string(key) + " is no text");
  for (const char c : *text)
    if (c < ' ' || c > '~') return invalid(std::string(key) + " is not printable");
  return std::string(text->data(), text->size());
}

Result<std::string> JsonFields::digest_text(std::string_view key) const {
  constexpr std::size_t kDigits = 64;
  BLX_TRY(std::string text, this->text(key, kDigits));
  if (!image::parse_digest(text)) return invalid(std::string(key) + " is malformed");
  return text;
}

Result<Accelerator> JsonFields::accelerator(std::string_view key) const {
  constexpr std::size_t kLongest = 16;
  BLX_TRY(const std::string name, text(key, kLongest));
  for (const Accelerator known : {Accelerator::kTcg, Accelerator::kKvm, Accelerator::kSimulated}) {
    if (name == accelerator_name(known)) return known;
  }
  return invalid("the accelerator is unknown");
}

}  // namespace blixard::vm
