#pragma once

// A file that the user named, read whole.

#include <cstddef>
#include <string>

#include "base/result.h"

namespace blixard::app {

// "-" is standard input. Errors: kNotFound or kUnavailable "file_unreadable", kInvalidArgument
// "file_invalid" of one that is no file or longer than that.
Result<std::string> whole_file(const std::string& path, std::size_t bytes_max);

}  // namespace blixard::app
