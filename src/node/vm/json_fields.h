#pragma once

// Checked reading of the small JSON files that this node keeps about guests. Any of them may be
// damaged, or put there by somebody else.

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include <boost/json.hpp>

#include "base/result.h"
#include "node/vm/driver.h"

namespace blixard::vm {

// One object whose size and depth are bounded. Errors: kDataLoss, with this reason.
Result<boost::json::object> parse_object(std::string_view bytes, std::size_t size_max,
                                         std::size_t depth_max, const char* reason);

// Of an object that outlives it. Every error is kDataLoss, with the reason that it is given.
class JsonFields {
 public:
  JsonFields(const boost::json::object& object, const char* reason)
      : object_(object), reason_(reason) {}

  [[nodiscard]] Result<std::uint64_t> number(
      std::string_view key, std::uint64_t most = std::numeric_limits<std::int64_t>::max()) const;
  // Printable ASCII.
  [[nodiscard]] Result<std::string> text(std::string_view key, std::size_t most) const;
  // 64 hex digits.
  [[nodiscard]] Result<std::string> digest_text(std::string_view key) const;
  [[nodiscard]] Result<Accelerator> accelerator(std::string_view key) const;

  [[nodiscard]] std::unexpected<Error> invalid(std::string what) const {
    return fail(Code::kDataLoss, reason_, std::move(what));
  }

 private:
  const boost::json::object& object_;
  const char* reason_;
};

}  // namespace blixard::vm
