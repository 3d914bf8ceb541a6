// Guests that are saved and go on. What is saved of one is its soul (soul.h) among other bytes.

#include <algorithm>
#include <array>
#include <utility>

#include "node/vm/sim/sim_driver.h"
#include "observe/allocations.h"

namespace blixard::vm_sim {
namespace {

constexpr std::size_t kPieceBytes = 1024;  // fewer than all, so that a sink may fail half way

std::unexpected<Error> guest_ended() { return fail(Code::kFailedPrecondition, "guest_ended"); }

env::Task<Result<void>> write_pieces(std::shared_ptr<vm::StateSink> sink, std::string bytes,
                                     bool fails) {
  for (std::size_t at = 0; at < bytes.size(); at += kPieceBytes) {
    if (fails && at >= bytes.size() / 2) co_return fail(Code::kInternal, "save_failed");
    BLX_CO_TRY(co_await sink->write(std::string_view(bytes).substr(at, kPieceBytes)));
  }
  co_return Result<void>();
}

// One byte more than there should be is enough to know that there are too many.
env::Task<Result<std::string>> read_saved(std::shared_ptr<vm::StateSource> source) {
  std::string bytes;
  std::array<char, kPieceBytes> buffer{};
  while (bytes.size() <= kSavedBytes) {
    BLX_CO_TRY(const std::size_t count, co_await source->read(buffer));
    if (count == 0) break;
    bytes.append(buffer.data(), count);
  }
  co_return bytes;
}

}  // namespace

env::Task<Result<std::string>> SimDriver::saved_key(vm::GuestSpec spec) {
  co_return co_await key_of("saved guest", std::move(spec), "saves_unsupported");
}

env::Task<Result<void>> SimDriver::save(vm::Record record, std::shared_ptr<vm::StateSink> sink,
                                        Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const Vm vm, co_await find(record));
  if (status_of(*vm).end != vm::EndReason::kNone) co_return guest_ended();
  SimGuest* guest = hypervisor_.find(vm->record.process);
  if (!guest->clone_of.empty() && !guest->identified) {
    co_return fail(Code::kFailedPrecondition, "guest_not_ready", "the clone is not its VM yet");
  }
  hypervisor_.pause(*guest, env_.clock.wall());
  std::string bytes = guest->soul.encode_saved(guest->paused_at);
  BLX_CO_TRY(co_await env_.clock.sleep(hypervisor_.times.save));
  BLX_CO_TRY(co_await env::with_deadline(
      env_.executor, env_.clock, deadline,
      write_pieces(std::move(sink), std::move(bytes), hypervisor_.fail_saves)));
  if (status_of(*vm).end != vm::EndReason::kNone) co_return guest_ended();
  co_return Result<void>();
}

env::Task<Result<void>> SimDriver::load_resumed(Vm vm, std::shared_ptr<vm::StateSource> source,
                                                Instant deadline) {
  constexpr const char* kUnusable = "saved_state_unusable";
  auto bytes = co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                           read_saved(std::move(source)));
  if (!bytes && bytes.error().code() == Code::kCancelled) co_return std::unexpected(bytes.error());
  if (!bytes) {
    vms_.erase(vm->record.id);
    BLX_CO_TRY(co_await env_.process.kill_group(vm->record.group));
    if (bytes.error().code() != Code::kDataLoss) co_return std::unexpected(bytes.error());
    co_return fail(Code::kDataLoss, kUnusable, bytes.error().message());
  }
  if (SimGuest* guest = hypervisor_.find(vm->record.process)) guest->saved = *std::move(bytes);
  BLX_CO_TRY(co_await load_guest(vm, kUnusable, deadline));
  vm->reported = vm::Phase::kPaused;
  co_return Result<void>();
}

}  // namespace blixard::vm_sim
