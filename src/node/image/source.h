#pragma once

// image.json of an image folder: what the folder holds. Checked and bounded, since it comes from
// outside.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::image {

struct SourceFile {
  std::uint64_t bytes = 0;
  std::uint64_t unpacked_bytes = 0;  // the same, for a file that is not packed
};

struct Source {
  std::string name;
  std::string architecture;
  std::string kernel_version;
  std::string cmdline;
  SourceFile kernel;  // vmlinux.zst
  SourceFile initrd;
};

// Errors: kInvalidArgument "image_json_invalid" with the member, kFailedPrecondition
// "image_format_unknown", kResourceExhausted "image_too_large".
Result<Source> parse_source(std::string_view json);

}  // namespace blixard::image
