#include "node/vm/qemu/agent_protocol.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/limits.h"

namespace blixard::qemu {
namespace {

constexpr std::size_t kNonceMax = 32;

std::unexpected<Error> malformed() { return fail(Code::kDataLoss, "agent_line_malformed"); }

// Cuts the first word off.
std::string_view take_word(std::string_view& rest) {
  const std::size_t end = std::min(rest.find(' '), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

bool is_nonce(std::string_view word) {
  return !word.empty() && word.size() <= kNonceMax &&
         word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<AgentLine> ready(std::string_view rest) {
  const std::string_view digits = take_word(rest);
  AgentReady line;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), line.version);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    return malformed();
  }
  line.host_name = take_word(rest);
  return line;
}

Result<AgentLine> ok(std::string_view rest) {
  AgentOk line;
  line.nonce = take_word(rest);
  if (!is_nonce(line.nonce)) return malformed();
  while (!rest.empty()) {
    const std::string_view word = take_word(rest);
    const std::size_t equals = word.find('=');
    if (equals == 0 || equals == std::string_view::npos) return malformed();
    line.values.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return line;
}

}  // namespace

Result<AgentLine> parse_agent_line(std::string_view line) {
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (line.size() >= limits::kAgentLineBytes || !std::ranges::all_of(line, printable)) {
    return malformed();
  }
  const std::string_view kind = take_word(line);
  if (kind == "ready") return ready(line);
  if (kind == "ok") return ok(line);
  if (kind != "error") return malformed();
  AgentError error;
  error.nonce = take_word(line);
  if (error.nonce != "-" && !is_nonce(error.nonce)) return malformed();
  error.text = line;
  return error;
}

std::string Identity::words() const {
  std::string words;
  const auto add = [&words](std::string_view key, std::string_view value) {
    if (!value.empty()) words += fmt::format("{}{}={}", words.empty() ? "" : " ", key, value);
  };
  add("was", was);
  add("name", name);
  add("mac", mac);
  add("machine", machine);
  add("time_ms", std::to_string(time.unix_ms));
  add("seed", seed);
  return words;
}

std::string encode_agent_request(std::string_view verb, std::string_view nonce,
                                 std::string_view words) {
  std::string line(verb);
  line += ' ';
  line += nonce;
  if (!words.empty()) {
    line += ' ';
    line += words;
  }
  line += '\n';
  return line;
}

void AgentDecoder::feed(std::string_view bytes, std::vector<AgentLine>& lines) {
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline);
    if (line_.size() + part.size() >= limits::kAgentLineBytes) {
      too_long_ = true;
      line_.clear();
    } else if (!too_long_) {
      line_ += part;
    }
    if (newline == std::string_view::npos) return;
    bytes.remove_prefix(newline + 1);
    Result<AgentLine> line = too_long_ ? Result<AgentLine>(malformed()) : parse_agent_line(line_);
    line_.clear();
    too_long_ = false;
    if (line) {
      lines.push_back(*std::move(line));
    } else {
      ++skipped_;
    }
  }
}

}  // namespace blixard::qemu
