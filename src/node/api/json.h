#pragma once

// Messages of blixard/v1/api.proto as JSON, both ways, by reflection.
//
// Reading is strict, because a request that was misread does the wrong thing with a green light:
// an unknown member, another type, a missing required member or a value outside the rules of its
// field (annotations.proto) is refused and named. Protobuf's own JSON parser takes single quotes,
// unquoted names, numbers in strings and two spellings of each name, and writes 64-bit numbers as
// strings; that is why it is not used.

#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/result.h"

namespace blixard::api {

// Members in the order of the schema. Fields without presence are always there; messages and
// optional fields only when they are set.
std::string to_json(const google::protobuf::Message& message);

// Errors: kInvalidArgument "body_invalid" with the member and what it may be.
Result<void> from_json(std::string_view text, google::protobuf::Message& message);

// VM_STATE_RUNNING -> "running", RESTART_POLICY_ON_FAILURE -> "on-failure".
std::string enum_text(const google::protobuf::EnumValueDescriptor& value);

}  // namespace blixard::api
