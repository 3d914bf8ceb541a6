#pragma once

// Base64 (RFC 4648, section 4), as QEMU gives the console's bytes.

#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::qemu {

// With padding, no line breaks. Errors: kDataLoss "base64_malformed".
Result<std::string> decode_base64(std::string_view text);

}  // namespace blixard::qemu
