// The commands about images.

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/state.h"

namespace blixard::cluster {

Result<std::uint64_t> State::carry_out(const v1::AddImage& command, const Step& step) {
  Image image{.name = Name(command.name()),
              .architecture = command.architecture(),
              .kernel_version = command.kernel_version(),
              .cmdline = command.cmdline(),
              .added = step.time};
  BLX_TRY(image.files, read_files(command.files()));
  BLX_TRY(check_image(image));
  if (const Image* existing = find_image(image.name)) {
    image.id = existing->id;
    image.added = existing->added;
    if (image == *existing) return image.id.value;
    return fail(Code::kAlreadyExists, reason::kImageExists,
                fmt::format("image {} exists with other content", image.name));
  }
  if (images_.size() >= limits::kImages) {
    return fail(Code::kResourceExhausted, reason::kTooManyImages,
                fmt::format("there are {} images, the most possible", images_.size()));
  }
  image.id = ImageId(next_id_++);
  image_names_.emplace(image.name, image.id);
  const Image& added = images_.emplace(image.id, std::move(image)).first->second;
  announce(Change::Kind::kImageChanged, added.id.value, added.name, step);
  return added.id.value;
}

Result<std::uint64_t> State::carry_out(const v1::RemoveImage& command, const Step& step) {
  BLX_TRY(check_name(command.name()));
  const Name name(command.name());
  const auto found = image_names_.find(name);
  if (found == image_names_.end()) {
    return fail(Code::kNotFound, reason::kImageNotFound, fmt::format("no image is named {}", name));
  }
  const auto user = std::ranges::find_if(vms(), [&](const auto& entry) {
    return entry.second.spec.image == name && entry.second.desired != VmDesired::kDeleted;
  });
  if (user != vms().end()) {
    return fail(Code::kFailedPrecondition, reason::kImageInUse,
                fmt::format("VM {} uses image {}", user->second.name, name));
  }
  const ImageId id = found->second;
  image_names_.erase(found);
  images_.erase(id);
  announce(Change::Kind::kImageRemoved, id.value, name, step);
  return id.value;
}

}  // namespace blixard::cluster
