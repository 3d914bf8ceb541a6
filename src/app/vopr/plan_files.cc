#include "app/vopr/plan_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

namespace blixard::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTextBytes = std::size_t{16} << 20;
constexpr std::size_t kScenarios = 1'000;

// For the shell, if it is of letters that need it.
std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::ranges::all_of(word, [](char letter) {
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 ||
           std::string_view("/._-+=,:@").contains(letter);
  });
  if (plain) return word;
  std::string text = "'";
  for (const char letter : word)
    text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return text + "'";
}

}  // namespace

Result<std::string> read_text(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    return fail(Code::kInvalidArgument, "file_unreadable", path + " is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(Code::kNotFound, "file_unreadable", path + " cannot be opened");
  std::string text;
  std::array<char, 64 * 1024> buffer{};
  while (file.read(buffer.data(), buffer.size()) || file.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kTextBytes)
      return fail(Code::kResourceExhausted, "file_too_long", path + " is too long");
  }
  if (file.bad()) return fail(Code::kDataLoss, "file_unreadable", path + " cannot be read");
  return text;
}

// Beside its place first, so that whoever stops this leaves the old file or the new one.
Result<void> write_text(const std::string& path, std::string_view text) {
  const std::string draft = path + ".new";
  std::error_code error;
  if (const fs::path folder = fs::path(path).parent_path(); !folder.empty())
    fs::create_directories(folder, error);
  std::ofstream file(draft, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file) fs::rename(draft, path, error);
  if (!file || error) return fail(Code::kInternal, "file_unwritable", path + " cannot be written");
  return {};
}

Result<vopr::Scenario> read_scenario(const std::string& path) {
  BLX_TRY(const std::string text, read_text(path));
  auto scenario = vopr::parse_scenario(text);
  if (!scenario) {
    return fail(scenario.error().code(), "scenario_invalid",
                fmt::format("{}: {}", path, scenario.error().detail()));
  }
  return scenario;
}

Result<std::vector<vopr::Scenario>> read_scenarios(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
      if (at->path().extension() == ".toml") found.push_back(at->path().string());
      if (found.size() > kScenarios) break;
    }
    std::ranges::sort(found);
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.empty())
    return fail(Code::kNotFound, "no_scenario", "there is no scenario where it was looked for");
  if (files.size() > kScenarios)
    return fail(Code::kResourceExhausted, "too_many_scenarios", "these are too many scenarios");
  std::vector<vopr::Scenario> scenarios;
  for (const std::string& file : files) {
    BLX_TRY(vopr::Scenario scenario, read_scenario(file));
    scenarios.push_back(std::move(scenario));
  }
  return scenarios;
}

Result<vopr::Plan> read_plan(const PlanSource& source) {
  BLX_TRY(vopr::Scenario scenario, read_scenario(source.file));
  if (source.until) scenario.until = *source.until;
  return vopr::draw(scenario, source.seed.value_or(1));
}

std::string plan_file_name(std::string_view checker, std::uint64_t seed) {
  std::string name(checker.substr(0, 40));
  std::ranges::replace_if(
      name, [](char letter) { return std::isalnum(static_cast<unsigned char>(letter)) == 0; }, '-');
  return fmt::format("{}-{}.toml", name, seed);
}

std::string arguments_of(const PlanSource& source) {
  if (!source.seed) return quoted(source.file);
  std::string text = fmt::format("--scenario {} --seed {}", quoted(source.file), *source.seed);
  if (source.until) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*source.until).count();
    text +=
        ms % 1000 == 0 ? fmt::format(" --until {}s", ms / 1000) : fmt::format(" --until {}ms", ms);
  }
  return text;
}

}  // namespace blixard::app
