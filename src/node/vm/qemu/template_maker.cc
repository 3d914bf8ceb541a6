// How a template is made: the part of QemuDriver that boots a guest under nobody's name and saves
// it.

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "env/scope.h"
#include "env/sync.h"
#include "node/vm/qemu/agent_client.h"
#include "node/vm/qemu/arguments.h"
#include "node/vm/qemu/qemu_driver.h"
#include "node/vm/qemu/readiness.h"
#include "node/vm/qemu/state_file.h"
#include "node/vm/qemu/state_transfer.h"
#include "node/vm/qemu/template_key.h"
#include "observe/allocations.h"

namespace blixard::qemu {
namespace {

std::unexpected<Error> unsupported(std::string why) {
  return fail(Code::kFailedPrecondition, "templates_unsupported", std::move(why));
}

}  // namespace

env::Task<Result<std::string>> QemuDriver::template_key(vm::GuestSpec spec) {
  BLX_CO_TRY(co_await probe());
  co_return qemu::template_key(std::move(spec), state_host());
}

env::Task<Result<std::vector<std::string>>> QemuDriver::make_template(vm::GuestSpec spec,
                                                                      std::string directory,
                                                                      Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(directories_.check_paths(vm::kTemplateVm));
  BLX_CO_TRY(const std::string key, co_await template_key(spec));
  BLX_CO_TRY(co_await settle_accelerator(spec, deadline));
  BLX_CO_TRY(const vm::Turns::Held turn,
             co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                         turns_.take(vm::kTemplateVm.value)));
  spec.id = vm::kTemplateVm;
  spec.generation = Generation(1);
  spec.uuid = env_.random.uuid();
  spec.name = template_name(key);
  spec.published.clear();
  spec.clone_of.reset();
  auto saved = co_await boot_and_save(spec, std::move(directory), deadline);
  const auto cleared = co_await clear_maker(!saved && saved.error().code() == Code::kCancelled);
  BLX_CO_TRY(saved);
  BLX_CO_TRY(cleared);
  co_return saved;
}

// Returns the names of the files that it made. Where QEMU cannot leave the memory out of what it
// saves, that is in the one of the state, and is loaded with it.
env::Task<Result<std::vector<std::string>>> QemuDriver::boot_and_save(const vm::GuestSpec& guest,
                                                                      std::string directory,
                                                                      Instant deadline) {
  BLX_CO_TRY(co_await release_leftover_held(vm::kTemplateVm));
  const std::string memory_path = env::join_path(directory, kMemoryFile);
  {
    BLX_CO_TRY(const auto memory, co_await env_.disk.open(memory_path, env::OpenMode::kCreateNew));
    BLX_CO_TRY(co_await memory->resize(guest.memory.value));
  }
  BLX_CO_TRY(co_await directories_.lend(memory_path));
  BLX_CO_TRY(co_await lay_out(guest));
  const GuestMemory memory{.file = directories_.seen_from(guest.id, memory_path),
                           .is_shared = true};
  BLX_CO_TRY(co_await start_process(guest, record_of(guest), memory, deadline));
  const Vm vm = vms_.at(vm::kTemplateVm);
  BLX_CO_TRY(const bool can_share, co_await can_share_memory(*vm));
  const std::string agent = directories_.socket(vm::kTemplateVm, kAgentSocket);
  BLX_CO_TRY(co_await wait_for_agent(env_, *vm, agent, deadline));
  BLX_CO_TRY(const bool can_identify, co_await AgentClient(env_, agent).can_identify(deadline));
  if (!can_identify) co_return unsupported("the agent of this image cannot become another guest");
  BLX_CO_TRY(const auto state, co_await env_.disk.open(env::join_path(directory, kStateFile),
                                                       env::OpenMode::kCreateNew));
  FileSink sink(*state);
  std::vector<std::string> names{std::string(kStateFile)};
  if (can_share) {
    BLX_CO_TRY(co_await save_state(env_, *vm, sink, StateOf::kDevices, limits::kTemplateStateBytes,
                                   deadline));
    names.emplace_back(kMemoryFile);
  } else {
    BLX_CO_TRY(co_await save_state(env_, *vm, sink, StateOf::kWholeGuest,
                                   guest.memory.value + limits::kSavedOverheadBytes, deadline));
    BLX_CO_TRY(co_await env_.disk.remove(memory_path));
  }
  BLX_CO_TRY(co_await state->sync());
  co_return names;
}

env::Task<Result<void>> QemuDriver::clear_maker(bool is_given_up) {
  if (!is_given_up) co_return co_await release_leftover_held(vm::kTemplateVm);
  co_await abandon(vm::kTemplateVm);
  co_return Result<void>();
}

}  // namespace blixard::qemu
