#pragma once

// The target of a request ("/v1/vms/web?wait=running") taken apart and percent-decoded.
//
// Only the origin form (RFC 9112, section 3.2.1) is taken. Refused are: a broken escape, a control
// character or an escaped slash in the path (it would change what a route matches), a parameter
// that comes twice, and anything beyond the limits.

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::http {

struct Target {
  std::string path;
  std::map<std::string, std::string> query;
};

// Errors: kInvalidArgument "target_invalid", kResourceExhausted "target_too_long".
Result<Target> parse_target(std::string_view text);

// Escapes everything but the unreserved characters of RFC 3986.
std::string percent_encoded(std::string_view text);

}  // namespace blixard::http
