#include "sim/qemu/faults.h"

#include "base/limits.h"

namespace blixard::sim {

std::string expand_noise(std::string_view noise, std::string_view id, std::string_view answer) {
  std::string said;
  while (!noise.empty()) {
    const auto takes = [&noise](std::string_view mark) {
      if (!noise.starts_with(mark)) return false;
      noise.remove_prefix(mark.size());
      return true;
    };
    if (takes("<id>")) {
      said += id;
    } else if (takes("<answer>")) {
      said += answer;
    } else if (takes("<flood>")) {
      said.append(limits::kQmpLineBytes + 1000, '{');
    } else {
      said += noise.front();
      noise.remove_prefix(1);
    }
  }
  return said;
}

}  // namespace blixard::sim
