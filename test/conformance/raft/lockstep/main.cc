// The lockstep test: random inputs to groups of our cores and to groups of the reference's nodes,
// and after each input both must look the same, message for message.
//
//   raft_lockstep [--inputs N] [--seed S] [--world W]
//
// The inputs come in worlds: a group with settings of its own and up to some thousands of inputs.
// The same seed gives the same worlds and the same hash at the end. --world runs a single one, as
// a mismatch's report names it. Ends with 0 (no mismatch), 1 (a mismatch), 77 (no reference here).

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "test/conformance/raft/datadriven.h"
#include "test/conformance/raft/lockstep/generator.h"
#include "test/conformance/raft/lockstep/group.h"
#include "test/conformance/raft/lockstep/reference_process.h"

namespace blixard::raft::lockstep {
namespace {

constexpr std::size_t kBatch = 1024;  // answers to two of them fit into a pipe

// Where we are, for the report of an assertion of ours.
struct Place {
  std::uint64_t seed = 0;
  std::uint64_t world = 0;
  std::uint64_t input = 0;
};
Place place;

void on_abort(int /*signal*/) {
  std::array<char, 160> line{};
  const auto end = fmt::format_to_n(line.data(), line.size(),
                                    "our core aborted: --seed {} --world {} (input {})\n",
                                    place.seed, place.world, place.input);
  static_cast<void>(!write(STDERR_FILENO, line.data(), end.size));
}

struct Step {
  std::uint64_t world = 0;
  std::uint64_t input = 0;  // in the world; 0 is its begin
  std::uint64_t digest = 0;
};

struct Options {
  std::uint64_t inputs = 200'000;
  std::uint64_t seed = 1;
  std::optional<std::uint64_t> world;
};

class Run {
 public:
  Run(const Options& options, ReferenceProcess reference)
      : options_(options), reference_(std::move(reference)) {}

  // None: all were equal.
  std::optional<Step> run() {
    place.seed = options_.seed;
    std::uint64_t world = options_.world.value_or(0);
    while (done_ < options_.inputs) {
      if (!run_world(world++)) return mismatch_;
      if (options_.world) break;
    }
    return exchange(true) ? std::nullopt : mismatch_;
  }

  [[nodiscard]] const Seen& seen() const { return group_.seen(); }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  [[nodiscard]] std::uint64_t panics() const { return panics_; }
  [[nodiscard]] bool reference_is_gone() const { return gone_; }

 private:
  bool run_world(std::uint64_t world) {
    Generator generator(options_.seed, world);
    place.world = world;
    group_.begin(generator.settings());
    reference_.world(generator.settings());
    pending_.push_back({world, 0, 0});
    for (std::uint64_t i = 1; i <= generator.length() && done_ < options_.inputs; ++i) {
      place.input = i;
      const Input input = generator.next(group_);
      reference_.input(input);
      pending_.push_back({world, i, group_.step(input)});
      ++done_;
      if (pending_.size() >= kBatch && !exchange(false)) return false;
      if (Generator::is_full(group_)) break;
    }
    return true;
  }

  // Sends this batch and compares the answers to the one before, or to all.
  bool exchange(bool all) {
    if (!reference_.flush()) return lost();
    if (!compare()) return false;
    sent_.swap(pending_);
    pending_.clear();
    return !all || compare();
  }

  bool compare() {
    if (sent_.empty()) return true;
    if (!reference_.digests(answers_, sent_.size())) return lost();
    for (std::size_t i = 0; i < sent_.size(); ++i) {
      const Step& step = sent_[i];
      hash_ = (hash_ ^ answers_[i]) * 0xff51afd7ed558ccdULL;
      if (step.input == 0) continue;
      if (answers_[i] == kPanicked) {
        if (panicked_world_ != step.world) ++panics_;
        panicked_world_ = step.world;
      } else if (answers_[i] != step.digest) {
        mismatch_ = step;
        return false;
      }
    }
    sent_.clear();
    return true;
  }

  bool lost() {
    gone_ = true;
    mismatch_ = sent_.empty() ? Step{} : sent_.front();
    return false;
  }

  Options options_;
  ReferenceProcess reference_;
  Group group_;
  std::vector<Step> pending_;  // not sent
  std::vector<Step> sent_;     // not answered
  std::vector<std::uint64_t> answers_;
  std::optional<Step> mismatch_;
  std::uint64_t done_ = 0;
  std::uint64_t hash_ = 0;
  std::uint64_t panics_ = 0;
  std::optional<std::uint64_t> panicked_world_;
  bool gone_ = false;
};

// The world once more, up to the input that differs, with words.
std::string report(const Options& options, const Step& at, const std::string& program) {
  auto reference = ReferenceProcess::start(program);
  if (!reference) return reference.error().message();
  Generator generator(options.seed, at.world);
  Group group;
  group.begin(generator.settings());
  reference->world(generator.settings());
  std::deque<std::string> history;
  std::string theirs;
  std::vector<std::uint64_t> answers;
  for (std::uint64_t i = 1; i <= at.input; ++i) {
    Input input = generator.next(group);
    const bool last = i == at.input;
    input.flags |= last || i + 12 > at.input ? kText : std::uint16_t{0};
    std::string words = fmt::format("{}: {}", i, describe(input));
    if (input.op == Op::kDeliver) words += Canon::words(group.pool().at(input.a));
    reference->input(input);
    group.step(input);
    if (!reference->flush() || !reference->digests(answers, i == 1 ? 2 : 1)) return "it is gone";
    if ((input.flags & kText) != 0 && !reference->text(theirs)) return "it is gone";
    history.push_back(words + "\n" + (last ? "" : group.text()));
    if (history.size() > 12) history.pop_front();
  }
  std::string text = fmt::format("MISMATCH --seed {} --world {} at input {}\nworld: {}\n",
                                 options.seed, at.world, at.input, describe(generator.settings()));
  for (const std::string& line : history)
    text += line + "\n\n";
  text += fmt::format("ours:\n{}\n\nreference:\n{}\n\n", group.text(), theirs);
  const auto differs =
      std::mismatch(group.text().begin(), group.text().end(), theirs.begin(), theirs.end());
  const auto offset = static_cast<std::size_t>(differs.first - group.text().begin());
  const std::size_t from = offset > 40 ? offset - 40 : 0;
  text += fmt::format("differs at: ours \"...{}\" reference \"...{}\"\n",
                      group.text().substr(std::min(from, group.text().size()), 90),
                      theirs.substr(std::min(from, theirs.size()), 90));
  return text;
}

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const auto value = datadriven::parse_number(argv[i + 1]);
    if (!value) return std::nullopt;
    if (name == "--inputs") {
      options.inputs = *value;
    } else if (name == "--seed") {
      options.seed = *value;
    } else if (name == "--world") {
      options.world = value;
    } else {
      return std::nullopt;
    }
  }
  return argc % 2 == 1 ? std::optional(options) : std::nullopt;
}

int main_of(int argc, char** argv) {
  const auto options = parse(argc, argv);
  if (!options) {
    fmt::print(stderr, "usage: {} [--inputs N] [--seed S] [--world W]\n", argv[0]);
    return 2;
  }
  const auto program = build_reference(std::string(BLX_BINARY_DIR) + "/raft_reference");
  if (!program) {
    fmt::print("{}\n", program.error().message());
    return program.error().code() == Code::kUnimplemented ? 77 : 1;
  }
  auto reference = ReferenceProcess::start(*program);
  if (!reference) {
    fmt::print("{}\n", reference.error().message());
    return 1;
  }
  std::signal(SIGABRT, on_abort);
  const auto begin = std::chrono::steady_clock::now();
  Run run(*options, std::move(*reference));
  const auto mismatch = run.run();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (run.reference_is_gone()) {
    fmt::print("the reference is gone, near --seed {} --world {}\n", options->seed,
               mismatch->world);
    return 1;
  }
  if (mismatch) {
    fmt::print("{}", report(*options, *mismatch, *program));
    return 1;
  }
  fmt::print("{}\n", run.seen().text());
  fmt::print(
      "{} inputs in {:.1f} s ({:.0f}/s), seed {}, worlds in which the reference panicked: "
      "{}, hash {:016x}: equal\n",
      run.done(), seconds, static_cast<double>(run.done()) / seconds, options->seed, run.panics(),
      run.hash());
  return 0;
}

}  // namespace
}  // namespace blixard::raft::lockstep

int main(int argc, char** argv) { return blixard::raft::lockstep::main_of(argc, argv); }
