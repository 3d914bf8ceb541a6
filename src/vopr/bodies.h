#pragma once

// What a step's amount asks for, as the API takes it: the small choices of requests, so that a plan
// says them with one number. The tables are in docs/simulation.md.

#include <cstdint>
#include <string>

#include "node/http/message.h"
#include "vopr/plan.h"

namespace blixard::vopr {

// A VM: size, restart policy, ports, whether it starts at once.
[[nodiscard]] std::string body_of_create(const std::string& name, const Step& step);
// Whether the VM of such a body stops for good when it has to leave its node.
[[nodiscard]] bool stops_when_evicted(const Step& step);

inline constexpr std::uint64_t kPlacementGroups = 4;  // a group's amount: the remainder says which

struct Ask {
  http::Method method = http::Method::kPost;
  std::string target;
  std::string body;
};
// What an operator asks about placement; `node` is the name of the step's node.
[[nodiscard]] Ask placement_ask(const Step& step, const std::string& node);

}  // namespace blixard::vopr
