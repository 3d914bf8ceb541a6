#pragma once

// The OpenAPI 3.1 document of a route table: paths from the routes, schemas from their messages,
// descriptions from the comments of the schema files.

#include <span>
#include <string>
#include <string_view>

#include "node/api/route.h"

namespace blixard::api {

std::string openapi_document(std::span<const Route> routes, std::string_view version);

}  // namespace blixard::api
