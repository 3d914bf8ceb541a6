#pragma once

// The descriptors of every .proto of ours with their comments, as a serialized
// google.protobuf.FileDescriptorSet inside the program. Generated code leaves comments out.

#include <string_view>

extern "C" {
extern const char blx_descriptor_set_begin[];
extern const char blx_descriptor_set_end[];
}

namespace blixard::v1 {

inline std::string_view descriptor_set() {
  return {blx_descriptor_set_begin, blx_descriptor_set_end};
}

}  // namespace blixard::v1
