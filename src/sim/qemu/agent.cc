#include "sim/qemu/agent.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "sim/qemu/guest.h"

namespace blixard::sim {
namespace {

constexpr std::size_t kAskedMax = 4096;
constexpr std::string_view kStaleNonce = "0123456789abcdef";

bool is_nonce(std::string_view word) {
  return !word.empty() && word.size() <= 32 &&
         word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
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
  if (!guest_.listens()) return;
  if (!is_greeted_) {
    is_greeted_ = true;
    client_->say(fmt::format("ready 1 {}", guest_.line().name));
  }
  std::size_t begin = 0;
  for (std::size_t end = asked_.find('\n'); end != std::string::npos;
       end = asked_.find('\n', begin)) {
    answer(std::string_view(asked_).substr(begin, end - begin));
    begin = end + 1;
  }
  asked_.erase(0, begin);
}

void QemuAgent::answer(std::string_view line) {
  if (line.empty()) return;
  const std::size_t blank = std::min(line.find(' '), line.size());
  const std::string_view verb = line.substr(0, blank);
  line.remove_prefix(std::min(blank + 1, line.size()));
  std::string_view nonce = line.substr(0, line.find(' '));
  if (!is_nonce(nonce)) {
    client_->say("error - no nonce");
    return;
  }
  const QemuFaults& faults = guest_.faults();
  if (verb == "shutdown" && faults.ignores_shutdown) return;
  if (faults.agent_is_stale) nonce = kStaleNonce;
  if (verb == "shutdown") {
    guest_.shut_down();
  } else if (verb != "ping") {
    client_->say(fmt::format("error {} unknown verb", nonce));
    return;
  }
  client_->say(fmt::format("ok {}", nonce));
}

}  // namespace blixard::sim
