#include "node/vm/qemu/state_transfer.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json.hpp>

#include "base/unwritten.h"
#include "env/scope.h"
#include "env/sync.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

constexpr std::string_view kStream = "state";  // how QEMU knows its end
constexpr std::string_view kIgnoreShared = "x-ignore-shared";
constexpr Duration kPatience = 2s;    // with one command
constexpr Duration kLookAgain = 2ms;  // at how far QEMU is
constexpr std::size_t kPieceBytes = std::size_t{256} << 10;
constexpr std::int64_t kBytesPerSecond = std::int64_t{10} << 30;  // no limit, that is

// What QEMU itself would do after a load: say the card's MAC on its network. It is that of the
// template, and where it was heard the clone is not found for seconds.
json::object load_parameters() { return {{"announce-rounds", 0}}; }

json::object uri() { return {{"uri", "fd:" + std::string(kStream)}}; }

// What its monitor says is QEMU's failure; that it was given up, or late, is not.
Result<void> of_qemu(Result<void> result, const char* reason) {
  if (result || result.error().code() == Code::kCancelled) return result;
  if (result.error().code() == Code::kDeadlineExceeded) return result;
  return fail(Code::kInternal, reason, result.error().message());
}

// Also off: a clone that was loaded with it has it on.
env::Task<Result<void>> set_memory_shared(RunningVm& vm, bool is_shared) {
  if (!is_shared) {
    BLX_CO_TRY(const bool is_known, co_await can_share_memory(vm));
    if (!is_known) co_return Result<void>();
  }
  const json::object capability{{"capability", json::string_view(kIgnoreShared)},
                                {"state", is_shared}};
  BLX_CO_TRY(co_await vm.execute("migrate-set-capabilities", kPatience,
                                 {{"capabilities", json::array{capability}}}));
  co_return Result<void>();
}

// QEMU saves a guest that it has saved before only after that has run.
env::Task<Result<void>> stand_still(RunningVm& vm) {
  BLX_CO_TRY(co_await vm.execute("stop", kPatience));
  BLX_CO_TRY(co_await vm.refresh(kPatience));
  if (vm.run_state() != "postmigrate") co_return Result<void>();
  BLX_CO_TRY(co_await vm.execute("cont", kPatience));
  BLX_CO_TRY(co_await vm.execute("stop", kPatience));
  co_return Result<void>();
}

env::Task<Result<void>> begin_save(env::Env env, RunningVm& vm, StateOf of,
                                   std::unique_ptr<env::Stream> theirs, Instant deadline) {
  BLX_CO_TRY(co_await wait_until_settled(env, vm, deadline));
  BLX_CO_TRY(co_await stand_still(vm));
  BLX_CO_TRY(co_await set_memory_shared(vm, of == StateOf::kDevices));
  BLX_CO_TRY(co_await vm.execute("migrate-set-parameters", kPatience,
                                 {{"max-bandwidth", kBytesPerSecond}}));
  BLX_CO_TRY(co_await vm.hand_over(std::string(kStream), std::move(theirs), kPatience));
  BLX_CO_TRY(co_await vm.execute("migrate", kPatience, uri()));
  co_return Result<void>();
}

env::Task<Result<void>> begin_load(RunningVm& vm, StateOf of, std::unique_ptr<env::Stream> theirs) {
  BLX_CO_TRY(co_await set_memory_shared(vm, of == StateOf::kDevices));
  BLX_CO_TRY(co_await vm.execute("migrate-set-parameters", kPatience, load_parameters()));
  BLX_CO_TRY(co_await vm.hand_over(std::string(kStream), std::move(theirs), kPatience));
  BLX_CO_TRY(co_await vm.execute("migrate-incoming", kPatience, uri()));
  co_return Result<void>();
}

// Reads all that comes, into the sink.
env::Task<Result<void>> receive(env::Stream& stream, vm::StateSink& sink, std::uint64_t bytes_max) {
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  std::uint64_t size = 0;
  while (true) {
    const auto count = co_await stream.read_some(buffer);
    if (!count) co_return of_qemu(std::unexpected(count.error()), kSaveFailed);
    if (*count == 0) co_return Result<void>();
    if (*count > bytes_max - size) {
      co_return fail(Code::kResourceExhausted, "state_too_large",
                     "it has more than " + std::to_string(bytes_max) + " bytes");
    }
    BLX_CO_TRY(co_await sink.write(std::string_view(buffer).substr(0, *count)));
    size += *count;
  }
}

env::Task<Result<void>> feed(env::Stream& stream, vm::StateSource& source) {
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  while (true) {
    BLX_CO_TRY(const std::size_t count, co_await source.read(buffer));
    if (count == 0) break;
    const auto fed = co_await stream.write_all(std::string_view(buffer).substr(0, count));
    if (!fed) co_return of_qemu(fed, kLoadFailed);
  }
  stream.close();
  co_return Result<void>();
}

// "" before the first save.
env::Task<Result<std::string>> save_status(RunningVm& vm, std::string& why) {
  BLX_CO_TRY(const json::value answer, co_await vm.execute("query-migrate", kPatience));
  const json::object* object = answer.if_object();
  if (object == nullptr) co_return fail(Code::kDataLoss, "qmp_malformed");
  const auto text_of = [object](std::string_view key) {
    const json::value* value = object->if_contains(key);
    const json::string* text = value != nullptr ? value->if_string() : nullptr;
    return text != nullptr ? std::string(*text) : std::string();
  };
  why = text_of("error-desc");
  co_return text_of("status");
}

bool is_over(std::string_view status) {
  return status.empty() || status == "none" || status == "completed" || status == "failed" ||
         status == "cancelled";
}

env::Task<Result<void>> end_save(env::Env env, RunningVm& vm, Instant deadline) {
  BLX_CO_TRY(co_await wait_until_settled(env, vm, deadline));
  std::string why;
  BLX_CO_TRY(const std::string status, co_await save_status(vm, why));
  if (status == "completed") co_return Result<void>();
  co_return fail(Code::kInternal, kSaveFailed, why.empty() ? "QEMU gives no reason" : why);
}

env::Task<Result<void>> wait_until_loaded(env::Env env, RunningVm& vm, Instant deadline) {
  while (env.clock.monotonic() < deadline) {
    BLX_CO_TRY(co_await vm.refresh(kPatience));
    if (vm.exited() || vm.ended()) co_return fail(Code::kInternal, kLoadFailed, "QEMU ended");
    if (!vm.is_incoming()) co_return Result<void>();
    BLX_CO_TRY(co_await env.clock.sleep(kLookAgain));
  }
  co_return fail(Code::kDeadlineExceeded, kLoadFailed, "QEMU did not finish in time");
}

}  // namespace

env::Task<Result<bool>> can_share_memory(RunningVm& vm) {
  BLX_CO_TRY(const json::value answer,
             co_await vm.execute("query-migrate-capabilities", kPatience));
  const json::array* capabilities = answer.if_array();
  if (capabilities == nullptr) co_return fail(Code::kDataLoss, "qmp_malformed");
  for (const json::value& each : *capabilities) {
    const json::object* object = each.if_object();
    const json::value* name = object != nullptr ? object->if_contains("capability") : nullptr;
    if (name != nullptr && name->is_string() && name->get_string() == kIgnoreShared) co_return true;
  }
  co_return false;
}

env::Task<Result<void>> wait_until_settled(env::Env env, RunningVm& vm, Instant deadline) {
  std::string why;
  while (env.clock.monotonic() < deadline) {
    BLX_CO_TRY(const std::string status, co_await save_status(vm, why));
    BLX_CO_TRY(co_await vm.refresh(kPatience));
    if (is_over(status) && vm.run_state() != "finish-migrate") co_return Result<void>();
    BLX_CO_TRY(co_await env.clock.sleep(kLookAgain));
  }
  co_return fail(Code::kDeadlineExceeded, kSaveFailed, "QEMU did not finish in time");
}

env::Task<Result<void>> save_state(env::Env env, RunningVm& vm, vm::StateSink& sink, StateOf of,
                                   std::uint64_t bytes_max, Instant deadline) {
  BLX_CO_TRY(env::StreamPair pair, co_await env.network.pair());
  const auto begun = co_await begin_save(env, vm, of, std::move(pair.theirs), deadline);
  if (!begun) co_return of_qemu(begun, kSaveFailed);
  const auto received = co_await env::with_deadline(env.executor, env.clock, deadline,
                                                    receive(*pair.ours, sink, bytes_max));
  pair.ours->close();  // what QEMU has still to say fails
  if (received) co_return of_qemu(co_await end_save(env, vm, deadline), kSaveFailed);
  // A command that is cancelled may cost the connection to the monitor.
  if (received.error().code() != Code::kCancelled) {
    ignore(co_await wait_until_settled(env, vm, env.clock.monotonic() + kPatience),
           "whoever lets it go on waits again");
  }
  co_return received;
}

env::Task<Result<void>> load_state(env::Env env, RunningVm& vm, vm::StateSource& source, StateOf of,
                                   Instant deadline) {
  BLX_CO_TRY(env::StreamPair pair, co_await env.network.pair());
  const auto begun = co_await begin_load(vm, of, std::move(pair.theirs));
  if (!begun) co_return of_qemu(begun, kLoadFailed);
  BLX_CO_TRY(
      co_await env::with_deadline(env.executor, env.clock, deadline, feed(*pair.ours, source)));
  co_return of_qemu(co_await wait_until_loaded(env, vm, deadline), kLoadFailed);
}

}  // namespace blixard::qemu
