// Templates and their clones. A template is the saved soul of a guest (soul.h) and the digest that
// says which memory the saved devices belong to.

#include <algorithm>
#include <utility>

#include "node/vm/sim/sim_driver.h"
#include "node/vm/template_files.h"
#include "observe/allocations.h"

namespace blixard::vm_sim {
namespace {

std::unexpected<Error> unusable(std::string why) {
  return fail(Code::kDataLoss, "template_unusable", std::move(why));
}

// Of the guest that was saved.
std::string template_name(const std::string& key) { return "tpl-" + key.substr(0, 8); }

}  // namespace

env::Task<Result<std::string>> SimDriver::template_key(vm::GuestSpec spec) {
  co_return co_await key_of("template", std::move(spec), "templates_unsupported");
}

env::Task<Result<std::string>> SimDriver::key_of(std::string_view of, vm::GuestSpec spec,
                                                 const char* unsupported) {
  BLX_CO_TRY(vm::check_guest_spec(spec));
  BLX_CO_TRY(const vm::Capabilities capabilities, co_await probe());
  if (!spec.kernel_digest || !spec.initrd_digest) {
    co_return fail(Code::kFailedPrecondition, unsupported,
                   "the digests of kernel and initrd are not known");
  }
  image::Hasher hasher;
  for (const std::string& part :
       {std::string(of), program_, std::string(vm::accelerator_name(capabilities.accelerator)),
        std::to_string(spec.vcpus), std::to_string(spec.memory.value),
        image::digest_text(*spec.kernel_digest), image::digest_text(*spec.initrd_digest),
        spec.cmdline}) {
    hasher.update(part + "\n");
  }
  co_return image::digest_text(hasher.finish());
}

env::Task<Result<std::vector<std::string>>> SimDriver::make_template(vm::GuestSpec spec,
                                                                     std::string directory,
                                                                     Instant deadline) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(const std::string key, co_await template_key(spec));
  BLX_CO_TRY(const vm::Turns::Held turn,
             co_await env::with_deadline(env_.executor, env_.clock, deadline,
                                         turns_.take(vm::kTemplateVm.value)));
  spec.id = vm::kTemplateVm;
  spec.uuid = env_.random.uuid();
  spec.name = template_name(key);
  spec.published.clear();
  spec.clone_of.reset();
  auto names = co_await boot_and_save(std::move(spec), std::move(directory), deadline);
  // Also when it was cancelled: it is nobody's VM, and nobody else would end it soon.
  env::Cancellation none;
  const auto released = co_await release_leftover(vm::kTemplateVm).under(none);
  if (names) BLX_CO_TRY(released);
  co_return names;
}

env::Task<Result<std::vector<std::string>>> SimDriver::boot_and_save(vm::GuestSpec spec,
                                                                     std::string directory,
                                                                     Instant deadline) {
  BLX_CO_TRY(vm::Record prepared, co_await prepare(spec));
  BLX_CO_TRY(const vm::Record record, co_await start(spec, std::move(prepared), deadline));
  BLX_CO_TRY(co_await wait_ready(record, deadline));
  BLX_CO_TRY(co_await pause(record));
  const SimGuest* guest = hypervisor_.find(record.process);
  if (guest == nullptr) co_return fail(Code::kFailedPrecondition, "guest_ended");
  const std::string ram = guest->soul.encode(env_.clock.wall());
  const std::string state = image::digest_text(image::digest_of(ram));
  BLX_CO_TRY(co_await env_.disk.replace_file(env::join_path(directory, kRamFile), ram));
  BLX_CO_TRY(co_await env_.disk.replace_file(env::join_path(directory, kStateFile), state));
  co_return std::vector<std::string>{std::string(kRamFile), std::string(kStateFile)};
}

// What can be known before anything is started.
env::Task<Result<void>> SimDriver::check_clone(vm::GuestSpec spec) {
  const vm::Template& wanted = *spec.clone_of;
  const auto key = co_await template_key(spec);
  if (!key && key.error().code() != Code::kFailedPrecondition) {
    co_return std::unexpected(key.error());
  }
  if (!key || *key != wanted.key) co_return unusable("the template is of another guest");
  const auto checked = co_await vm::check_template_sizes(env_.disk, wanted);
  if (!checked) co_return unusable(checked.error().message());
  const auto file = std::ranges::find(wanted.files, kStateFile, &vm::TemplateFile::name);
  if (file == wanted.files.end()) co_return unusable("the template has no state");
  const auto state =
      co_await env_.disk.read_file(env::join_path(wanted.directory, kStateFile), kSoulBytes);
  if (!state) co_return unusable(state.error().message());
  if (image::digest_of(*state) != file->digest) co_return unusable("state has another digest");
  co_return Result<void>();
}

Result<void> SimDriver::identify(const Known& vm) {
  SimGuest* guest = hypervisor_.find(vm.record.process);
  if (guest == nullptr) return fail(Code::kFailedPrecondition, "guest_ended");
  if (!guest->is_loaded_one()) return {};
  const vm::Record& record = vm.record;
  const auto done = hypervisor_.identify(
      *guest, {.was = record.is_resumed ? record.name : template_name(record.template_key),
               .name = record.name,
               .uuid = record.uuid,
               .entropy = env_.random.hex(32)});
  if (done) return {};
  return fail(Code::kDataLoss, record.is_resumed ? "saved_state_unusable" : "template_unusable",
              done.error().message());
}

}  // namespace blixard::vm_sim
