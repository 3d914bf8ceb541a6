#include "app/placement_values.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "app/whole_number.h"
#include "base/limits.h"

namespace blixard::app {
namespace {

using cluster::Constraint;
using cluster::ConstraintOp;

std::unexpected<Error> invalid(std::string_view text, std::string_view what,
                               std::string_view form) {
  return fail(Code::kInvalidArgument, "placement_invalid",
              fmt::format("'{}' is not {}; write it as {}", text.substr(0, 128), what, form));
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// What lies between the separators; of "" nothing.
std::vector<std::string_view> parts_of(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  if (trimmed(text).empty()) return parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(trimmed(text.substr(0, end)));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "1.25" with so many digits behind the point as `scale` has zeros, times `scale`.
std::optional<std::int64_t> parse_scaled(std::string_view text, std::int64_t scale) {
  const auto point = text.find('.');
  const auto whole = parse_number<std::int64_t>(text.substr(0, point));
  if (!whole || *whole < 0 || *whole > std::int64_t{1'000'000'000}) return {};
  std::int64_t value = *whole * scale;
  if (point == std::string_view::npos) return value;
  const std::string_view digits = text.substr(point + 1);
  if (digits.empty()) return {};
  for (const char digit : digits) {
    scale /= 10;
    if (digit < '0' || digit > '9' || scale == 0) return {};
    value += (digit - '0') * scale;
  }
  return value;
}

struct Operator {
  std::string_view text;
  ConstraintOp op;
};
// A longer one before one that it begins with.
constexpr std::array<Operator, 11> kOperators = {{
    {" version>=", ConstraintOp::kVersionAtLeast},
    {" version<", ConstraintOp::kVersionLess},
    {" not-in ", ConstraintOp::kNotIn},
    {" in ", ConstraintOp::kIn},
    {"!=", ConstraintOp::kNotEqual},
    {"<=", ConstraintOp::kLessOrEqual},
    {">=", ConstraintOp::kGreaterOrEqual},
    {"<", ConstraintOp::kLess},
    {">", ConstraintOp::kGreater},
    {"~", ConstraintOp::kMatches},
    {"=", ConstraintOp::kEqual},
}};

constexpr std::string_view kConstraintForm =
    "ATTRIBUTE=VALUE, !=, <, <=, >, >=, ~PATTERN, 'ATTRIBUTE in A,B', 'ATTRIBUTE version>=6.1', "
    "ATTRIBUTE or !ATTRIBUTE";

}  // namespace

Result<std::vector<cluster::Label>> parse_labels(std::string_view text) {
  std::vector<cluster::Label> labels;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto equals = part.find('=');
    const std::string key(trimmed(part.substr(0, equals)));
    const std::string value(equals == std::string_view::npos ? ""
                                                             : trimmed(part.substr(equals + 1)));
    if (key.empty() || equals == std::string_view::npos) {
      return invalid(part, "a label", "KEY=VALUE,KEY=VALUE");
    }
    BLX_TRY(cluster::check_label(key, value));
    labels.push_back({key, value});
  }
  std::ranges::sort(labels, {}, &cluster::Label::key);
  const auto twice = std::ranges::adjacent_find(labels, {}, &cluster::Label::key);
  if (twice != labels.end()) return invalid(text, "unambiguous", "one value for each key");
  return labels;
}

Result<std::vector<resources::DeviceGroup>> parse_device_groups(std::string_view text) {
  std::vector<resources::DeviceGroup> groups;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto fields = parts_of(part, ':');
    const auto count = fields.size() == 3 ? parse_number<std::uint32_t>(fields[2]) : std::nullopt;
    if (!count || *count == 0 || !cluster::check_name(fields[0]) ||
        (!fields[1].empty() && !cluster::check_name(fields[1]))) {
      return invalid(part, "a group of devices", "KIND:MODEL:COUNT, such as gpu:a100:4 or fpga::1");
    }
    groups.push_back({.kind = Name(fields[0]), .model = Name(fields[1]), .count = *count});
  }
  return groups;
}

Result<std::vector<resources::Counter>> parse_counters(std::string_view text) {
  std::vector<resources::Counter> counters;
  for (const std::string_view part : parts_of(text, ',')) {
    const auto fields = parts_of(part, ':');
    const auto amount = fields.size() == 2 ? parse_number<std::int64_t>(fields[1]) : std::nullopt;
    if (!amount || *amount <= 0 || !cluster::check_name(fields[0])) {
      return invalid(part, "a counter", "NAME:AMOUNT, such as licence:10");
    }
    counters.push_back({.name = Name(fields[0]), .amount = *amount});
  }
  std::ranges::sort(counters, {}, &resources::Counter::name);
  const auto twice = std::ranges::adjacent_find(counters, {}, &resources::Counter::name);
  if (twice != counters.end()) return invalid(text, "unambiguous", "one amount for each name");
  return counters;
}

Result<resources::DeviceNeed> parse_device_need(std::string_view text) {
  const auto wrong = [&] {
    return invalid(text, "a need of devices",
                   "KIND:COUNT, such as gpu:2, gpu:0.5 or gpu:1:a100|t4");
  };
  const auto fields = parts_of(text, ':');
  if (fields.size() < 2 || fields.size() > 3 || !cluster::check_name(fields[0])) return wrong();
  const auto milli = parse_scaled(fields[1], resources::kWholeDevice);
  const bool is_fraction = milli && *milli > 0 && *milli < resources::kWholeDevice;
  const bool is_whole = milli && *milli > 0 && *milli % resources::kWholeDevice == 0;
  if (!is_fraction && !is_whole) return wrong();
  resources::DeviceNeed need{.kind = Name(fields[0])};
  if (is_fraction) {
    need.milli = static_cast<std::int32_t>(*milli);
  } else {
    need.count = static_cast<std::uint32_t>(
        std::min<std::int64_t>(*milli / resources::kWholeDevice, limits::kNodeVcpus));
  }
  if (fields.size() == 3) {
    for (const std::string_view model : parts_of(fields[2], '|')) {
      if (!cluster::check_name(model)) return wrong();
      need.models.emplace_back(model);
    }
    std::ranges::sort(need.models);
  }
  return need;
}

Result<std::int64_t> parse_disk_mib(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 3> kUnits = {{
      {"MiB", 1},
      {"GiB", 1024},
      {"TiB", 1024 * 1024},
  }};
  for (const auto& [unit, mib] : kUnits) {
    if (!text.ends_with(unit)) continue;
    const auto count = parse_number<std::int64_t>(text.substr(0, text.size() - unit.size()));
    if (count && *count >= 0 && *count <= limits::kDiskMib / mib) return *count * mib;
  }
  return invalid(text, "a size of a disk", "512MiB, 200GiB or 2TiB");
}

Result<std::int64_t> parse_cost_micro(std::string_view text) {
  const auto cost = parse_scaled(text, 1'000'000);
  if (!cost) return invalid(text, "a cost", "0.35, with six digits behind the point at most");
  return *cost;
}

Result<std::uint32_t> parse_cpu_milli(std::string_view text) {
  const auto milli = parse_scaled(text, resources::kMilliPerCore);
  if (!milli || *milli == 0 || *milli > std::int64_t{limits::kVcpus} * resources::kMilliPerCore) {
    return invalid(text, "a share of CPU", "0.5 or 2, in vCPUs");
  }
  return static_cast<std::uint32_t>(*milli);
}

Result<Constraint> parse_constraint(std::string_view text) {
  const std::string_view whole = trimmed(text);
  // The first in the text, and of those that begin there the longest.
  auto at = std::string_view::npos;
  const Operator* found = nullptr;
  for (const Operator& candidate : kOperators) {
    const auto here = whole.find(candidate.text);
    if (here == 0 || here >= at) continue;
    at = here;
    found = &candidate;
  }
  Constraint constraint;
  if (found == nullptr) {
    const bool is_absent = whole.starts_with('!');
    constraint.attribute = trimmed(whole.substr(is_absent ? 1 : 0));
    constraint.op = is_absent ? ConstraintOp::kNotExists : ConstraintOp::kExists;
  } else {
    constraint.attribute = trimmed(whole.substr(0, at));
    constraint.op = found->op;
    const std::string_view values = trimmed(whole.substr(at + found->text.size()));
    const bool is_list = found->op == ConstraintOp::kIn || found->op == ConstraintOp::kNotIn;
    if (is_list) {
      for (const std::string_view value : parts_of(values, ','))
        constraint.values.emplace_back(value);
    } else {
      constraint.values.emplace_back(values);
    }
  }
  const bool has_empty = std::ranges::any_of(constraint.values, &std::string::empty) ||
                         (found != nullptr && constraint.values.empty());
  const bool is_word = constraint.attribute.find_first_of(" \t,=<>!~") == std::string::npos;
  if (constraint.attribute.empty() || has_empty || !is_word) {
    return invalid(text, "a constraint", kConstraintForm);
  }
  return constraint;
}

Result<cluster::Preference> parse_preference(std::string_view text) {
  const auto colon = text.rfind(':');
  const auto weight = colon == std::string_view::npos
                          ? std::nullopt
                          : parse_number<std::int32_t>(trimmed(text.substr(colon + 1)));
  if (!weight || *weight < -100 || *weight > 100 || *weight == 0) {
    return invalid(text, "a preference", "CONSTRAINT:WEIGHT with a weight from -100 to 100");
  }
  BLX_TRY(Constraint constraint, parse_constraint(text.substr(0, colon)));
  return cluster::Preference{.constraint = std::move(constraint), .weight = *weight};
}

Result<cluster::Toleration> parse_toleration(std::string_view text) {
  const auto equals = text.find('=');
  cluster::Toleration toleration{.key = std::string(trimmed(text.substr(0, equals)))};
  if (equals != std::string_view::npos) toleration.value = trimmed(text.substr(equals + 1));
  if (toleration.key.empty()) return invalid(text, "a toleration", "KEY or KEY=VALUE");
  BLX_TRY(cluster::check_label(toleration.key, toleration.value));
  return toleration;
}

Result<cluster::Taint> parse_taint(std::string_view text) {
  cluster::Taint taint;
  std::string_view rest = trimmed(text);
  for (const auto& [suffix, effect] :
       {std::pair(std::string_view(":refuse"), cluster::TaintEffect::kRefuse),
        std::pair(std::string_view(":avoid"), cluster::TaintEffect::kAvoid)}) {
    if (!rest.ends_with(suffix)) continue;
    taint.effect = effect;
    rest.remove_suffix(suffix.size());
    break;
  }
  const auto equals = rest.find('=');
  taint.key = trimmed(rest.substr(0, equals));
  if (equals != std::string_view::npos) taint.value = trimmed(rest.substr(equals + 1));
  if (taint.key.empty() || taint.key.contains(':')) {
    return invalid(text, "a taint", "KEY, KEY=VALUE or KEY=VALUE:avoid");
  }
  BLX_TRY(cluster::check_taint(taint));
  return taint;
}

std::optional<cluster::TopologyLevel> parse_level(std::string_view text) {
  using Level = cluster::TopologyLevel;
  for (const Level level : {Level::kNode, Level::kRack, Level::kZone, Level::kDatacenter}) {
    if (text == cluster::level_name(level)) return level;
  }
  return std::nullopt;
}

Result<cluster::GroupRule> parse_rule(std::string_view text) {
  const auto wrong = [&] {
    return invalid(text, "a rule",
                   "spread:LEVEL:MAX, together:LEVEL, near:GROUP:LEVEL or away:GROUP:LEVEL with "
                   "LEVEL node, rack, zone or datacenter; a soft one ends in :soft=WEIGHT");
  };
  using Kind = cluster::GroupRuleKind;
  cluster::GroupRule rule;
  auto fields = parts_of(text, ':');
  constexpr std::string_view kSoft = "soft=";
  if (!fields.empty() && fields.back().starts_with(kSoft)) {
    const auto weight = parse_number<std::uint32_t>(fields.back().substr(kSoft.size()));
    if (!weight || *weight == 0 || *weight > 100) return wrong();
    rule.hard = false;
    rule.weight = *weight;
    fields.pop_back();
  }
  if (fields.size() < 2 || fields.size() > 3) return wrong();
  std::optional<Kind> kind;
  for (const Kind one : {Kind::kSpread, Kind::kTogether, Kind::kNear, Kind::kAway}) {
    if (fields[0] == cluster::rule_name(one)) kind = one;
  }
  if (!kind) return wrong();
  rule.kind = *kind;
  const bool names_another = *kind == Kind::kNear || *kind == Kind::kAway;
  const auto level = parse_level(fields[names_another ? fields.size() - 1 : 1]);
  if (!level || (fields.size() == 3) == (*kind == Kind::kTogether)) return wrong();
  rule.level = *level;
  if (names_another) {
    if (!cluster::check_name(fields[1])) return wrong();
    rule.other = Name(fields[1]);
  }
  if (*kind == Kind::kSpread) {
    const auto max = parse_number<std::uint32_t>(fields[2]);
    if (!max || *max == 0) return wrong();
    rule.max = *max;
  }
  return rule;
}

Result<cluster::Rate> parse_rate(std::string_view text) {
  const auto wrong = [&] { return invalid(text, "a rate", "5/h, 10/m or 50/s, or 5/h:BURST"); };
  const auto fields = parts_of(text, ':');
  if (fields.empty() || fields.size() > 2) return wrong();
  const auto slash = fields[0].find('/');
  if (slash == std::string_view::npos) return wrong();
  const auto count = parse_number<std::uint32_t>(fields[0].substr(0, slash));
  const std::string_view unit = fields[0].substr(slash + 1);
  const std::uint64_t times = unit == "h" ? 1 : unit == "m" ? 60 : unit == "s" ? 3600 : 0;
  if (!count || *count == 0 || times == 0) return wrong();
  const std::uint64_t per_hour = *count * times;
  const auto burst = fields.size() == 2 ? parse_number<std::uint32_t>(fields[1]) : count;
  if (per_hour > limits::kRatePerHour || !burst || *burst == 0) return wrong();
  return cluster::Rate{.per_hour = static_cast<std::uint32_t>(per_hour), .burst = *burst};
}

Result<resources::Overcommit> parse_overcommit(std::string_view text) {
  if (const auto preset = resources::parse_preset(text)) return *preset;
  const auto wrong = [&] {
    return invalid(text, "an overcommit",
                   "standard, conservative, moderate, aggressive, or CPU/MEMORY/DISK/RESERVE in "
                   "percent, such as 200/120/110/15");
  };
  const auto fields = parts_of(text, '/');
  if (fields.size() != 4) return wrong();
  std::array<std::uint32_t, 4> percents{};
  for (std::size_t at = 0; at < percents.size(); ++at) {
    const auto percent = parse_number<std::uint32_t>(fields[at]);
    if (!percent) return wrong();
    percents.at(at) = *percent;
  }
  const resources::Overcommit overcommit{.cpu_percent = percents[0],
                                         .memory_percent = percents[1],
                                         .disk_percent = percents[2],
                                         .reserve_percent = percents[3]};
  if (!resources::is_valid(overcommit)) return wrong();
  return overcommit;
}

Result<cluster::RebalancePolicy> parse_rebalance(std::string_view text) {
  if (text == "off") return cluster::RebalancePolicy{};
  const auto fields = parts_of(text, ':');
  const auto threshold = fields.size() == 2 ? parse_number<std::uint32_t>(fields[0]) : std::nullopt;
  const auto moves = fields.size() == 2 ? parse_number<std::uint32_t>(fields[1]) : std::nullopt;
  if (!threshold || *threshold == 0 || *threshold > 100 || !moves || *moves == 0) {
    return invalid(text, "a rebalancing", "off, or THRESHOLD:MOVES such as 20:10");
  }
  return cluster::RebalancePolicy{
      .enabled = true, .threshold_percent = *threshold, .moves_per_hour = *moves};
}

Result<std::uint32_t> parse_count(std::string_view text) {
  const auto count = parse_number<std::uint32_t>(text);
  if (!count) return invalid(text, "a whole number", "3");
  return *count;
}

Result<cluster::Latency> parse_latency(std::string_view text) {
  const auto fields = parts_of(text, ':');
  const auto ms = fields.size() == 3 ? parse_number<std::uint32_t>(fields[2]) : std::nullopt;
  if (!ms || *ms > limits::kLatencyMs || !cluster::check_name(fields[0]) ||
      !cluster::check_name(fields[1]) || fields[0] == fields[1]) {
    return invalid(text, "a latency", "DATACENTER:DATACENTER:MILLISECONDS, such as fra:ams:9");
  }
  return cluster::Latency{.a = Name(std::min(fields[0], fields[1])),
                          .b = Name(std::max(fields[0], fields[1])),
                          .ms = *ms};
}

std::string_view op_text(ConstraintOp op) {
  const auto found = std::ranges::find(kOperators, op, &Operator::op);
  return found == kOperators.end() ? std::string_view() : found->text;
}

std::string constraint_text(const Constraint& constraint) {
  if (constraint.op == ConstraintOp::kExists) return constraint.attribute;
  if (constraint.op == ConstraintOp::kNotExists) return "!" + constraint.attribute;
  return fmt::format("{}{}{}", constraint.attribute, op_text(constraint.op),
                     fmt::join(constraint.values, ","));
}

}  // namespace blixard::app
