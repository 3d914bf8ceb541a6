#include "sim/qemu/agent.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "sim/qemu/guest.h"
#include "sim/qemu/identity.h"

namespace blixard::sim {
namespace {

constexpr std::size_t kAskedMax = 4096;
constexpr std::size_t kWordsMax = 12;
constexpr std::size_t kRandomBytes = 32;
constexpr std::string_view kStaleNonce = "0123456789abcdef";

bool is_nonce(std::string_view word) {
  return !word.empty() && word.size() <= 32 &&
         word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// As many of the words as there is room for.
std::span<const std::string_view> split(std::string_view line, std::span<std::string_view> room) {
  std::size_t count = 0;
  while (count < room.size()) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    if (line.empty()) break;
    room[count] = line.substr(0, line.find(' '));
    line.remove_prefix(room[count++].size());
  }
  return room.first(count);
}

}  // namespace

env::Task<void> QemuAgent::serve() {
  const env::Env env = guest_.process().env();
  std::array<char, 512> buffer;
  for (;;) {
    auto stream = co_await next_client(env, *listener_);
    if (!stream) co_return;
    client_ = std::make_shared<Outbox>(std::move(stream));
    is_greeted_ = false;
    asked_.clear();
    for (;;) {
      answer_waiting();
      if (!co_await Outbox::flush(client_)) break;
      const auto count = co_await client_->stream().read_some(buffer);
      if (!count || *count == 0) break;
      if (asked_.size() < kAskedMax) asked_.append(buffer.data(), *count);
    }
    client_.reset();
  }
}

env::Task<void> QemuAgent::wake() {
  if (!client_) co_return;
  answer_waiting();
  ignore(co_await Outbox::flush(client_), "serve() finds out");
}

void QemuAgent::answer_waiting() {
  if (!guest_.listens() || !guest_.memory_holds()) return;
  std::string& read = guest_.awake_soul().half_line;
  if (!is_greeted_) {
    is_greeted_ = true;
    client_->say(fmt::format("ready 1 {}", guest_.awake_soul().host_name));
  }
  read += std::exchange(asked_, {});
  std::size_t begin = 0;
  for (std::size_t end = read.find('\n'); end != std::string::npos; end = read.find('\n', begin)) {
    if (end - begin < kAgentLineMax) {
      answer(std::string_view(read).substr(begin, end - begin));
    } else {
      client_->say("error - line too long");
    }
    begin = end + 1;
  }
  read.erase(0, begin);
  if (read.size() > kAgentLineMax) read.erase(kAgentLineMax);
}

void QemuAgent::answer(std::string_view line) {
  if (line.empty()) return;
  const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (!std::ranges::all_of(line, is_printable)) return client_->say("error - not a line of text");
  std::array<std::string_view, kWordsMax + 1> buffer;
  const Words words = split(line, buffer);
  if (words.size() < 2 || !is_nonce(words[1])) return client_->say("error - no nonce");
  const QemuFaults& faults = guest_.faults();
  if (words[0] == "shutdown" && faults.ignores_shutdown) return;
  const std::string_view nonce = faults.agent_is_stale ? kStaleNonce : words[1];
  const Outcome outcome = words.size() > kWordsMax
                              ? std::unexpected(std::string("too many arguments"))
                              : obey(words[0], words.subspan(2));
  if (!outcome) return client_->say(fmt::format("error {} {}", nonce, outcome.error()));
  client_->say(fmt::format("ok {}{}{}", nonce, outcome->empty() ? "" : " ", *outcome));
}

QemuAgent::Outcome QemuAgent::obey(std::string_view verb, Words words) {
  if (verb == "identity") return identify(words);
  const bool tells_random = verb == "random" && !guest_.faults().refuses_identity;
  if (!tells_random && verb != "ping" && verb != "shutdown") {
    return std::unexpected("unknown verb");
  }
  if (!words.empty()) return std::unexpected("unknown argument");
  if (tells_random) return tell_random();
  if (verb == "shutdown") guest_.shut_down();
  return "";
}

QemuAgent::Outcome QemuAgent::identify(Words words) {
  const auto identity = Identity::parse(words);
  if (!identity) return std::unexpected(identity.error());
  if (guest_.faults().refuses_identity && identity->is_for_clones()) {
    return std::unexpected("unknown argument");
  }
  Soul& soul = guest_.awake_soul();
  const Instant now = guest_.now();
  if (const auto done = identity->apply(soul, now); !done) return std::unexpected(done.error());
  if (identity->is_whole()) guest_.become_whole();
  if (soul.boot_id.empty()) soul.boot_id = soul.random.take_hex(kBootIdDigits / 2);
  return fmt::format("protocol=1 name={} boot={} uptime_ms={} mac={} machine={}", soul.host_name,
                     soul.boot_id, soul.clock.uptime(now) / 1ms,
                     soul.mac.empty() ? "none" : soul.mac, soul.machine_id);
}

QemuAgent::Outcome QemuAgent::tell_random() {
  Soul& soul = guest_.awake_soul();
  return fmt::format("bytes={} time_ms={}", soul.random.take_hex(kRandomBytes),
                     soul.clock.wall(guest_.now()).unix_ms);
}

}  // namespace blixard::sim
