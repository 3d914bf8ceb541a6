// How a guest that stands still is saved and goes on: the part of QemuDriver that does so.

#include <utility>

#include <boost/json.hpp>

#include "base/limits.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "observe/allocations.h"

namespace blixard::qemu {
namespace {

namespace json = boost::json;

constexpr Duration kCommandPatience = 2s;
constexpr Duration kEndPatience = 1s;
constexpr Duration kTellTimePatience = 1s;

std::unexpected<Error> guest_ended() { return fail(Code::kFailedPrecondition, "guest_ended"); }

// What the guest was started with, which the record does not say.
env::Task<Result<std::uint64_t>> memory_bytes(RunningVm& vm) {
  BLX_CO_TRY(const json::value answer,
             co_await vm.execute("query-memory-size-summary", kCommandPatience));
  const json::object* object = answer.if_object();
  const json::value* size = object != nullptr ? object->if_contains("base-memory") : nullptr;
  const std::int64_t* bytes = size != nullptr ? size->if_int64() : nullptr;
  constexpr std::uint64_t kMost = mib(limits::kMemoryMibMax).value;
  if (bytes == nullptr || *bytes <= 0 || static_cast<std::uint64_t>(*bytes) > kMost) {
    co_return fail(Code::kInternal, kSaveFailed, "QEMU does not say how much memory it has");
  }
  co_return static_cast<std::uint64_t>(*bytes);
}

env::Task<Result<void>> save_guest(env::Env env, RunningVm& vm, vm::StateSink& sink,
                                   Instant deadline) {
  BLX_CO_TRY(const std::uint64_t memory, co_await memory_bytes(vm));
  co_return co_await save_state(env, vm, sink, StateOf::kWholeGuest,
                                memory + limits::kSavedOverheadBytes, deadline);
}

}  // namespace

StateHost QemuDriver::state_host() const {
  return {capabilities_->accelerator, version_, env_.machine.facts().boot_id};
}

env::Task<Result<std::string>> QemuDriver::saved_key(vm::GuestSpec spec) {
  BLX_CO_TRY(co_await probe());
  co_return qemu::saved_key(std::move(spec), state_host());
}

env::Task<Result<void>> QemuDriver::save(vm::Record record, std::shared_ptr<vm::StateSink> sink,
                                         Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm->ended()) co_return guest_ended();
  if (!vm->record().is_resumed && co_await is_unidentified(vm->record())) {
    co_return fail(Code::kFailedPrecondition, "guest_not_ready", "the clone is not its VM yet");
  }
  const auto saved = co_await save_guest(env_, *vm, *sink, deadline);
  if (saved || saved.error().code() == Code::kCancelled) co_return saved;
  if (!vm->connected()) {
    ignore(co_await vm->wait(env_.clock.monotonic() + kEndPatience,
                             [](const RunningVm& running) { return running.exited(); }),
           "then it is no end of the guest");
  }
  if (vm->ended()) co_return guest_ended();
  co_return saved;
}

env::Task<Result<void>> QemuDriver::resume(vm::Record record) {
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (vm->ended()) co_return guest_ended();
  const bool is_nobody_yet = co_await is_unidentified(vm->record());
  // First: a guest that may have run is not loaded anew.
  if (is_nobody_yet)
    BLX_CO_TRY(co_await directories_.note(record.id, RunDirectories::Note::kLetRun));
  BLX_CO_TRY(co_await wait_until_settled(env_, *vm, env_.clock.monotonic() + kCommandPatience));
  BLX_CO_TRY(co_await execute_and_wait(record, "cont", false));
  if (!is_nobody_yet) co_await tell_time(record.id);
  co_return Result<void>();
}

env::Task<void> QemuDriver::tell_time(VmId id) {
  AgentClient agent(env_, directories_.socket(id, kAgentSocket));
  const auto told = co_await agent.identify({}, env_.clock.monotonic() + kTellTimePatience);
  if (told || told.error().code() == Code::kCancelled) co_return;
  BLX_LOG(env_.log, kWarn, "vm {} goes on, and its clock is behind: {}", id.value,
          told.error().message());
}

}  // namespace blixard::qemu
