#pragma once

// errno values as Errors, the same way everywhere: the code says what the caller can do, the
// detail names the object and the system's words.

#include <string_view>

#include "base/result.h"

namespace blixard::linux_side {

// Of an operation on a file, directory or the like: "open /a/b: No such file or directory".
Error file_error(int number, std::string_view operation, std::string_view path);

// Of a socket operation.
Error socket_error(int number, std::string_view operation, std::string_view address);

std::string_view error_text(int number);

}  // namespace blixard::linux_side
