#pragma once

// Errors as answers: the HTTP status, a title and, above all, what to do.
//
// One row for each reason that a caller of the API can meet; a test reads the sources and finds a
// reason without a row. What has none (a fault of the host, say) gets its code's.

#include <span>
#include <string_view>

#include "base/result.h"
#include "node/http/message.h"

namespace blixard::api {

struct ProblemRow {
  std::string_view reason;
  int status = 0;  // 0: the code's
  std::string_view title;
  std::string_view action;
};

std::span<const ProblemRow> problem_rows();
const ProblemRow* find_problem(std::string_view reason);
int status_of(Code code);

http::Problem problem_of(const Error& error);
http::Response error_response(const Error& error);

}  // namespace blixard::api
