#include "node/image/source.h"

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::image {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFormat = 1;
constexpr std::size_t kDepth = 8;

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kInvalidArgument, "image_json_invalid", std::move(detail));
}

Result<std::string> text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) {
    return invalid(fmt::format("{} must be a string", key));
  }
  return std::string(value->get_string());
}

Result<std::uint64_t> size_of(const json::object& object, std::string_view file,
                              std::string_view key) {
  const json::value* value = object.if_contains(key);
  const std::int64_t* number = value == nullptr ? nullptr : value->if_int64();
  if (number == nullptr || *number <= 0) {
    return invalid(fmt::format("files.{}.{} must be a number above 0", file, key));
  }
  const auto bytes = static_cast<std::uint64_t>(*number);
  if (bytes > limits::kImageUnpackedBytes) {
    return fail(Code::kResourceExhausted, "image_too_large",
                fmt::format("{} of {} bytes; at most {} are taken", file, bytes,
                            limits::kImageUnpackedBytes));
  }
  return bytes;
}

Result<SourceFile> file_of(const json::object& files, std::string_view name, bool is_packed) {
  const json::value* value = files.if_contains(name);
  if (value == nullptr || !value->is_object()) {
    return invalid(fmt::format("files.{} must be an object", name));
  }
  const json::object& object = value->get_object();
  SourceFile file;
  BLX_TRY(file.bytes, size_of(object, name, "bytes"));
  file.unpacked_bytes = file.bytes;
  if (is_packed) {
    BLX_TRY(file.unpacked_bytes, size_of(object, name, "unpacked_bytes"));
  }
  return file;
}

}  // namespace

Result<Source> parse_source(std::string_view text) {
  boost::system::error_code error;
  const json::value document = json::parse(text, error, {}, {.max_depth = kDepth});
  if (error) return invalid("not JSON: " + error.message());
  if (!document.is_object()) return invalid("the document must be an object");
  const json::object& object = document.get_object();
  const json::value* format = object.if_contains("format");
  const std::int64_t* number = format == nullptr ? nullptr : format->if_int64();
  if (number == nullptr) return invalid("format must be a number");
  if (*number != kFormat) {
    return fail(Code::kFailedPrecondition, "image_format_unknown",
                fmt::format("format {}, this program knows {}", *number, kFormat));
  }
  Source source;
  BLX_TRY(source.name, text_of(object, "name"));
  BLX_TRY(source.architecture, text_of(object, "architecture"));
  BLX_TRY(source.kernel_version, text_of(object, "kernel_version"));
  BLX_TRY(source.cmdline, text_of(object, "cmdline"));
  const json::value* files = object.if_contains("files");
  if (files == nullptr || !files->is_object()) return invalid("files must be an object");
  BLX_TRY(source.kernel, file_of(files->get_object(), "vmlinux.zst", true));
  BLX_TRY(source.initrd, file_of(files->get_object(), "initrd", false));
  return source;
}

}  // namespace blixard::image
