#include "node/vm/qemu/template_key.h"

#include "node/vm/qemu/arguments.h"

namespace blixard::qemu {
namespace {

constexpr std::string_view kFormat = "blixard template 1";
constexpr std::size_t kNameDigits = 8;

}  // namespace

Result<std::string> template_key(vm::GuestSpec spec, const TemplateHost& host) {
  if (!spec.kernel_digest || !spec.initrd_digest) {
    return fail(Code::kFailedPrecondition, "templates_unsupported",
                "the digests of the image are not known");
  }
  spec.name = "template";
  spec.uuid = {};
  spec.published.clear();
  spec.kernel_path = image::digest_text(*spec.kernel_digest);
  spec.initrd_path = image::digest_text(*spec.initrd_digest);
  BLX_TRY(const auto arguments, build_arguments(spec, {host.accelerator, 0}));
  image::Hasher hasher;
  const auto add = [&hasher](std::string_view part) {
    hasher.update(part);
    hasher.update({"\0", 1});
  };
  add(kFormat);
  add(host.version);
  if (host.accelerator == vm::Accelerator::kKvm) add(host.boot_id);
  for (const std::string& argument : arguments)
    add(argument);
  return image::digest_text(hasher.finish());
}

std::string template_name(std::string_view key) {
  return "tpl-" + std::string(key.substr(0, kNameDigits));
}

}  // namespace blixard::qemu
