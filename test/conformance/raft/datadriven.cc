#include "test/conformance/raft/datadriven.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

namespace blixard::raft::datadriven {
namespace {

constexpr std::string_view kSeparator = "----";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text) {}

  std::optional<std::string_view> next() {
    if (at_ >= text_.size()) return std::nullopt;
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    const std::string_view line = text_.substr(at_, end - at_);
    at_ = end + 1;
    ++number_;
    return line;
  }
  [[nodiscard]] std::size_t number() const { return number_; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t number_ = 0;
};

// Takes the part of `rest` before any of `stops`.
std::string_view until(std::string_view& rest, std::string_view stops) {
  const std::size_t end = std::min(rest.find_first_of(stops), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end);
  return part;
}

// "(a, (b, c), d)": the commas of the outermost parentheses separate. False: they do not close.
bool take_list(std::string_view& rest, std::vector<std::string>& values) {
  std::size_t at = 1;
  std::size_t begin = 1;
  for (int depth = 1; depth > 0; ++at) {
    if (at == rest.size()) return false;
    const char c = rest[at];
    if (c == '(') ++depth;
    if (c == ')') --depth;
    if (depth == 0 || (c == ',' && depth == 1)) {
      values.emplace_back(rest.substr(begin, at - begin));
      begin = at + 1;
      while (depth > 0 && begin < rest.size() && rest[begin] == ' ')
        at = begin++;
    }
  }
  rest.remove_prefix(at);
  return true;
}

bool parse_directive(std::string_view line, Case& out) {
  std::string_view rest = trimmed(line);
  out.command = until(rest, " ");
  for (rest = trimmed(rest); !rest.empty(); rest = trimmed(rest)) {
    Argument argument;
    argument.key = until(rest, " =");
    if (argument.key.empty()) return false;
    if (rest.starts_with('=')) {
      rest.remove_prefix(1);
      if (rest.starts_with('(')) {
        if (!take_list(rest, argument.values)) return false;
      } else {
        argument.values.emplace_back(until(rest, " "));
      }
    }
    out.arguments.push_back(std::move(argument));
  }
  return true;
}

void append_line(std::string& to, std::string_view line) {
  to += line;
  to += '\n';
}

// What stands between two pairs of separators. False: it does not end, or not as it must.
bool read_long_output(Lines& lines, std::string& out) {
  while (const auto line = lines.next()) {
    if (*line == kSeparator) {
      const auto second = lines.next();
      if (second && *second == kSeparator) {
        const auto blank = lines.next();
        return !blank || blank->empty();
      }
      append_line(out, *line);
      if (second) append_line(out, *second);
    } else {
      append_line(out, *line);
    }
  }
  return false;
}

bool read_output(Lines& lines, std::string& out) {
  auto line = lines.next();
  if (line && *line == kSeparator) return read_long_output(lines, out);
  for (; line && !trimmed(*line).empty(); line = lines.next())
    append_line(out, *line);
  return true;
}

std::string directive_of(Lines& lines, std::string_view first, std::string& source) {
  std::string directive(trimmed(first));
  append_line(source, first);
  while (directive.ends_with('\\')) {
    directive.back() = ' ';
    const auto line = lines.next();
    if (!line) break;
    append_line(source, *line);
    directive += trimmed(*line);
  }
  return directive;
}

void append_output(std::string& to, std::string_view output) {
  const bool has_blank_line = output.starts_with('\n') || output.contains("\n\n");
  append_line(to, kSeparator);
  if (has_blank_line) append_line(to, kSeparator);
  to += output;
  if (has_blank_line) to += "----\n----\n";
  to += '\n';
}

}  // namespace

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.begin(), text.end(), number);
  if (error != std::errc() || stop != text.end()) return std::nullopt;
  return number;
}

const Argument* Case::find(std::string_view key) const {
  const auto found = std::ranges::find(arguments, key, &Argument::key);
  return found == arguments.end() ? nullptr : &*found;
}

std::optional<std::string> Case::text(std::string_view key) const {
  const Argument* const argument = find(key);
  if (argument == nullptr || argument->values.size() != 1) return std::nullopt;
  return argument->values.front();
}

std::optional<std::uint64_t> Case::number(std::string_view key) const {
  const auto value = text(key);
  return value ? parse_number(*value) : std::nullopt;
}

std::optional<std::vector<std::uint64_t>> Case::numbers(std::string_view key) const {
  std::vector<std::uint64_t> all;
  const Argument* const argument = find(key);
  if (argument == nullptr) return all;
  for (const std::string& value : argument->values) {
    const auto number = parse_number(value);
    if (!number) return std::nullopt;
    all.push_back(*number);
  }
  return all;
}

std::optional<bool> Case::flag(std::string_view key) const {
  const Argument* const argument = find(key);
  if (argument == nullptr) return false;
  if (argument->values.empty()) return true;
  const auto value = text(key);
  if (value == "true") return true;
  if (value == "false") return false;
  return std::nullopt;
}

Result<File> parse(std::string name, std::string_view text) {
  File file{.name = std::move(name), .cases = {}, .rest = {}};
  Lines lines(text);
  std::string before;
  while (const auto line = lines.next()) {
    const std::string_view content = trimmed(*line);
    if (content.empty() || content.starts_with('#') || content.starts_with("subtest ")) {
      append_line(before, *line);
      continue;
    }
    Case one;
    one.place = fmt::format("{}:{}", file.name, lines.number());
    one.source = std::move(before);
    before.clear();
    if (!parse_directive(directive_of(lines, *line, one.source), one)) {
      return fail(Code::kInvalidArgument, "datadriven_invalid", one.place + ": the directive");
    }
    std::string input;
    while (const auto part = lines.next()) {
      one.separated = *part == kSeparator;
      if (one.separated) break;
      append_line(one.source, *part);
      append_line(input, *part);
    }
    one.input = trimmed(input);
    if (one.separated && !read_output(lines, one.expected)) {
      return fail(Code::kInvalidArgument, "datadriven_invalid", one.place + ": the output's end");
    }
    file.cases.push_back(std::move(one));
  }
  file.rest = std::move(before);
  return file;
}

Result<File> load(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::kNotFound, "datadriven_unreadable", path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse(path, text);
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().string());
  }
  std::ranges::sort(names);
  return names;
}

std::string Mismatch::text() const {
  Lines wanted(expected);
  Lines seen(actual);
  std::size_t line = 0;
  std::optional<std::string_view> want;
  std::optional<std::string_view> got;
  do {
    want = wanted.next();
    got = seen.next();
    ++line;
  } while (want && got && *want == *got);
  return fmt::format("{}: {}\nexpected:\n{}\nactual:\n{}\nfirst difference: line {}\n- {}\n+ {}\n",
                     place, directive, expected, actual, line, want.value_or("(end)"),
                     got.value_or("(end)"));
}

Outcome run(const File& file, const Handler& handler) {
  Outcome outcome;
  for (const Case& one : file.cases) {
    std::string actual = handler(one);
    if (!actual.empty() && !actual.ends_with('\n')) actual += '\n';
    ++outcome.cases;
    if (actual != one.expected) {
      outcome.mismatches.push_back({one.place, one.command, one.expected, actual});
    }
    outcome.rewritten += one.source;
    append_output(outcome.rewritten, actual);
  }
  outcome.rewritten += file.rest;
  if (outcome.rewritten.ends_with("\n\n")) outcome.rewritten.pop_back();
  return outcome;
}

}  // namespace blixard::raft::datadriven
