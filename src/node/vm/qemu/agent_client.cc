#include "node/vm/qemu/agent_client.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "env/sync.h"

namespace blixard::qemu {
namespace {

constexpr Duration kRepeat = 1s;
constexpr Duration kReconnect = 50ms;
constexpr std::size_t kNonceBytes = 8;
constexpr std::size_t kNoncesKept = 8;

// One question on one connection.
class Session {
 public:
  Session(env::Env& env, env::Stream& stream, std::string verb, std::function<std::string()> words)
      : env_(env), stream_(stream), verb_(std::move(verb)), words_(std::move(words)) {}

  env::Task<Result<void>> run(Instant deadline) {
    while (!answer_) {
      if (env_.clock.monotonic() >= deadline) {
        co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
      }
      const Instant repeat = std::min(deadline, env_.clock.monotonic() + kRepeat);
      auto sent = co_await env::with_deadline(env_.executor, env_.clock, repeat, send());
      if (!sent && sent.error().code() != Code::kDeadlineExceeded) co_return sent;
      if (!sent) co_return fail(Code::kUnavailable, "agent_stuck");  // half a line may be out
      auto listened = co_await env::with_deadline(env_.executor, env_.clock, repeat, listen());
      if (!listened && listened.error().code() != Code::kDeadlineExceeded) co_return listened;
    }
    co_return *answer_;
  }

 private:
  env::Task<Result<void>> send() {
    nonces_.push_back(env_.random.hex(kNonceBytes));
    if (nonces_.size() > kNoncesKept) nonces_.erase(nonces_.begin());
    std::string line = encode_agent_request(verb_, nonces_.back(), words_ ? words_() : "");
    if (!std::exchange(has_begun_, true)) line.insert(0, "\n");
    co_return co_await stream_.write_all(line);
  }

  env::Task<Result<void>> listen() {
    std::array<char, 1024> buffer;
    while (!answer_) {
      BLX_CO_TRY(const std::size_t count, co_await stream_.read_some(buffer));
      if (count == 0) co_return fail(Code::kUnavailable, "agent_closed");
      std::vector<AgentLine> lines;
      decoder_.feed({buffer.data(), count}, lines);
      for (const AgentLine& line : lines)
        take(line);
    }
    co_return Result<void>();
  }

  void take(const AgentLine& line) {
    if (answer_) return;
    if (const auto* ready = std::get_if<AgentReady>(&line)) {
      if (ready->version == kAgentVersion) return;
      answer_ = fail(Code::kFailedPrecondition, "agent_version",
                     "the guest's agent speaks version " + std::to_string(ready->version));
    } else if (const auto* ok = std::get_if<AgentOk>(&line)) {
      if (is_ours(ok->nonce)) answer_ = Result<void>();
    } else if (const auto& error = std::get<AgentError>(line); is_ours(error.nonce)) {
      answer_ = fail(Code::kFailedPrecondition, "agent_refused", error.text);
    }
  }

  [[nodiscard]] bool is_ours(const std::string& nonce) const {
    return std::ranges::find(nonces_, nonce) != nonces_.end();
  }

  env::Env& env_;
  env::Stream& stream_;
  std::string verb_;
  std::function<std::string()> words_;
  bool has_begun_ = false;
  AgentDecoder decoder_;
  std::vector<std::string> nonces_;
  std::optional<Result<void>> answer_;
};

}  // namespace

AgentClient::AgentClient(env::Env env, std::string socket_path)
    : env_(env), socket_path_(std::move(socket_path)) {}

env::Task<Result<void>> AgentClient::ping(Instant deadline) { return ask("ping", {}, deadline); }

env::Task<Result<void>> AgentClient::shutdown(Instant deadline) {
  return ask("shutdown", {}, deadline);
}

env::Task<Result<void>> AgentClient::identify(Identity identity, Instant deadline) {
  const auto words = [this, identity = std::move(identity)]() mutable {
    identity.time = env_.clock.wall();
    return identity.words();
  };
  co_return co_await ask("identity", words, deadline);
}

env::Task<Result<bool>> AgentClient::can_identify(Instant deadline) {
  const auto asked = co_await ask("identity", [] { return std::string("was=nobody"); }, deadline);
  if (asked) co_return false;  // it did not mind who it was
  if (asked.error().reason() != "agent_refused") co_return std::unexpected(asked.error());
  co_return asked.error().detail() == kAnotherGuest;
}

env::Task<Result<void>> AgentClient::ask(std::string verb, Words words, Instant deadline) {
  while (env_.clock.monotonic() < deadline) {
    auto stream = co_await env_.network.dial(env::Endpoint::unix_socket(socket_path_), deadline);
    if (stream) {
      Session session(env_, **stream, verb, words);
      auto asked = co_await session.run(deadline);
      if (asked || asked.error().code() != Code::kUnavailable) co_return asked;
    } else if (stream.error().code() == Code::kCancelled) {
      co_return std::unexpected(stream.error());
    }
    const Instant next = env_.clock.monotonic() + kReconnect;
    BLX_CO_TRY(co_await env_.clock.sleep_until(std::min(next, deadline)));
  }
  co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
}

}  // namespace blixard::qemu
