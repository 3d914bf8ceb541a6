// raft_interaction [--rewrite] [--series 3.4|current] FILE...
//
// Replays data-driven files of the reference's format against our core. Exit 0: all match, 1: some
// do not (their differences are printed), 2: wrong use. --rewrite writes what was seen into them.

#include <cstdio>
#include <fstream>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "test/conformance/raft/replay.h"

namespace blixard::raft::interaction {
namespace {

struct Options {
  bool rewrite = false;
  std::optional<Form> series;
  std::vector<std::string> files;
};

std::optional<Options> parse_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--rewrite") {
      options.rewrite = true;
    } else if (word == "--series" && i + 1 < count) {
      const std::string_view name = words[++i];
      if (name != "3.4" && name != "current") return std::nullopt;
      options.series = name == "3.4" ? Form::k34 : Form::kCurrent;
    } else if (word.starts_with("-")) {
      return std::nullopt;
    } else {
      options.files.emplace_back(word);
    }
  }
  if (options.files.empty()) return std::nullopt;
  return options;
}

bool replay_file(const std::string& path, const Options& options) {
  const Form written =
      options.series.value_or(path.starts_with(kReferenceDirectory) ? Form::k34 : Form::kCurrent);
  const Result<Replay> done =
      options.series || options.rewrite ? replay(path, written) : replay(path);
  if (!done) {
    fmt::print("{}: {}\n", path, done.error().message());
    return false;
  }
  if (options.rewrite) {
    std::ofstream(path, std::ios::binary) << done->outcome.rewritten;
    fmt::print("{}: rewritten, {} of {} cases changed\n", path, done->outcome.mismatches.size(),
               done->outcome.cases);
    return true;
  }
  if (!done->matches()) {
    fmt::print("{}\n{}: {} of {} cases differ (series {})\n", done->text(), path,
               done->outcome.mismatches.size(), done->outcome.cases, name_of(done->form));
    return false;
  }
  fmt::print("{}: {} cases match (series {})\n", path, done->outcome.cases, name_of(done->form));
  return true;
}

}  // namespace
}  // namespace blixard::raft::interaction

int main(int count, char** words) {
  using namespace blixard::raft::interaction;
  const auto options = parse_options(count, words);
  if (!options) {
    fmt::print(stderr, "usage: raft_interaction [--rewrite] [--series 3.4|current] FILE...\n");
    return 2;
  }
  bool all_match = true;
  for (const std::string& path : options->files)
    all_match = replay_file(path, *options) && all_match;
  return all_match ? 0 : 1;
}
