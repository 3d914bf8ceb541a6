#include "node/vm/qemu/qmp.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

std::unexpected<Error> malformed(const char* what) {
  return fail(Code::kDataLoss, "qmp_malformed", std::string(what));
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string(text->data(), text->size()) : std::string();
}

std::optional<std::uint64_t> number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return std::nullopt;
  if (const std::uint64_t* large = value->if_uint64()) return *large;
  const std::int64_t* number = value->if_int64();
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

const json::object* object_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr ? value->if_object() : nullptr;
}

Result<Message> greeting(const json::object& object) {
  const json::object* body = object_of(object, "QMP");
  const json::object* version = body != nullptr ? object_of(*body, "version") : nullptr;
  const json::object* qemu = version != nullptr ? object_of(*version, "qemu") : nullptr;
  if (qemu == nullptr) return malformed("a greeting without a version");
  const auto major = number_of(*qemu, "major");
  const auto minor = number_of(*qemu, "minor");
  const auto micro = number_of(*qemu, "micro");
  if (!major || !minor || !micro) return malformed("a greeting with a broken version");
  return Greeting{fmt::format("{}.{}.{}", *major, *minor, *micro)};
}

Result<Message> command_error(const json::object& object) {
  const json::object* body = object_of(object, "error");
  if (body == nullptr) return malformed("an error that is no object");
  return CommandError{number_of(object, "id"), text_of(*body, "class"), text_of(*body, "desc")};
}

Result<Message> event(const json::object& object) {
  Event event{text_of(object, "event"), {}};
  if (event.name.empty()) return malformed("an event without a name");
  if (const json::object* data = object_of(object, "data")) event.data = *data;
  return event;
}

}  // namespace

Result<Message> parse_qmp_line(std::string_view line) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = limits::kQmpDepth;
  const json::value value = json::parse(line, error, {}, options);
  const json::object* object = value.if_object();
  if (error || object == nullptr) return malformed("a line that is no JSON object");
  if (object->contains("QMP")) return greeting(*object);
  if (object->contains("event")) return event(*object);
  if (object->contains("error")) return command_error(*object);
  if (const json::value* returned = object->if_contains("return")) {
    const auto id = number_of(*object, "id");
    if (!id) return malformed("an answer without our id");
    return Return{*id, *returned};
  }
  return malformed("a line of no known kind");
}

Result<void> QmpDecoder::feed(std::string_view bytes) {
  if (failed_) return malformed("the stream was broken before");
  if (begin_ != 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  buffer_ += bytes;
  const std::size_t last_newline = buffer_.rfind('\n');
  const std::size_t open_line = last_newline == std::string::npos ? 0 : last_newline + 1;
  if (buffer_.size() - open_line > limits::kQmpLineBytes) {
    failed_ = true;
    return fail(Code::kDataLoss, "qmp_line_too_long");
  }
  return {};
}

Result<std::optional<Message>> QmpDecoder::next() {
  if (failed_) return malformed("the stream was broken before");
  for (;;) {
    const std::size_t newline = buffer_.find('\n', scanned_);
    if (newline == std::string::npos) {
      scanned_ = buffer_.size();
      return std::nullopt;
    }
    std::string_view line = std::string_view(buffer_).substr(begin_, newline - begin_);
    begin_ = scanned_ = newline + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    Result<Message> message = parse_qmp_line(line);
    if (!message) {
      failed_ = true;
      return std::unexpected(std::move(message).error());
    }
    return std::optional<Message>(*std::move(message));
  }
}

std::string encode_command(std::string_view command, const json::object& arguments,
                           std::uint64_t id) {
  json::object object{{"execute", json::string_view(command)}};
  if (!arguments.empty()) object["arguments"] = arguments;
  object["id"] = id;
  return json::serialize(object) + "\n";
}

}  // namespace blixard::qemu
