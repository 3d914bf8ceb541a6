#include "node/vm/qemu/state_transfer.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json.hpp>

#include "base/bug.h"
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

env::Task<Result<void>> share_memory(RunningVm& vm) {
  const json::object capability{{"capability", json::string_view(kIgnoreShared)}, {"state", true}};
  BLX_CO_TRY(co_await vm.execute("migrate-set-capabilities", kPatience,
                                 {{"capabilities", json::array{capability}}}));
  co_return Result<void>();
}

// Reads all that comes, into the file.
env::Task<Result<void>> receive(env::Stream& stream, env::File& file, std::uint64_t bytes_max) {
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  std::uint64_t size = 0;
  while (true) {
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
    if (count == 0) co_return Result<void>();
    if (count > bytes_max - size) {
      co_return fail(Code::kResourceExhausted, "state_too_large",
                     "it has more than " + std::to_string(bytes_max) + " bytes");
    }
    const std::array<std::string_view, 1> parts{std::string_view(buffer).substr(0, count)};
    BLX_CO_TRY(co_await file.write_at(size, parts));
    size += count;
  }
}

// Writes the file, and says whether it was the right one.
env::Task<Result<void>> feed(env::Stream& stream, env::File& file, image::Digest digest) {
  std::string buffer;
  resize_unwritten(buffer, kPieceBytes);
  image::Hasher hasher;
  std::uint64_t size = 0;
  while (true) {
    BLX_CO_TRY(const std::size_t count, co_await file.read_at(size, buffer));
    if (count == 0) break;
    const auto piece = std::string_view(buffer).substr(0, count);
    hasher.update(piece);
    BLX_CO_TRY(co_await stream.write_all(piece));
    size += count;
  }
  stream.close();
  if (hasher.finish() != digest && !BLX_BUG(kBelievesTemplates)) {
    co_return fail(Code::kDataLoss, "state_damaged", "the saved state is not what was saved");
  }
  co_return Result<void>();
}

env::Task<Result<void>> wait_until_saved(env::Env env, RunningVm& vm, Instant deadline) {
  while (env.clock.monotonic() < deadline) {
    BLX_CO_TRY(const json::value answer, co_await vm.execute("query-migrate", kPatience));
    const json::object* object = answer.if_object();
    const json::value* status = object != nullptr ? object->if_contains("status") : nullptr;
    if (status != nullptr && *status == "completed") co_return Result<void>();
    if (status != nullptr && (*status == "failed" || *status == "cancelled")) {
      const json::value* why = object->if_contains("error-desc");
      const bool is_told = why != nullptr && why->is_string();
      co_return fail(Code::kInternal, "save_failed",
                     is_told ? std::string(why->get_string()) : "QEMU gives no reason");
    }
    BLX_CO_TRY(co_await env.clock.sleep(kLookAgain));
  }
  co_return fail(Code::kDeadlineExceeded, "save_failed", "QEMU did not finish in time");
}

env::Task<Result<void>> wait_until_loaded(env::Env env, RunningVm& vm, Instant deadline) {
  while (env.clock.monotonic() < deadline) {
    BLX_CO_TRY(co_await vm.refresh(kPatience));
    if (vm.exited() || vm.ended()) co_return fail(Code::kInternal, "load_failed", "QEMU ended");
    if (!vm.is_incoming()) co_return Result<void>();
    BLX_CO_TRY(co_await env.clock.sleep(kLookAgain));
  }
  co_return fail(Code::kDeadlineExceeded, "load_failed", "QEMU did not finish in time");
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

env::Task<Result<void>> save_state(env::Env env, RunningVm& vm, env::File& file,
                                   std::uint64_t bytes_max, Instant deadline) {
  BLX_CO_TRY(co_await vm.execute("stop", kPatience));
  BLX_CO_TRY(co_await share_memory(vm));
  BLX_CO_TRY(co_await vm.execute("migrate-set-parameters", kPatience,
                                 {{"max-bandwidth", kBytesPerSecond}}));
  BLX_CO_TRY(env::StreamPair pair, co_await env.network.pair());
  BLX_CO_TRY(co_await vm.hand_over(std::string(kStream), std::move(pair.theirs), kPatience));
  BLX_CO_TRY(co_await vm.execute("migrate", kPatience, uri()));
  BLX_CO_TRY(co_await env::with_deadline(env.executor, env.clock, deadline,
                                         receive(*pair.ours, file, bytes_max)));
  co_return co_await wait_until_saved(env, vm, deadline);
}

env::Task<Result<void>> load_state(env::Env env, RunningVm& vm, env::File& file,
                                   image::Digest digest, Instant deadline) {
  BLX_CO_TRY(co_await share_memory(vm));
  BLX_CO_TRY(co_await vm.execute("migrate-set-parameters", kPatience, load_parameters()));
  BLX_CO_TRY(env::StreamPair pair, co_await env.network.pair());
  BLX_CO_TRY(co_await vm.hand_over(std::string(kStream), std::move(pair.theirs), kPatience));
  BLX_CO_TRY(co_await vm.execute("migrate-incoming", kPatience, uri()));
  BLX_CO_TRY(co_await env::with_deadline(env.executor, env.clock, deadline,
                                         feed(*pair.ours, file, digest)));
  co_return co_await wait_until_loaded(env, vm, deadline);
}

}  // namespace blixard::qemu
