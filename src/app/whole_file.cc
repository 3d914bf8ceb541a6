#include "app/whole_file.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace blixard::app {
namespace {

Result<std::string> rest_of(std::FILE* file, const std::string& name, std::size_t bytes_max) {
  std::string text;
  std::array<char, 65536> piece{};
  while (true) {
    const std::size_t bytes = std::fread(piece.data(), 1, piece.size(), file);
    text.append(piece.data(), bytes);
    if (text.size() > bytes_max) {
      return fail(Code::kInvalidArgument, "file_invalid",
                  fmt::format("{} is longer than {} bytes", name, bytes_max));
    }
    if (bytes != 0) continue;
    if (std::ferror(file) == 0) return text;
    return fail(Code::kUnavailable, "file_unreadable", name + " cannot be read");
  }
}

}  // namespace

Result<std::string> whole_file(const std::string& path, std::size_t bytes_max) {
  if (path == "-") return rest_of(stdin, "standard input", bytes_max);
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) {
    return fail(errno == ENOENT ? Code::kNotFound : Code::kUnavailable, "file_unreadable",
                path + ": " + std::strerror(errno));
  }
  // A pipe could keep us waiting for ever.
  if (!S_ISREG(facts.st_mode)) {
    return fail(Code::kInvalidArgument, "file_invalid", path + " is not a file");
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "r"),
                                                             std::fclose);
  if (file == nullptr) {
    return fail(Code::kUnavailable, "file_unreadable", path + ": " + std::strerror(errno));
  }
  return rest_of(file.get(), path, bytes_max);
}

}  // namespace blixard::app
