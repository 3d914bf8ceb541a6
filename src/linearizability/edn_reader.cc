#include "linearizability/edn_reader.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "linearizability/calls.h"
#include "linearizability/limits.h"

namespace blixard::linearizability {
namespace {

bool is_space(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == ',' ||
         byte == '\f' || byte == '\v';
}

bool ends_word(char byte) {
  return is_space(byte) || std::string_view("()[]{}\";").find(byte) != std::string_view::npos;
}

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

// Digits with a sign, a fraction, an exponent; N and M say how exact it is. Numbers of other forms
// (0x1f, 1/2) are words.
bool is_number(std::string_view word) {
  if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
  if (word.ends_with('N') || word.ends_with('M')) word.remove_suffix(1);
  if (word.empty() || !is_digit(word.front()) || !is_digit(word.back())) return false;
  return std::ranges::all_of(word, [](char byte) {
    return is_digit(byte) || byte == '.' || byte == 'e' || byte == 'E' || byte == '-' ||
           byte == '+';
  });
}

Form form_of(std::string_view word) {
  using enum Form::Kind;
  if (word == "nil") return Form::nil();
  if (word == "true" || word == "false") return Form::of(kBool, std::string(word));
  if (word.size() > 1 && word.front() == ':')
    return Form::of(kKeyword, std::string(word.substr(1)));
  if (!is_number(word)) return Form::of(kOther, std::string(word));
  if (word.ends_with('N')) word.remove_suffix(1);
  if (word.front() == '+') word.remove_prefix(1);
  return Form::of(kNumber, std::string(word));
}

}  // namespace

void EdnReader::advance() {
  if (text_[at_] == '\n') ++line_;
  ++at_;
}

void EdnReader::skip_space() {
  while (!at_end()) {
    if (text_[at_] == ';') {
      while (!at_end() && text_[at_] != '\n')
        ++at_;
    } else if (is_space(text_[at_])) {
      advance();
    } else {
      return;
    }
  }
}

Result<std::optional<Form>> EdnReader::next() { return read(0, Closing::kNone); }

// Nothing means that `closing` came, or without one that the text ended.
Result<std::optional<Form>> EdnReader::read(std::size_t depth, Closing closing) {
  using enum Form::Kind;
  for (;;) {
    skip_space();
    if (at_end()) {
      if (closing == Closing::kNone) return std::optional<Form>();
      return bad_line(
          line_, fmt::format("the text ends where a {} is missing", static_cast<char>(closing)));
    }
    if (depth > limits::kFormDepth) return bad_line(line_, "too deep");
    const std::uint64_t line = line_;
    const char byte = text_[at_];
    if (byte == static_cast<char>(closing)) {
      ++at_;
      return std::optional<Form>();
    }
    Result<Form> form = Form::nil();
    switch (byte) {
      case '(':
        ++at_;
        form = read_items(kVector, depth, Closing::kRound);
        break;
      case '[':
        ++at_;
        form = read_items(kVector, depth, Closing::kSquare);
        break;
      case '{':
        ++at_;
        form = read_items(kMap, depth, Closing::kCurly);
        break;
      case ')':
      case ']':
      case '}':
        return bad_line(line_, fmt::format("a {} too many", byte));
      case '"':
        form = read_string();
        break;
      case '#': {
        BLX_TRY(auto dispatched, read_dispatch(depth, closing));
        if (!dispatched) continue;  // discarded
        form = std::move(*dispatched);
        break;
      }
      default:
        form = read_word();
    }
    if (!form) return std::unexpected(std::move(form).error());
    form->line = line;
    return std::optional<Form>(*std::move(form));
  }
}

Result<Form> EdnReader::read_items(Form::Kind kind, std::size_t depth, Closing closing) {
  Form form = Form::of(kind, {});
  const std::uint64_t line = line_;
  for (;;) {
    BLX_TRY(auto item, read(depth + 1, closing));
    if (!item) break;
    form.items.push_back(*std::move(item));
  }
  if (kind == Form::Kind::kMap && form.items.size() % 2 != 0) {
    return bad_line(line, "a map with a key and no value");
  }
  return form;
}

Result<Form> EdnReader::read_string() {
  std::string text;
  const std::uint64_t line = line_;
  for (++at_; !at_end() && text_[at_] != '"'; advance()) {
    char byte = text_[at_];
    if (byte == '\\') {
      ++at_;
      if (at_end()) break;
      constexpr std::string_view kEscapes = "tnrbf";
      constexpr std::string_view kMeant = "\t\n\r\b\f";
      const auto which = kEscapes.find(text_[at_]);
      byte = which == std::string_view::npos ? text_[at_] : kMeant[which];
      if (text_[at_] == 'u') text += '\\';  // kept as written
    }
    text += byte;
    if (text.size() > limits::kTextBytes) return bad_line(line, "a string that is too long");
  }
  if (at_end()) return bad_line(line, "a string without its end");
  ++at_;
  return Form::of(Form::Kind::kString, std::move(text));
}

Result<Form> EdnReader::read_word() {
  const std::size_t begin = at_;
  // A character may be one of those that end a word.
  if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
    ++at_;
    advance();
  }
  while (!at_end() && !ends_word(text_[at_]))
    ++at_;
  const std::string_view word = text_.substr(begin, at_ - begin);
  if (word.size() > limits::kTextBytes) return bad_line(line_, "a word that is too long");
  return form_of(word);
}

Result<Form> EdnReader::read_one(std::size_t depth, std::string_view what) {
  BLX_TRY(auto form, read(depth + 1, Closing::kNone));
  if (!form) return bad_line(line_, fmt::format("the text ends after {}", what));
  return *std::move(form);
}

// Nothing for a discarded form.
Result<std::optional<Form>> EdnReader::read_dispatch(std::size_t depth, Closing /*closing*/) {
  ++at_;
  if (!at_end() && text_[at_] == '_') {
    ++at_;
    BLX_TRY(read_one(depth, "#_"));
    return std::optional<Form>();
  }
  if (!at_end() && text_[at_] == '{') {
    ++at_;
    BLX_TRY(read_items(Form::Kind::kVector, depth, Closing::kCurly));
    return Form::of(Form::Kind::kOther, "#{}");
  }
  if (at_end() || ends_word(text_[at_])) return bad_line(line_, "a # with nothing behind it");
  BLX_TRY(const Form tag, read_word());
  BLX_TRY(read_one(depth, "#" + tag.text));
  return Form::of(Form::Kind::kOther, "#" + tag.text);
}

}  // namespace blixard::linearizability
