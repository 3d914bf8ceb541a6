#include "node/api/openapi.h"

#include <map>
#include <memory>
#include <set>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include "blixard/v1/annotations.pb.h"
#include "blixard/v1/api.pb.h"
#include "blixard/v1/descriptor_set.h"
#include "node/api/json.h"
#include "node/api/problems.h"

namespace blixard::api {
namespace {

namespace json = boost::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

// Descriptors with comments, from the embedded set; generated ones have none.
class Comments {
 public:
  Comments() {
    google::protobuf::FileDescriptorSet files;
    if (!files.ParseFromArray(v1::descriptor_set().data(),
                              static_cast<int>(v1::descriptor_set().size()))) {
      return;
    }
    for (const auto& file : files.file())
      pool_.BuildFile(file);
  }

  [[nodiscard]] std::string of(const Descriptor& type) const {
    const auto* found = pool_.FindMessageTypeByName(type.full_name());
    return found == nullptr ? "" : text_of(*found);
  }
  [[nodiscard]] std::string of(const FieldDescriptor& field) const {
    const auto* found = pool_.FindFieldByName(field.full_name());
    return found == nullptr ? "" : text_of(*found);
  }

 private:
  template <class T>
  static std::string text_of(const T& descriptor) {
    google::protobuf::SourceLocation location;
    if (!descriptor.GetSourceLocation(&location)) return "";
    std::string text =
        location.leading_comments.empty() ? location.trailing_comments : location.leading_comments;
    std::string line;  // comments are wrapped for the eye; a description is one line
    for (const char c : text) {
      if (c != '\n') {
        line += c;
      } else if (!line.ends_with(' ')) {
        line += ' ';
      }
    }
    const auto first = line.find_first_not_of(' ');
    if (first == std::string::npos) return "";
    line = line.substr(first, line.find_last_not_of(' ') - first + 1);
    for (auto twice = line.find("  "); twice != std::string::npos; twice = line.find("  ")) {
      line.erase(twice, 1);
    }
    return line;
  }

  google::protobuf::DescriptorPool pool_;
};

json::value parsed(const std::string& text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  return error ? json::value(text) : value;
}

json::object reference(const Descriptor& type) {
  return {{"$ref", "#/components/schemas/" + type.name()}};
}

json::object type_of(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return {{"type", "integer"}, {"minimum", 0}};
    case FieldDescriptor::CPPTYPE_INT64:
      return {{"type", "integer"}};
    case FieldDescriptor::CPPTYPE_ENUM: {
      json::array values;
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        const auto& value = *field.enum_type()->value(i);
        if (value.number() != 0) values.push_back(json::string(enum_text(value)));
      }
      return {{"type", "string"}, {"enum", std::move(values)}};
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return reference(*field.message_type());
    default:
      return {{"type", "string"}};
  }
}

class Document {
 public:
  explicit Document(std::span<const Route> routes) : routes_(routes) {}

  json::object build(std::string_view version) {
    json::object paths;
    for (const Route& route : routes_) {
      json::object& path = child(paths, route.pattern);
      std::string method(http::method_name(route.method));
      for (char& c : method)
        c = static_cast<char>(c - 'A' + 'a');
      path[method] = operation(route);
    }
    add_schema(*v1::Problem::descriptor());
    return {
        {"openapi", "3.1.0"},
        {"info",
         {{"title", "Blixard"},
          {"version", version},
          {"description",
           "MicroVMs across machines. Every error is application/problem+json with a stable code "
           "and what to do about it."}}},
        {"paths", std::move(paths)},
        {"components",
         {{"schemas", std::move(schemas_)},
          {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}},
        {"security", json::array{json::object{{"token", json::array{}}}}},
    };
  }

 private:
  static json::object& child(json::object& parent, std::string_view key) {
    if (!parent.contains(key)) parent[key] = json::object();
    return parent[key].get_object();
  }

  json::object operation(const Route& route) {
    json::object object{{"operationId", route.name}, {"summary", route.summary}};
    if (route.access == Access::kEveryone) object["security"] = json::array{json::object{}};
    if (auto list = parameters(route); !list.empty()) object["parameters"] = std::move(list);
    if (route.request != nullptr) {
      add_schema(*route.request->GetDescriptor());
      object["requestBody"] = {
          {"required", true},
          {"content", content("application/json", reference(*route.request->GetDescriptor()))}};
    }
    object["responses"] = responses(route);
    return object;
  }

  static json::array parameters(const Route& route) {
    json::array list;
    const auto add = [&](std::string_view name, std::string_view in, std::string_view description,
                         json::value schema) {
      list.push_back(json::object{{"name", name},
                                  {"in", in},
                                  {"required", in == "path"},
                                  {"description", description},
                                  {"schema", std::move(schema)}});
    };
    if (route.pattern.contains("{name}")) {
      add("name", "path", "Name of the object.",
          {{"type", "string"}, {"pattern", "^[a-z0-9-]{1,63}$"}});
    }
    for (const auto& known : parameter_descriptions()) {
      if ((route.parameters & known.parameter) == 0) continue;
      add(known.name, "query", known.description, parsed(std::string(known.schema)));
    }
    if (route.is_mutation) {
      add("Idempotency-Key", "header",
          "A UUID; a request that is repeated with the same one acts once. The answer names the "
          "one that was used.",
          {{"type", "string"}, {"format", "uuid"}});
    }
    return list;
  }

  static json::object content(std::string_view type, json::value schema) {
    return {{type, {{"schema", std::move(schema)}}}};
  }

  json::object responses(const Route& route) {
    json::value schema = {{"type", "string"}};
    if (route.response != nullptr) {
      add_schema(*route.response->GetDescriptor());
      schema = reference(*route.response->GetDescriptor());
    } else if (route.content_type == "application/json") {
      schema = {{"type", "object"}};
    }
    json::object object;
    json::object success{{"description", http::status_text(route.status)},
                         {"content", content(route.content_type, std::move(schema))}};
    if (route.status == 202) {
      // Waited for.
      object["200"] = success;
    }
    object[std::to_string(route.status)] = std::move(success);
    for (auto& [status, codes] : errors(route)) {
      object[std::to_string(status)] = {
          {"description", codes},
          {"content", content("application/problem+json", reference(*v1::Problem::descriptor()))}};
    }
    object["default"] = {
        {"description", "Any other error"},
        {"content", content("application/problem+json", reference(*v1::Problem::descriptor()))}};
    return object;
  }

  // Codes by status.
  static std::map<int, std::string> errors(const Route& route) {
    std::string all(route.errors);
    if (route.access == Access::kAuthorized) all += " token_required";
    if (route.request != nullptr) all += " body_invalid content_type_unsupported";
    if ((route.parameters & kWait) != 0) all += " vm_failed wait_impossible wait_timeout";
    std::map<int, std::string> by_status;
    for (std::size_t begin = 0; begin < all.size();) {
      const auto end = std::min(all.find(' ', begin), all.size());
      const std::string reason = all.substr(begin, end - begin);
      begin = end + 1;
      const ProblemRow* row = find_problem(reason);
      if (row == nullptr) continue;
      std::string& codes = by_status[row->status];
      codes += codes.empty() ? reason : ", " + reason;
    }
    return by_status;
  }

  void add_schema(const Descriptor& type) {
    if (schemas_.contains(type.name())) return;
    schemas_[type.name()] = json::object();  // first, against circles
    json::object properties;
    json::array required;
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      properties[field.name()] = property(field);
      if (field.options().GetExtension(v1::rules).required()) {
        required.push_back(json::string(field.name()));
      }
    }
    json::object schema{{"type", "object"}, {"additionalProperties", false}};
    if (const auto text = comments_.of(type); !text.empty()) schema["description"] = text;
    schema["properties"] = std::move(properties);
    if (!required.empty()) schema["required"] = std::move(required);
    schemas_[type.name()] = std::move(schema);
  }

  json::object property(const FieldDescriptor& field) {
    if (field.message_type() != nullptr) add_schema(*field.message_type());
    const auto& rules = field.options().GetExtension(v1::rules);
    json::object schema = type_of(field);
    if (rules.has_minimum()) schema["minimum"] = rules.minimum();
    if (rules.has_maximum()) schema["maximum"] = rules.maximum();
    if (rules.has_length_max()) schema["maxLength"] = rules.length_max();
    if (!rules.pattern().empty()) schema["pattern"] = rules.pattern();
    if (!rules.format().empty()) schema["format"] = rules.format();
    if (field.is_repeated()) {
      schema = {{"type", "array"}, {"items", std::move(schema)}};
      if (rules.has_items_max()) schema["maxItems"] = rules.items_max();
    }
    if (const auto text = comments_.of(field); !text.empty()) schema["description"] = text;
    if (!rules.default_value().empty()) schema["default"] = parsed(rules.default_value());
    if (!rules.example().empty()) schema["examples"] = json::array{parsed(rules.example())};
    return schema;
  }

  std::span<const Route> routes_;
  Comments comments_;
  json::object schemas_;
};

}  // namespace

std::string openapi_document(std::span<const Route> routes, std::string_view version) {
  return json::serialize(Document(routes).build(version));
}

}  // namespace blixard::api
