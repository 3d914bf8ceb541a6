#pragma once

// What a monitor's command comes to: JSON to return, or a refusal in QEMU's words.

#include <expected>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "env/network.h"

namespace blixard::sim {

struct QmpRefusal {
  std::string_view error_class;
  std::string text;
};
using QmpOutcome = std::expected<std::string, QmpRefusal>;

inline std::unexpected<QmpRefusal> qmp_refused(std::string text) {
  return std::unexpected(QmpRefusal{"GenericError", std::move(text)});
}

// By the name that "getfd" gave them.
using QmpStreams = std::map<std::string, std::unique_ptr<env::Stream>, std::less<>>;

}  // namespace blixard::sim
