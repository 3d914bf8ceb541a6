#include "node/vm/qemu/template_key.h"

#include <initializer_list>
#include <utility>

#include "node/vm/qemu/arguments.h"

namespace blixard::qemu {
namespace {

constexpr std::string_view kTemplateFormat = "blixard template 1";
constexpr std::string_view kSavedFormat = "blixard saved guest 1";
constexpr std::size_t kNameDigits = 8;

// Over what is told of the host, and the command line of such a guest. Errors:
// kFailedPrecondition `unsupported`.
Result<std::string> key_of(std::initializer_list<std::string_view> host, vm::GuestSpec spec,
                           vm::Accelerator accelerator, const char* unsupported) {
  if (!spec.kernel_digest || !spec.initrd_digest) {
    return fail(Code::kFailedPrecondition, unsupported, "the digests of the image are not known");
  }
  spec.name = "template";
  spec.uuid = {};
  spec.published.clear();
  spec.kernel_path = image::digest_text(*spec.kernel_digest);
  spec.initrd_path = image::digest_text(*spec.initrd_digest);
  BLX_TRY(const auto arguments, build_arguments(spec, {accelerator, 0}));
  image::Hasher hasher;
  const auto add = [&hasher](std::string_view part) {
    hasher.update(part);
    hasher.update({"\0", 1});
  };
  for (const std::string_view part : host)
    add(part);
  for (const std::string& argument : arguments)
    add(argument);
  return image::digest_text(hasher.finish());
}

}  // namespace

Result<std::string> template_key(vm::GuestSpec spec, const StateHost& host) {
  const bool is_kvm = host.accelerator == vm::Accelerator::kKvm;
  return key_of({kTemplateFormat, host.version, is_kvm ? host.boot_id : ""}, std::move(spec),
                host.accelerator, "templates_unsupported");
}

Result<std::string> saved_key(vm::GuestSpec spec, const StateHost& host) {
  return key_of({kSavedFormat, host.version}, std::move(spec), host.accelerator,
                "saves_unsupported");
}

std::string template_name(std::string_view key) {
  return "tpl-" + std::string(key.substr(0, kNameDigits));
}

}  // namespace blixard::qemu
