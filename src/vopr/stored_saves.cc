#include "vopr/stored_saves.h"

#include <algorithm>

#include "env/disk.h"
#include "sim/host.h"

namespace blixard::vopr {

std::string saves_directory(const Site& site) { return env::join_path(site.data(), "saved"); }

std::vector<std::string> stored_saves(const Site& site) {
  std::vector<std::string> names;
  const auto entries = site.machine->host().files.list(saves_directory(site));
  if (!entries) return names;
  for (const env::DirectoryEntry& entry : *entries)
    names.push_back(entry.name);
  std::ranges::sort(names);
  return names;
}

}  // namespace blixard::vopr
