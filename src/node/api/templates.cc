// Requests about the saved guests of this node.

#include <fmt/format.h>

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"
#include "node/api/problems.h"

namespace blixard::api {
namespace {

constexpr std::uint32_t kMemoryMib = 128;

v1::Template to_message(const templates::Listed& listed) {
  const templates::Manifest& manifest = listed.manifest;
  v1::Template message;
  message.set_key(manifest.key);
  message.set_image(manifest.image);
  message.set_vcpus(manifest.vcpus);
  message.set_memory_mib(static_cast<std::uint32_t>(manifest.memory.mib()));
  message.set_accelerator(std::string(manifest.accelerator_text()));
  message.set_bytes(listed.size.value);
  message.set_made(time_text(manifest.made));
  message.set_used(time_text(listed.used));
  message.set_clones(static_cast<std::uint32_t>(listed.clones));
  message.set_checked(listed.is_checked);
  return message;
}

std::vector<templates::Listed> listed_in(const templates::Store* store) {
  return store == nullptr ? std::vector<templates::Listed>() : store->list();
}

}  // namespace

env::Task<Result<http::Response>> Api::list_templates(const Call& /*call*/) {
  v1::TemplateList list;
  for (const templates::Listed& each : listed_in(options_.templates))
    *list.add_templates() = to_message(each);
  co_return json_response(200, list);
}

env::Task<Result<http::Response>> Api::create_template(const Call& call) {
  v1::CreateTemplateRequest request;
  BLX_CO_TRY(from_json(call.request.body, request));
  if (!options_.make_template) {
    co_return fail(Code::kFailedPrecondition, "templates_unsupported", "this node keeps none");
  }
  const std::uint32_t memory_mib = request.has_memory_mib() ? request.memory_mib() : kMemoryMib;
  const auto made = co_await options_.make_template(
      request.image(), request.has_vcpus() ? request.vcpus() : 1, mib(memory_mib));
  if (!made && find_problem(made.error().reason()) == nullptr) {
    co_return fail(Code::kInternal, "template_failed", made.error().message());
  }
  BLX_CO_TRY(made);
  for (const templates::Listed& each : listed_in(options_.templates))
    if (each.manifest.key == made->key) co_return json_response(201, to_message(each));
  co_return fail(Code::kAborted, "template_failed", "it was removed again at once");
}

env::Task<Result<http::Response>> Api::delete_template(const Call& call) {
  std::vector<templates::Listed> meant;
  for (templates::Listed& each : listed_in(options_.templates))
    if (each.manifest.key.starts_with(call.name)) meant.push_back(std::move(each));
  if (meant.empty()) {
    co_return fail(Code::kNotFound, "template_not_found",
                   fmt::format("no template's key begins with {}", call.name));
  }
  if (meant.size() > 1) {
    co_return fail(
        Code::kInvalidArgument, "template_ambiguous",
        fmt::format("{} templates have keys that begin with {}", meant.size(), call.name));
  }
  BLX_CO_TRY(co_await options_.templates->remove(meant.front().manifest.key));
  co_return json_response(200, to_message(meant.front()));
}

}  // namespace blixard::api
