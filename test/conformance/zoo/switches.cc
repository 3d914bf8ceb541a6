#include "test/conformance/zoo/switches.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace blixard::zoo {
namespace {

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::map<std::string, std::set<std::string>> switches() {
  const std::filesystem::path root = std::filesystem::path(BLX_SOURCE_DIR) / "src";
  std::map<std::string, std::set<std::string>> found;
  for (const auto& item : std::filesystem::recursive_directory_iterator(root)) {
    const std::string extension = item.path().extension().string();
    const std::string name = std::filesystem::relative(item.path(), root).string();
    if ((extension != ".cc" && extension != ".h") || name == "base/bug.h") continue;
    const std::string text = content_of(item.path());
    const std::string_view macro = "BLX_BUG(";
    for (std::size_t at = text.find(macro); at != std::string::npos;
         at = text.find(macro, at + 1)) {
      const std::size_t begin = at + macro.size();
      found[name].insert(text.substr(begin, text.find(')', begin) - begin));
    }
  }
  return found;
}

std::set<std::string> built_with_faults(std::string_view list) {
  std::set<std::string> built;
  std::istringstream names{std::string(list)};
  for (std::string name; std::getline(names, name, ';');)
    built.insert(name);
  return built;
}

}  // namespace blixard::zoo
