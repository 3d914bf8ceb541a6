#include "node/vm/qemu/qmp_client.h"

#include <array>
#include <utility>
#include <variant>

#include "observe/failpoint.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

std::unexpected<Error> connection_ended() { return fail(Code::kUnavailable, "qmp_closed"); }

}  // namespace

QmpClient::QmpClient(env::Executor& executor, env::Clock& clock,
                     std::unique_ptr<env::Stream> stream, EventHandler handler)
    : executor_(executor),
      clock_(clock),
      stream_(std::move(stream)),
      handler_(std::move(handler)),
      turns_(executor),
      changed_(executor) {}

env::Task<void> QmpClient::run() {
  std::array<char, 8192> buffer;
  while (!closed_) {
    const Result<std::size_t> count = co_await stream_->read_some(buffer);
    if (!count || *count == 0) break;
    if (!decoder_.feed({buffer.data(), *count})) break;
    Result<std::optional<Message>> message = decoder_.next();
    while (message && *message) {
      take(std::move(**message));
      message = decoder_.next();
    }
    if (!message) break;
  }
  close();
}

void QmpClient::take(Message message) {
  if (auto* greeting = std::get_if<Greeting>(&message)) {
    version_ = std::move(greeting->version);
    changed_.notify_all();
  } else if (auto* returned = std::get_if<Return>(&message)) {
    if (returned->id != id_ || answer_) return;
    answer_ = std::move(returned->value);
    changed_.notify_all();
  } else if (auto* error = std::get_if<CommandError>(&message)) {
    if (error->id != id_ || answer_) return;
    answer_ =
        fail(Code::kFailedPrecondition, "qmp_refused", error->error_class + ": " + error->text);
    changed_.notify_all();
  } else {
    handler_(std::get<Event>(message));
  }
}

void QmpClient::close() {
  closed_ = true;
  stream_->close();
  changed_.notify_all();
}

env::Task<Result<void>> QmpClient::wait_closed(Instant deadline) {
  co_return co_await vm::wait_until(executor_, clock_, changed_, deadline,
                                    [this] { return closed_; });
}

env::Task<Result<std::string>> QmpClient::handshake(Instant deadline) {
  const auto greeted = [this] { return version_.has_value() || closed_; };
  BLX_CO_TRY(co_await vm::wait_until(executor_, clock_, changed_, deadline, greeted));
  if (!version_) co_return connection_ended();
  BLX_CO_TRY(co_await execute("qmp_capabilities", {}, deadline));
  co_return *version_;
}

env::Task<Result<void>> QmpClient::send(std::string line, std::unique_ptr<env::Stream> handed,
                                        Instant deadline) {
  if (closed_) co_return connection_ended();
  auto write = handed ? stream_->write_with(line, std::move(handed)) : stream_->write_all(line);
  auto written = co_await env::with_deadline(executor_, clock_, deadline, std::move(write));
  if (!written) close();  // half a line may have gone out
  co_return written;
}

env::Task<Result<json::value>> QmpClient::execute(std::string command, json::object arguments,
                                                  Instant deadline) {
  return ask(std::move(command), std::move(arguments), nullptr, deadline);
}

env::Task<Result<void>> QmpClient::hand_over(std::string name, std::unique_ptr<env::Stream> end,
                                             Instant deadline) {
  BLX_CO_TRY(co_await ask("getfd", {{"fdname", std::move(name)}}, std::move(end), deadline));
  co_return Result<void>();
}

env::Task<Result<json::value>> QmpClient::ask(std::string command, json::object arguments,
                                              std::unique_ptr<env::Stream> handed,
                                              Instant deadline) {
  BLX_CO_TRY(const vm::Turns::Held turn,
             co_await env::with_deadline(executor_, clock_, deadline, turns_.take()));
  ++id_;
  answer_.reset();
  if (auto error = BLX_FAILPOINT_ERROR("qmp::command", kUnavailable, "qmp_closed")) {
    co_return std::unexpected(*std::move(error));
  }
  BLX_CO_TRY(co_await send(encode_command(command, arguments, id_), std::move(handed), deadline));
  const auto answered = [this] { return answer_.has_value() || closed_; };
  const auto waited = co_await vm::wait_until(executor_, clock_, changed_, deadline, answered);
  if (!waited) {
    ++id_;  // its answer comes too late
    co_return std::unexpected(waited.error());
  }
  if (!answer_) co_return connection_ended();
  co_return *std::exchange(answer_, std::nullopt);
}

}  // namespace blixard::qemu
