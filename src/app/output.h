#pragma once

// What the user sees: aligned tables, pretty JSON, and a line that moves while something is
// awaited.

#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "env/env.h"
#include "env/scope.h"
#include "env/task.h"

namespace blixard::app {

class Table {
 public:
  explicit Table(std::vector<std::string> headings) { rows_.push_back(std::move(headings)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string pretty(const boost::json::value& value);

// A member of a JSON object as text: strings bare, numbers in digits, "" when it is missing.
std::string text_of(const boost::json::value& object, std::string_view member);
// The elements of an array member; empty when it is missing.
const boost::json::array& items_of(const boost::json::value& object, std::string_view member);
// "a,b": texts bare, all else as JSON has it.
std::string joined(const boost::json::array& items);

// "3s", "12m", "4h", "9d" since an RFC 3339 time.
std::string age_since(std::string_view rfc3339, WallTime now);

// Control characters of foreign text become '?', so that a guest cannot drive the terminal;
// newlines and tabs stay.
std::string printable(std::string_view text);

// Shows `what` with the seconds so far on standard error while it lives, where that is a
// terminal; otherwise nothing.
class Spinner {
 public:
  Spinner(env::Env env, env::Scope& scope, std::string what);
  void stop();  // clears the line

 private:
  env::Task<void> spin();

  env::Env env_;
  std::string what_;
  env::Cancellation cancellation_;
  bool shown_ = false;
};

}  // namespace blixard::app
