#include "node/api/json.h"

#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/annotations.pb.h"

namespace blixard::api {
namespace {

namespace json = boost::json;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// All of a document's values are in one piece of memory that goes away at once.
using Storage = json::storage_ptr;

json::object object_of(const Message& message, const Storage& storage);

json::value single_value(const Message& message, const FieldDescriptor& field,
                         const Storage& storage) {
  const Reflection& access = *message.GetReflection();
  std::string scratch;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return json::string(access.GetStringReference(message, &field, &scratch), storage);
    case FieldDescriptor::CPPTYPE_BOOL:
      return access.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return access.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return access.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_INT32:
      return access.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return access.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return json::string(enum_text(*access.GetEnum(message, &field)), storage);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return object_of(access.GetMessage(message, &field), storage);
    default:
      return nullptr;  // kinds the schema does not use; a test of the OpenAPI document sees to it
  }
}

json::array list_value(const Message& message, const FieldDescriptor& field,
                       const Storage& storage) {
  const Reflection& access = *message.GetReflection();
  const int size = access.FieldSize(message, &field);
  json::array list(storage);
  list.reserve(static_cast<std::size_t>(size));
  std::string scratch;
  for (int i = 0; i < size; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      list.push_back(object_of(access.GetRepeatedMessage(message, &field, i), storage));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      list.emplace_back(access.GetRepeatedStringReference(message, &field, i, &scratch));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      list.emplace_back(access.GetRepeatedUInt32(message, &field, i));
    }
  }
  return list;
}

// A choice that was not made is left out, as what has no value is.
bool is_shown(const Message& message, const FieldDescriptor& field) {
  const Reflection& access = *message.GetReflection();
  if (field.has_presence()) return access.HasField(message, &field);
  return field.cpp_type() != FieldDescriptor::CPPTYPE_ENUM ||
         access.GetEnumValue(message, &field) != 0;
}

json::object object_of(const Message& message, const Storage& storage) {
  json::object object(storage);
  const auto& type = *message.GetDescriptor();
  object.reserve(static_cast<std::size_t>(type.field_count()));
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated()) {
      object.emplace(field.name(), list_value(message, field, storage));
    } else if (is_shown(message, field)) {
      object.emplace(field.name(), single_value(message, field, storage));
    }
  }
  return object;
}

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, "body_invalid", std::move(detail));
}

std::string enum_choices(const EnumDescriptor& type) {
  std::string choices;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    if (!choices.empty()) choices += ", ";
    choices += enum_text(*type.value(i));
  }
  return choices;
}

// Reads one message; `path_` says where it is, for errors.
class Reader {
 public:
  Result<void> read(const json::value& value, Message& message) {
    if (!value.is_object()) {
      return invalid(path_.empty() ? "the body must be a JSON object"
                                   : path_ + " must be an object");
    }
    const auto& type = *message.GetDescriptor();
    for (const auto& [key, member] : value.get_object()) {
      const std::string name(key);
      const FieldDescriptor* field = type.FindFieldByName(name);
      if (field == nullptr) return unknown_member(name, type);
      const std::string before = std::exchange(path_, path_.empty() ? name : path_ + "." + name);
      BLX_TRY(field->is_repeated() ? read_list(member, message, *field)
                                   : read_single(member, message, *field));
      path_ = before;
    }
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const bool is_required = field.options().GetExtension(v1::rules).required();
      if (is_required && !value.get_object().contains(field.name())) {
        return invalid(
            fmt::format("{}{}{} is required", path_, path_.empty() ? "" : ".", field.name()));
      }
    }
    return {};
  }

 private:
  std::unexpected<Error> unknown_member(const std::string& name,
                                        const google::protobuf::Descriptor& type) {
    std::string known;
    for (int i = 0; i < type.field_count(); ++i) {
      if (i > 0) known += ", ";
      known += type.field(i)->name();
    }
    return invalid(fmt::format("{}{}{} is unknown; possible are {}", path_,
                               path_.empty() ? "" : ".", name.substr(0, 64), known));
  }

  Result<void> read_list(const json::value& value, Message& message, const FieldDescriptor& field) {
    const auto& rules = field.options().GetExtension(v1::rules);
    if (!value.is_array()) return invalid(path_ + " must be a list");
    if (rules.has_items_max() && value.get_array().size() > rules.items_max()) {
      return invalid(fmt::format("{} may have {} items at most", path_, rules.items_max()));
    }
    std::size_t index = 0;
    for (const auto& item : value.get_array()) {
      const std::string before = std::exchange(path_, fmt::format("{}[{}]", path_, index++));
      BLX_TRY(read_item(item, message, field));
      path_ = before;
    }
    return {};
  }

  Result<void> read_item(const json::value& item, Message& message, const FieldDescriptor& field) {
    const Reflection& access = *message.GetReflection();
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
      return read(item, *access.AddMessage(&message, &field));
    }
    BLX_TRY(auto text, string_of(item, field));
    access.AddString(&message, &field, std::move(text));
    return {};
  }

  Result<void> read_single(const json::value& value, Message& message,
                           const FieldDescriptor& field) {
    const Reflection& access = *message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING: {
        BLX_TRY(auto text, string_of(value, field));
        access.SetString(&message, &field, std::move(text));
        return {};
      }
      case FieldDescriptor::CPPTYPE_BOOL: {
        if (!value.is_bool()) return invalid(path_ + " must be true or false");
        access.SetBool(&message, &field, value.get_bool());
        return {};
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        BLX_TRY(const std::uint64_t number, number_of(value, field));
        access.SetUInt32(&message, &field, static_cast<std::uint32_t>(number));
        return {};
      }
      case FieldDescriptor::CPPTYPE_INT64: {
        BLX_TRY(const std::uint64_t number, number_of(value, field));
        access.SetInt64(&message, &field, static_cast<std::int64_t>(number));
        return {};
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        BLX_TRY(const std::int32_t number, signed_of(value));
        access.SetInt32(&message, &field, number);
        return {};
      }
      case FieldDescriptor::CPPTYPE_ENUM: {
        BLX_TRY(const int number, choice_of(value, field));
        access.SetEnumValue(&message, &field, number);
        return {};
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return read(value, *access.MutableMessage(&message, &field));
      default:
        return invalid(path_ + " cannot be set");
    }
  }

  Result<std::string> string_of(const json::value& value, const FieldDescriptor& field) {
    const auto& rules = field.options().GetExtension(v1::rules);
    if (!value.is_string()) return invalid(path_ + " must be a string");
    const auto& text = value.get_string();
    if (rules.has_length_max() && text.size() > rules.length_max()) {
      return invalid(fmt::format("{} may have {} bytes at most", path_, rules.length_max()));
    }
    return std::string(text);
  }

  Result<std::uint64_t> number_of(const json::value& value, const FieldDescriptor& field) {
    const auto& rules = field.options().GetExtension(v1::rules);
    const std::uint64_t low = rules.minimum();
    const std::uint64_t high =
        rules.has_maximum() ? rules.maximum() : std::numeric_limits<std::uint32_t>::max();
    const std::int64_t* number = value.if_int64();
    if (number == nullptr || *number < 0 || static_cast<std::uint64_t>(*number) < low ||
        static_cast<std::uint64_t>(*number) > high) {
      return invalid(fmt::format("{} must be a whole number from {} to {}", path_, low, high));
    }
    return static_cast<std::uint64_t>(*number);
  }

  // Of which the model knows the bounds.
  Result<std::int32_t> signed_of(const json::value& value) {
    const std::int64_t* number = value.if_int64();
    if (number == nullptr || !std::in_range<std::int32_t>(*number)) {
      return invalid(path_ + " must be a whole number");
    }
    return static_cast<std::int32_t>(*number);
  }

  Result<int> choice_of(const json::value& value, const FieldDescriptor& field) {
    const EnumDescriptor& type = *field.enum_type();
    for (int i = 0; value.is_string() && i < type.value_count(); ++i) {
      const auto& choice = *type.value(i);
      if (choice.number() != 0 && enum_text(choice) == std::string_view(value.get_string())) {
        return choice.number();
      }
    }
    return invalid(fmt::format("{} must be one of {}", path_, enum_choices(type)));
  }

  std::string path_;
};

}  // namespace

std::string enum_text(const google::protobuf::EnumValueDescriptor& value) {
  // The value 0 is named <PREFIX>_UNSPECIFIED.
  constexpr std::string_view kZero = "UNSPECIFIED";
  const std::string& zero = value.type()->value(0)->name();
  std::string text = value.name().substr(zero.size() - kZero.size());
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return text;
}

std::string to_json(const Message& message) {
  json::monotonic_resource storage;
  return json::serialize(object_of(message, &storage));
}

Result<void> from_json(std::string_view text, Message& message) {
  boost::system::error_code error;
  json::monotonic_resource storage;
  const json::value document =
      json::parse(text, error, &storage, {.max_depth = limits::kJsonDepth});
  if (error) return invalid("the body is not JSON: " + error.message());
  return Reader().read(document, message);
}

}  // namespace blixard::api
