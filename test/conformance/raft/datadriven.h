#pragma once

// The file format in which the reference keeps its judgements, and in which ours are written too:
//
//   # a comment
//   command key key=value key=(value, value)
//   input, any number of lines
//   ----
//   what the command prints, up to a blank line
//
// Output that has blank lines stands between "----" twice at its begin and twice at its end. A
// directive goes on in the next line behind a backslash. "subtest" lines group cases and are passed
// over. Written back, a file keeps its comments and directives byte for byte.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace blixard::raft::datadriven {

struct Argument {
  std::string key;
  std::vector<std::string> values;
};

struct Case {
  std::string place;  // "file:line" of the directive
  std::string command;
  std::vector<Argument> arguments;
  std::string input;  // trimmed
  std::string expected;

  [[nodiscard]] const Argument* find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  // The only value of an argument; none if it is absent, has more or is no number.
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view key) const;
  // Absent: no numbers. None: one is not a number.
  [[nodiscard]] std::optional<std::vector<std::uint64_t>> numbers(std::string_view key) const;
  // "key" and "key=true" are true, "key=false" and absence are false; none if it is anything else.
  [[nodiscard]] std::optional<bool> flag(std::string_view key) const;

  std::string source;      // as in the file: what stands before the case, directive and input
  bool separated = false;  // has a "----"
};

struct File {
  std::string name;
  std::vector<Case> cases;
  std::string rest;  // behind the last case
};

// Errors: kInvalidArgument "datadriven_invalid" with place and cause.
Result<File> parse(std::string name, std::string_view text);
Result<File> load(const std::string& path);
// Of the files that end in ".txt" in a directory, sorted; empty if there is none.
std::vector<std::string> files_in(const std::string& directory);

std::optional<std::uint64_t> parse_number(std::string_view text);

using Handler = std::function<std::string(const Case&)>;

struct Mismatch {
  std::string place;
  std::string directive;
  std::string expected;
  std::string actual;
  [[nodiscard]] std::string text() const;  // both, and the first line that differs
};

struct Outcome {
  std::size_t cases = 0;
  std::vector<Mismatch> mismatches;
  std::string rewritten;  // the file with the outputs that were seen
};

Outcome run(const File& file, const Handler& handler);

}  // namespace blixard::raft::datadriven
