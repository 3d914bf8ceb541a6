#include "linux/system_error.h"

#include <cerrno>
#include <cstring>
#include <string>

namespace blixard::linux_side {
namespace {

std::string detail_of(int number, std::string_view operation, std::string_view object) {
  std::string text(operation);
  text += ' ';
  text += object;
  text += ": ";
  text += error_text(number);
  return text;
}

}  // namespace

std::string_view error_text(int number) {
  const char* text = strerrordesc_np(number);
  return text != nullptr ? text : "unknown error";
}

Error file_error(int number, std::string_view operation, std::string_view path) {
  const auto make = [&](Code code, const char* reason) {
    return Error(code, reason, detail_of(number, operation, path));
  };
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return make(Code::kNotFound, "file_missing");
    case EEXIST:
      return make(Code::kAlreadyExists, "file_exists");
    case EACCES:
    case EPERM:
    case EROFS:
      return make(Code::kPermissionDenied, "permission_denied");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return make(Code::kResourceExhausted, "disk_full");
    case EMFILE:
    case ENFILE:
      return make(Code::kResourceExhausted, "too_many_open_files");
    case ENOMEM:
      return make(Code::kResourceExhausted, "out_of_memory");
    case ENOTEMPTY:
      return make(Code::kFailedPrecondition, "directory_not_empty");
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return make(Code::kInvalidArgument, "path_invalid");
    default:
      return make(Code::kUnavailable, "io_error");
  }
}

Error socket_error(int number, std::string_view operation, std::string_view address) {
  const auto make = [&](Code code, const char* reason) {
    return Error(code, reason, detail_of(number, operation, address));
  };
  switch (number) {
    case EADDRINUSE:
      return make(Code::kAlreadyExists, "address_in_use");
    case EADDRNOTAVAIL:
      return make(Code::kInvalidArgument, "address_not_local");
    case EINVAL:
    case EAFNOSUPPORT:
    case ENAMETOOLONG:
      return make(Code::kInvalidArgument, "address_invalid");
    case EACCES:
    case EPERM:
      return make(Code::kPermissionDenied, "permission_denied");
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return make(Code::kResourceExhausted, "too_many_open_files");
    case ECONNREFUSED:
      return make(Code::kUnavailable, "connection_refused");
    case ENOENT:
      return make(Code::kUnavailable, "socket_missing");
    case EHOSTUNREACH:
    case ENETUNREACH:
      return make(Code::kUnavailable, "host_unreachable");
    case ETIMEDOUT:
      return make(Code::kUnavailable, "connection_timed_out");
    default:
      return make(Code::kUnavailable, "connection_lost");
  }
}

}  // namespace blixard::linux_side
