#include "core/sched/sentences.h"

#include <fmt/format.h>

#include "core/sched/refusals.h"
#include "core/sched/shape.h"
#include "core/sched/strategy.h"

namespace blixard::sched {
namespace {

constexpr std::size_t kLooksPerPlan = 1'000'000;

}  // namespace

std::string Sentences::of(const Request& request) {
  if (looks_ > kLooksPerPlan) return {};
  looks_ += fleet_.size();
  Refusals refusals(&state_, fleet_, request);
  const Shape& shape =
      fleet_.shapes().of(request, strategy_of(*request.wishes, state_.policy()), fleet_.classes());
  const bool has_neighbours = circumstances_.matter_to(request);
  bool has_any = false;
  for (NodeIndex at = 0; at < fleet_.size(); ++at) {
    auto found = obstacle(fleet_, at, shape);
    if (!found && has_neighbours) found = circumstances_.obstacle(fleet_, at, request);
    if (found && found->kind == Obstacle::Kind::kRoom) {
      if (auto unfit = circumstances_.unfit(fleet_.node(at).id, request)) found = std::move(unfit);
    }
    if (found) {
      refusals.count(at, *found);
    } else {
      has_any = true;
    }
  }
  return has_any ? too_few_domains(state_.policy()) : refusals.sentence();
}

std::string Sentences::key_of(const Request& request) const {
  const cluster::Wishes& wishes = *request.wishes;
  std::string key = shape_key(request, strategy_of(wishes, state_.policy()));
  for (const std::uint16_t port : request.ports)
    key += fmt::format("\n{}", port);
  if (request.saved != nullptr) {
    key += fmt::format("\n{} {}", request.saved->holder.value, cluster::host_text(*request.saved));
  }
  if (request.wishes.is_default()) return key;
  key += fmt::format("\n{}\n{}", wishes.tenant, wishes.priority);
  for (const Name& group : wishes.groups)
    key += fmt::format("\n{}", group);
  return key;
}

}  // namespace blixard::sched
