#include "vopr/stored_templates.h"

#include <algorithm>

#include "env/disk.h"
#include "sim/host.h"

namespace blixard::vopr {

bool StoredTemplate::is_being_made() const { return directory.contains("/.making-"); }

bool StoredTemplate::has_manifest() const {
  return std::ranges::find(files, "manifest.json") != files.end();
}

std::vector<StoredTemplate> stored_templates(const Site& site) {
  const sim::FileSystem& files = site.machine->host().files;
  const std::string root = env::join_path(site.data(), "templates");
  std::vector<StoredTemplate> found;
  const auto folders = files.list(root);
  if (!folders) return found;
  for (const env::DirectoryEntry& folder : *folders) {
    StoredTemplate stored{.directory = env::join_path(root, folder.name), .files = {}};
    const auto entries = files.list(stored.directory);
    if (!entries) continue;
    for (const env::DirectoryEntry& entry : *entries)
      stored.files.push_back(entry.name);
    std::ranges::sort(stored.files);
    found.push_back(std::move(stored));
  }
  std::ranges::sort(found, {}, &StoredTemplate::directory);
  return found;
}

}  // namespace blixard::vopr
