// Requests about images.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "blixard/v1/api.pb.h"
#include "blixard/v1/cluster.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"

namespace blixard::api {
namespace {

std::unexpected<Error> no_image(std::string_view name) {
  return fail(Code::kNotFound, "image_not_found", fmt::format("no image is named {}", name));
}

// Refused for good, so that the files are of no use; any other error may mean that it was taken.
bool is_refusal(Code code) {
  return code == Code::kInvalidArgument || code == Code::kAlreadyExists ||
         code == Code::kResourceExhausted;
}

Bytes bytes_of(const cluster::Image& image) {
  Bytes bytes;
  for (const cluster::ImageFile& file : image.files)
    bytes = bytes + file.size;
  return bytes;
}

}  // namespace

env::Task<Result<http::Response>> Api::import_image(const Call& call) {
  v1::ImportImageRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  const Instant begun = env_.clock.monotonic();
  const auto imported = co_await images_.import(request.path(), request.name());
  telemetry_.record_p2p_image_import(
      telemetry::ArtifactType::kVmImage, telemetry::outcome_of(imported),
      imported ? bytes_of(*imported) : Bytes(), env_.clock.monotonic() - begun);
  BLX_CO_TRY(const cluster::Image image, imported);
  v1::Command command;
  *command.mutable_add_image() = to_command(image);
  const auto outcome = co_await propose(call, std::move(command));
  if (!outcome) {
    const cluster::Image* kept = replica_.state().find_image(image.name);
    const bool is_kept = kept != nullptr && kept->files == image.files;
    if (is_refusal(outcome.error().code()) && !is_kept) {
      ignore(co_await images_.remove(image), "the refusal is what the client needs to know");
    }
    co_return std::unexpected(outcome.error());
  }
  images_.news().notify_all();
  const cluster::Image* kept = replica_.state().find_image(image.name);
  http::Response response = json_response(201, to_message(kept != nullptr ? *kept : image));
  response.headers.push_back({"Location", "/v1/images/" + image.name.text()});
  co_return response;
}

env::Task<Result<http::Response>> Api::list_images(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::State& state = replica_.state();
  std::vector<const cluster::Image*> by_name;
  for (const auto& [id, image] : state.images())
    by_name.push_back(&image);
  std::ranges::sort(by_name, {}, &cluster::Image::name);
  v1::ImageList list;
  for (const cluster::Image* image : by_name)
    *list.add_images() = to_message(*image);
  list.set_revision(state.revision());
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::get_image(const Call& call) {
  BLX_CO_TRY(co_await barrier(call));
  const cluster::Image* image = replica_.state().find_image(call.name);
  if (image == nullptr) co_return no_image(call.name);
  co_return json_response(200, to_message(*image));
}

env::Task<Result<http::Response>> Api::delete_image(const Call& call) {
  const cluster::Image* found = replica_.state().find_image(call.name);
  const cluster::Image image = found != nullptr ? *found : cluster::Image{.name = Name(call.name)};
  v1::Command command;
  command.mutable_remove_image()->set_name(call.name);
  BLX_CO_TRY(co_await propose(call, std::move(command)));
  const cluster::Image* now = replica_.state().find_image(call.name);
  const bool is_back = now != nullptr && now->files == image.files;
  if (!image.files.empty() && !is_back) {
    const auto removed = co_await images_.remove(image);
    images_.news().notify_all();
    if (!removed) {
      BLX_LOG(env_.log, kWarn, "the files of image {} stay on the disk: {}", image.name,
              removed.error().message());
    }
  }
  co_return json_response(200, to_message(image));
}

}  // namespace blixard::api
