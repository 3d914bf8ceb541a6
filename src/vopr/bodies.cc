#include "vopr/bodies.h"

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"

namespace blixard::vopr {
namespace {

using http::Method;

// Amounts of creates are taken apart in this order: the first part is that of every create.
constexpr std::uint64_t kPlainCreates = 384;

// One choice after another out of a number.
class Choices {
 public:
  explicit Choices(std::uint64_t amount) : left_(amount) {}
  std::uint64_t below(std::uint64_t count) {
    const std::uint64_t chosen = left_ % count;
    left_ /= count;
    return chosen;
  }
  template <class T, std::size_t N>
  T of(const std::array<T, N>& all) {
    return all[below(N)];
  }

 private:
  std::uint64_t left_;
};

struct PlainWishes {
  std::uint32_t priority = 0;
  bool is_preemptible = false;
  bool stops = false;
  std::string_view tenant;
  std::string_view groups;
  std::string_view more;
};

PlainWishes wishes_of(const Step& step) {
  static constexpr auto kTenants = std::to_array<std::string_view>({"", "blue", "red"});
  static constexpr auto kMemberships =
      std::to_array<std::string_view>({"", "", R"("g0")", R"("g1")", R"("g2")", R"("g0","g3")"});
  static constexpr auto kMore = std::to_array<std::string_view>({
      "",
      "",
      R"(,"tolerations":[{"key":"k0"}])",
      R"(,"constraints":[{"attribute":"zone","op":"equal","values":["z1"]}])",
      R"(,"devices":[{"kind":"gpu","count":1,"milli":500}])",
      R"(,"counters":[{"name":"licence","amount":1}],"dedicated_cpus":true)",
  });
  Choices choices(step.amount / kPlainCreates);
  return {.priority = choices.of(std::to_array<std::uint32_t>({100, 500, 900})),
          .is_preemptible = choices.below(2) == 0,
          .stops = choices.below(4) == 0,
          .tenant = choices.of(kTenants),
          .groups = choices.of(kMemberships),
          .more = choices.of(kMore)};
}

std::string placement_of(const Step& step) {
  const PlainWishes wishes = wishes_of(step);
  return fmt::format(R"(,"placement":{{"priority":{},"preemptible":{},"on_evict":"{}",)"
                     R"("tenant":"{}","groups":[{}]{}}})",
                     wishes.priority, wishes.is_preemptible, wishes.stops ? "stop" : "move",
                     wishes.tenant, wishes.groups, wishes.more);
}

std::string policy_of(std::uint64_t amount) {
  static constexpr auto kPreemptions = std::to_array<std::string_view>(
      {"lower-priority-only", "cost-aware", "lower-priority-only", "never"});
  static constexpr auto kStrategies = std::to_array<std::string_view>(
      {"fragmentation-aware", "most-available", "least-available", "round-robin", "priority-based",
       "locality-aware", "spread-across-failure-domains", "cost-optimized"});
  static constexpr auto kOvercommits = std::to_array<std::string_view>({
      R"({"cpu_percent":400,"memory_percent":100,"disk_percent":100})",
      R"({"cpu_percent":100,"memory_percent":100,"disk_percent":100,"reserve_percent":10})",
      R"({"cpu_percent":200,"memory_percent":120,"disk_percent":110,"reserve_percent":15})",
      R"({"cpu_percent":400,"memory_percent":150,"disk_percent":130,"reserve_percent":5})",
  });
  Choices choices(amount);
  const std::string_view preemption = choices.of(kPreemptions);
  const std::string_view strategy = choices.of(kStrategies);
  const std::string_view overcommit = choices.of(kOvercommits);
  const auto grace = choices.of(std::to_array<std::uint32_t>({2, 0, 30}));
  return fmt::format(R"({{"preemption":"{}","strategy":"{}","overcommit":{},)"
                     R"("preemption_grace_seconds":{}}})",
                     preemption, strategy, overcommit, grace);
}

// Each names the next one of four, which may not be there yet, or lead in a circle.
Ask group_of(std::uint64_t amount) {
  static constexpr auto kRules = std::to_array<std::string_view>({
      "",
      R"({{"kind":"spread","level":"node","max":1,"hard":true}})",
      R"({{"kind":"spread","level":"node","max":2,"hard":true}})",
      R"({{"kind":"spread","level":"zone","max":2,"hard":true}})",
      R"({{"kind":"spread","level":"node","max":1,"weight":50}})",
      R"({{"kind":"together","level":"node","hard":true}})",
      R"({{"kind":"away","level":"node","other":"g{0}","hard":true}})",
      R"({{"kind":"near","level":"zone","other":"g{0}","hard":true}})",
  });
  Choices choices(amount);
  const std::uint64_t group = choices.below(kPlacementGroups);
  const std::string rule =
      fmt::format(fmt::runtime(choices.of(kRules)), (group + 1) % kPlacementGroups);
  const auto gang = choices.of(std::to_array<std::uint32_t>({0, 0, 2, 3}));
  return {.method = Method::kPut,
          .target = fmt::format("/v1/groups/g{}", group),
          .body = fmt::format(R"({{"rules":[{}],"gang":{}}})", rule, gang)};
}

Ask tenant_of(std::uint64_t amount) {
  static constexpr auto kTenants = std::to_array<std::string_view>({"default", "blue", "red"});
  static constexpr auto kQuotas = std::to_array<std::string_view>(
      {"{}", R"({"vms":3})", R"({"memory_mib":768,"vcpus":4})", R"({"vms_per_node":1})"});
  static constexpr auto kRates = std::to_array<std::string_view>(
      {"", R"(,"creates":{"per_hour":3600,"burst":3},"deletes":{"per_hour":1800,"burst":2})",
       R"(,"starts":{"per_hour":600,"burst":2})"});
  Choices choices(amount);
  Ask ask{.method = Method::kPut,
          .target = fmt::format("/v1/tenants/{}", choices.of(kTenants)),
          .body = {}};
  const std::string_view quota = choices.of(kQuotas);
  const std::string_view rates = choices.of(kRates);
  const auto preemptions = choices.of(std::to_array<std::uint32_t>({0, 2, 20}));
  if (choices.below(4) == 3) {
    ask.method = Method::kDelete;
  } else {
    ask.body =
        fmt::format(R"({{"quota":{}{},"preemptions_per_hour":{}}})", quota, rates, preemptions);
  }
  return ask;
}

Ask reservation_of(const Step& step, const std::string& node) {
  Choices choices(step.amount);
  Ask ask{.method = Method::kPut, .target = fmt::format("/v1/reservations/r-{}", node), .body = {}};
  if (choices.below(3) == 2) {
    ask.method = Method::kDelete;
    return ask;
  }
  const auto memory = choices.of(std::to_array<std::uint32_t>({128, 512, 1024}));
  const auto lifetime = choices.of(std::to_array<std::uint32_t>({0, 3, 20}));
  const auto priority = choices.of(std::to_array<std::uint32_t>({1000, 500}));
  ask.body = fmt::format(
      R"({{"tenant":"blue","node":"{}","memory_mib":{},"lifetime_seconds":{},"priority":{}}})",
      node, memory, lifetime, priority);
  return ask;
}

std::string taint_of(std::uint64_t amount) {
  Choices choices(amount);
  const bool removes = choices.below(2) == 1;
  const std::uint64_t key = choices.below(2);
  if (removes) return fmt::format(R"({{"remove_taints":["k{}"]}})", key);
  const char* effect = choices.below(3) == 2 ? "avoid" : "refuse";
  return fmt::format(R"({{"set_taints":[{{"key":"k{}","effect":"{}"}}]}})", key, effect);
}

std::string drain_of(std::uint64_t amount) {
  Choices choices(amount);
  const auto deadline = choices.of(std::to_array<std::uint32_t>({1, 5, 20, 60}));
  return fmt::format(R"({{"deadline_seconds":{},"parallel":{}}})", deadline, 1 + choices.below(3));
}

}  // namespace

std::string body_of_create(const std::string& name, const Step& step) {
  constexpr std::string_view kPolicies[] = {"never", "on-failure", "always"};
  constexpr std::uint32_t kSizes[] = {128, 128, 256, 512};
  constexpr std::uint32_t kLargeSizes[] = {128, 256, 512, 1024};
  const bool has_wishes = step.action == Action::kCreateWithWishes;
  const std::uint64_t amount = step.amount;
  const std::string_view policy = kPolicies[amount % 3];
  const std::uint32_t memory = (has_wishes ? kLargeSizes : kSizes)[amount / 3 % 4];
  const bool starts = amount / 12 % 8 != 0;
  const std::uint64_t ports = amount / 96 % 4;
  std::string more;
  if (ports == 1) more = R"(,"publish":[{"guest_port":80}])";
  // Two VMs share a port of the host: they cannot be on one node.
  if (ports == 2) {
    more = fmt::format(R"(,"publish":[{{"host_port":{},"guest_port":80}}])", 8000 + step.vm / 2);
  }
  if (has_wishes) more += placement_of(step);
  return fmt::format(R"({{"name":"{}","image":"tiny","restart":"{}","memory_mib":{},"start":{},)"
                     R"("stop_grace_seconds":{}{}}})",
                     name, policy, memory, starts, amount % 4, more);
}

bool stops_when_evicted(const Step& step) {
  return step.action == Action::kCreateWithWishes && wishes_of(step).stops;
}

Ask placement_ask(const Step& step, const std::string& node) {
  const auto on_node = [&](std::string_view what, std::string body) {
    return Ask{.target = fmt::format("/v1/nodes/{}/{}", node, what), .body = std::move(body)};
  };
  switch (step.action) {
    case Action::kPolicy:
      return {
          .method = Method::kPut, .target = "/v1/placement/policy", .body = policy_of(step.amount)};
    case Action::kGroup:
      return group_of(step.amount);
    case Action::kTenant:
      return tenant_of(step.amount);
    case Action::kReserve:
      return reservation_of(step, node);
    case Action::kTaint:
      return on_node("update", taint_of(step.amount));
    case Action::kCordon:
      return on_node("update", R"({"cordoned":true})");
    case Action::kUncordon:
      return on_node("update", R"({"cordoned":false})");
    case Action::kDrain:
      return on_node("drain", drain_of(step.amount));
    default:
      BLX_ASSERT(step.action == Action::kUndrain);
      return on_node("undrain", "");
  }
}

}  // namespace blixard::vopr
