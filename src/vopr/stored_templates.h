#pragma once

// What lies on a machine's disk where its node keeps templates, whole or not.

#include <string>
#include <string_view>
#include <vector>

#include "vopr/cluster.h"

namespace blixard::vopr {

inline constexpr std::string_view kMemoryName = "/ram";

struct StoredTemplate {
  std::string directory;
  std::vector<std::string> files;  // names, in order

  [[nodiscard]] bool is_being_made() const;
  [[nodiscard]] bool has_manifest() const;
  [[nodiscard]] bool is_whole() const { return !is_being_made() && has_manifest(); }
};

// In order of their names.
[[nodiscard]] std::vector<StoredTemplate> stored_templates(const Site& site);

}  // namespace blixard::vopr
