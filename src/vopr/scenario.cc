#include "vopr/scenario.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <utility>

#include "toml_text/library.h"
#include "toml_text/lines.h"
#include "vopr/scenario_steps.h"
#include "vopr/scenario_words.h"
#include "vopr/scenario_workloads.h"

namespace blixard::vopr {
namespace {

constexpr std::size_t kShownBytes = 40;  // of what a file says, in an error

std::unexpected<Error> wrong_at(std::uint64_t line, std::string_view what,
                                std::string_view instead) {
  std::string text = "line " + std::to_string(line) + ": ";
  text.append(what).append("; instead: ").append(instead);
  return fail(Code::kInvalidArgument, "scenario_invalid", std::move(text));
}

std::unexpected<Error> wrong(const toml::node& node, std::string_view what,
                             std::string_view instead) {
  return wrong_at(node.source().begin.line, what, instead);
}

std::string shown(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text.substr(0, kShownBytes))
    out += letter >= ' ' && letter <= '~' ? letter : '?';
  return out += text.size() > kShownBytes ? "...\"" : "\"";
}

std::string text_of(std::uint64_t number) { return std::to_string(number); }
std::string text_of(Duration time) { return shown(time_text(time)); }

template <class Range>
std::string between(const Range& bounds) {
  return "from " + text_of(bounds.least) + " to " + text_of(bounds.most);
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names)
    text.append(text.empty() ? "" : ", ").append(name);
  return text;
}

Result<> check_keys(const toml::table& table, std::string_view where,
                    std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : table) {
    if (std::ranges::find(known, key.str()) != known.end()) continue;
    return wrong_at(key.source().begin.line,
                    "unknown key " + shown(key.str()) + " " + std::string(where),
                    joined(std::span(known.begin(), known.size())));
  }
  return {};
}

Result<std::string> read_string(const toml::node& node, std::string_view key,
                                std::string_view instead) {
  const auto* text = node.as_string();
  if (text == nullptr) return wrong(node, std::string(key) + " is not a text", instead);
  return text->get();
}

Result<std::uint64_t> read_one(const toml::node& node, std::string_view key,
                               const NumberRange& bounds) {
  const auto* number = node.as_integer();
  if (number == nullptr) return wrong(node, std::string(key) + " is not a number", between(bounds));
  if (std::cmp_less(number->get(), bounds.least) || std::cmp_greater(number->get(), bounds.most))
    return wrong(node, std::string(key) + " is out of bounds", between(bounds));
  return static_cast<std::uint64_t>(number->get());
}

Result<Duration> read_one(const toml::node& node, std::string_view key, const TimeRange& bounds) {
  BLX_TRY(const std::string text,
          read_string(node, key, "a time, such as \"250ms\", \"1.5s\", \"2m\" or \"1h\""));
  const std::optional<Duration> time = parse_time(text);
  if (!time)
    return wrong(node, std::string(key) + " is not a time: " + shown(text),
                 "a number with ns, us, ms, s, m or h, at most " + text_of(kUntilMost));
  if (*time < bounds.least || *time > bounds.most)
    return wrong(node, std::string(key) + " is out of bounds", between(bounds));
  return *time;
}

// One value of a table, left as it is if there is none.
template <class Bounds, class Value>
Result<> read(const toml::table& table, std::string_view key, const Bounds& bounds, Value& into) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return {};
  BLX_TRY(const auto value, read_one(*node, key, bounds));
  into = static_cast<Value>(value);
  return {};
}

// A range: [least, most], or one value that stands for both.
template <class Range>
Result<> read_range(const toml::table& table, std::string_view key, const Range& bounds,
                    Range& into) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return {};
  const toml::array* pair = node->as_array();
  if (pair == nullptr) {
    BLX_TRY(const auto value, read_one(*node, key, bounds));
    into = {value, value};
    return {};
  }
  if (pair->size() != 2)
    return wrong(*node, std::string(key) + " is not a range", "one value or [least, most]");
  BLX_TRY(const auto least, read_one(*pair->get(0), key, bounds));
  BLX_TRY(const auto most, read_one(*pair->get(1), key, bounds));
  if (least > most)
    return wrong(*node, std::string(key) + " is upside down",
                 "[" + text_of(most) + ", " + text_of(least) + "]");
  into = {least, most};
  return {};
}

Result<Action> read_action(const toml::node& node, std::string_view key) {
  BLX_TRY(const std::string name, read_string(node, key, "the name of an action"));
  if (const std::optional<Action> action = parse_action(name)) return *action;
  std::vector<std::string_view> names;
  for (const ActionFacts& facts : actions())
    names.push_back(facts.name);
  return wrong(node, "unknown action " + shown(name), near_names(name, names));
}

// Every table of the array `key`, whichever way it is written.
template <class Take>
Result<> each_table(const toml::table& table, std::string_view key, std::size_t most, Take take) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return {};
  const std::string name(key);
  const toml::array* array = node->as_array();
  if (array == nullptr)
    return wrong(*node, name + " is not a list of tables", "[[" + name + "]] before each");
  if (array->size() > most)
    return wrong(*node, "there are too many of " + name, "at most " + std::to_string(most));
  for (const toml::node& each : *array) {
    const toml::table* entry = each.as_table();
    if (entry == nullptr)
      return wrong(each, "one of " + name + " is not a table", "[[" + name + "]] before each");
    BLX_TRY(take(*entry));
  }
  return {};
}

Result<Workload> read_workload(const toml::table& table) {
  BLX_TRY(
      check_keys(table, "of a workload", {"kind", "gap", "noisy_percent", "vanishing_percent"}));
  const std::vector<std::string_view> kinds = workload_kinds();
  const toml::node* kind = table.get("kind");
  if (kind == nullptr) return wrong(table, "the workload has no kind", joined(kinds));
  Workload workload;
  BLX_TRY(workload.kind, read_string(*kind, "kind", joined(kinds)));
  if (!is_workload(workload.kind))
    return wrong(*kind, "unknown kind of workload " + shown(workload.kind), joined(kinds));
  if (!table.contains("gap"))
    return wrong(table, "the workload has no gap", "such as gap = [\"100ms\", \"2s\"]");
  BLX_TRY(read_range(table, "gap", kGapBounds, workload.gap));
  BLX_TRY(read(table, "noisy_percent", kPercentBounds, workload.noisy_percent));
  BLX_TRY(read(table, "vanishing_percent", kPercentBounds, workload.vanishing_percent));
  if (workload.noisy_percent + workload.vanishing_percent > kPercentBounds.most)
    return wrong(table, "noisy_percent and vanishing_percent are more than all",
                 "at most 100 together");
  return workload;
}

Result<> read_faults(const toml::table& root, Faults& faults) {
  const toml::node* node = root.get("faults");
  if (node == nullptr) return {};
  const toml::table* table = node->as_table();
  if (table == nullptr) return wrong(*node, "faults is not a table", "[faults]");
  BLX_TRY(check_keys(*table, "of faults", {"gap", "length", "of"}));
  if (!table->contains("gap"))
    return wrong(*table, "faults have no gap",
                 "such as gap = [\"500ms\", \"5s\"], or no [faults] for none");
  faults.length = {200ms, 5s};
  BLX_TRY(read_range(*table, "gap", kGapBounds, faults.gap));
  BLX_TRY(read_range(*table, "length", TimeRange{0s, kUntilMost}, faults.length));
  const toml::node* of = table->get("of");
  if (of == nullptr) return {};
  if (of->as_array() == nullptr)
    return wrong(*of, "of is not a list", "such as of = [\"crash\", \"cut\"]");
  for (const toml::node& name : *of->as_array()) {
    BLX_TRY(const Action action, read_action(name, "of"));
    if (!is_fault(action))
      return wrong(name, std::string(facts_of(action).name) + " is no fault but what one asks for",
                   "a step, or a workload that does it");
    if (std::ranges::find(faults.of, action) != faults.of.end())
      return wrong(name, std::string(facts_of(action).name) + " is there twice", "once");
    faults.of.push_back(action);
  }
  return {};
}

// That a key is there only where it means something.
Result<> check_uses(const toml::table& table, const ActionFacts& facts) {
  const bool client = facts.group == Group::kClient;
  const auto keys = std::to_array<std::pair<std::string_view, bool>>({{"node", facts.uses.node},
                                                                      {"other", facts.uses.other},
                                                                      {"for", facts.uses.length},
                                                                      {"amount", facts.uses.amount},
                                                                      {"client", client},
                                                                      {"vm", facts.uses.vm},
                                                                      {"manner", client}});
  for (const auto& [key, used] : keys) {
    const toml::node* node = table.get(key);
    if (node == nullptr || used) continue;
    return wrong(*node, std::string(facts.name) + " knows no " + std::string(key),
                 "the step without it");
  }
  return {};
}

// Numbers are bounded by what every run of the scenario has.
Result<Step> read_step(const toml::table& table, const Scenario& scenario) {
  BLX_TRY(check_keys(table, "of a step",
                     {"at", "do", "node", "other", "for", "amount", "client", "vm", "manner"}));
  const toml::node* action = table.get("do");
  if (action == nullptr) return wrong(table, "the step does nothing", "such as do = \"crash\"");
  if (!table.contains("at")) return wrong(table, "the step has no time", "such as at = \"1.5s\"");
  Step step;
  BLX_TRY(step.action, read_action(*action, "do"));
  const ActionFacts& facts = facts_of(step.action);
  BLX_TRY(check_uses(table, facts));
  BLX_TRY(read(table, "at", TimeRange{0s, scenario.until}, step.at));
  const NumberRange machines{0, scenario.nodes.least + scenario.spares.least};
  BLX_TRY(read(table, "node", machines, step.node));
  BLX_TRY(read(table, "other", machines, step.other));
  if (facts.uses.other && step.node == step.other)
    return wrong(table, "node and other are the same", "two machines, or 0 for the leader");
  BLX_TRY(read(table, "for", TimeRange{0s, kUntilMost}, step.length));
  step.amount = facts.amount_min;
  BLX_TRY(read(table, "amount", NumberRange{facts.amount_min, facts.amount_max}, step.amount));
  if (facts.uses.vm) {
    if (scenario.vms.least == 0)
      return wrong(table, std::string(facts.name) + " needs a VM", "vms = 1 or more");
    step.vm = 1;
    BLX_TRY(read(table, "vm", NumberRange{1, scenario.vms.least}, step.vm));
  }
  if (facts.group != Group::kClient) return step;
  if (scenario.clients.least == 0)
    return wrong(table, std::string(facts.name) + " needs a client", "clients = 1 or more");
  step.client = 1;
  BLX_TRY(read(table, "client", NumberRange{1, scenario.clients.least}, step.client));
  if (const toml::node* node = table.get("manner")) {
    constexpr std::string_view kManners = "patient, noisy, vanishing";
    BLX_TRY(const std::string name, read_string(*node, "manner", kManners));
    const std::optional<Manner> manner = parse_manner(name);
    if (!manner) return wrong(*node, "unknown manner " + shown(name), kManners);
    step.manner = *manner;
  }
  return step;
}

Result<> read_name(const toml::table& table, std::string& name) {
  constexpr std::string_view kNames = "name = \"partitions\": 1 to 64 printable ASCII characters";
  const toml::node* node = table.get("name");
  if (node == nullptr) return wrong_at(1, "the scenario has no name", kNames);
  BLX_TRY(name, read_string(*node, "name", kNames));
  const bool printable = std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; });
  if (name.empty() || name.size() > kScenarioNameBytes || !printable)
    return wrong(*node, "no name: " + shown(name), kNames);
  return {};
}

// A number, or a text of digits for those beyond what TOML's numbers hold.
Result<> read_seed(const toml::table& table, std::uint64_t& seed) {
  constexpr std::string_view kSeeds = "a number from 1 on, above 2^63 in quotes";
  const toml::node* node = table.get("seed");
  if (node == nullptr) return {};
  if (const auto* number = node->as_integer()) {
    if (number->get() < 1) return wrong(*node, "seed is out of bounds", kSeeds);
    seed = static_cast<std::uint64_t>(number->get());
    return {};
  }
  BLX_TRY(const std::string text, read_string(*node, "seed", kSeeds));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0)
    return wrong(*node, "seed is no number: " + shown(text), kSeeds);
  seed = value;
  return {};
}

Result<> read_settings(const toml::table& table, Scenario& scenario) {
  BLX_TRY(read_name(table, scenario.name));
  BLX_TRY(read_seed(table, scenario.seed));
  BLX_TRY(read(table, "until", TimeRange{0s, kUntilMost}, scenario.until));
  BLX_TRY(read_range(table, "nodes", kNodesBounds, scenario.nodes));
  BLX_TRY(read_range(table, "spares", kSparesBounds, scenario.spares));
  BLX_TRY(read_range(table, "clients", kClientsBounds, scenario.clients));
  BLX_TRY(read_range(table, "vms", kVmsBounds, scenario.vms));
  BLX_TRY(read_range(table, "tick", kTickBounds, scenario.tick));
  BLX_TRY(read_range(table, "election_ticks", kElectionTicksBounds, scenario.election_ticks));
  BLX_TRY(read_range(table, "snapshot_entries", kSnapshotBounds, scenario.snapshot_entries));
  BLX_TRY(read_range(table, "trailing_entries", kEntriesBounds, scenario.trailing_entries));
  BLX_TRY(read_range(table, "rare_percent", kPercentBounds, scenario.rare_percent));
  BLX_TRY(read_range(table, "boot", kBootBounds, scenario.boot));
  BLX_TRY(read_range(table, "version", kVersionBounds, scenario.version));
  return read_range(table, "templates_mib", kTemplatesBounds, scenario.templates_mib);
}

Result<Scenario> read_scenario(const toml::table& table) {
  BLX_TRY(check_keys(table, "of a scenario",
                     {"name", "seed", "until", "nodes", "spares", "clients", "vms", "tick",
                      "election_ticks", "snapshot_entries", "trailing_entries", "rare_percent",
                      "boot", "version", "templates_mib", "workload", "faults", "step"}));
  Scenario scenario;
  BLX_TRY(read_settings(table, scenario));
  const auto add_workload = [&](const toml::table& entry) -> Result<> {
    BLX_TRY(Workload workload, read_workload(entry));
    scenario.workloads.push_back(std::move(workload));
    return {};
  };
  BLX_TRY(each_table(table, "workload", kWorkloadsMost, add_workload));
  BLX_TRY(read_faults(table, scenario.faults));
  const auto add_step = [&](const toml::table& entry) -> Result<> {
    BLX_TRY(const Step step, read_step(entry, scenario));
    scenario.steps.push_back(step);
    return {};
  };
  BLX_TRY(each_table(table, "step", kStepsMost, add_step));
  if (const toml::node* step = table.get("step");
      step != nullptr && (table.contains("workload") || table.contains("faults")))
    return wrong(*step, "there are steps and what steps are drawn from",
                 "either steps, or workloads and faults");
  sort_steps(scenario.steps);
  return scenario;
}

}  // namespace

Result<Scenario> parse_scenario(std::string_view text) {
  if (text.size() > kScenarioBytes)
    return wrong_at(1, "the file is too large", std::to_string(kScenarioBytes) + " bytes at most");
  if (const auto fault = toml_text::check_lines(text))
    return wrong_at(fault->line, fault->what, fault->instead);
  try {
    return read_scenario(toml::parse(text));
  } catch (const toml::parse_error& error) {
    return wrong_at(error.source().begin.line, error.description(), "TOML");
  } catch (const toml_text::LibraryMistaken&) {
    return wrong_at(1, "not TOML, here or below", "TOML");
  }
}

}  // namespace blixard::vopr
