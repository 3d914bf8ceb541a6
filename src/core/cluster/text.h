#pragma once

// Text from outside (a guest's console, an image's description) before it enters the model.
//
// The model keeps only bounded, valid UTF-8 without control characters: protobuf would refuse to
// read anything else back from the log, and a guest must not reach an operator's terminal with
// escape sequences. Whoever proposes a command with such text passes it through bounded_text();
// apply does so again.

#include <cstddef>
#include <string>
#include <string_view>

namespace blixard::cluster {

// At most `bytes_max` bytes of `text`, cut between characters. Bytes that are not UTF-8 and control
// characters other than newline and tab become '?'. Leaves its own results as they are.
std::string bounded_text(std::string_view text, std::size_t bytes_max);

// Whether bounded_text() would leave it as it is.
bool is_bounded_text(std::string_view text, std::size_t bytes_max);
// The same of one line: for kernel command lines and tables.
bool is_line(std::string_view text, std::size_t bytes_max);

}  // namespace blixard::cluster
