#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "vopr/scenario.h"
#include "vopr/scenario_words.h"

namespace blixard::vopr {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter;
  }
  return out += '"';
}

// TOML's numbers have a sign: those above are texts.
std::string seed_text(std::uint64_t seed) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return seed <= kMost ? std::to_string(seed) : quoted(std::to_string(seed));
}

std::string step_text(const Step& step) {
  const ActionFacts& facts = facts_of(step.action);
  std::string text = "{ at = " + quoted(time_text(step.at)) + ", do = " + quoted(facts.name);
  if (facts.group == Group::kClient) {
    text += ", client = " + std::to_string(step.client);
    if (step.manner != Manner::kPatient) text += ", manner = " + quoted(manner_name(step.manner));
  }
  if (facts.uses.vm) text += ", vm = " + std::to_string(step.vm);
  if (facts.uses.node) text += ", node = " + std::to_string(step.node);
  if (facts.uses.other) text += ", other = " + std::to_string(step.other);
  if (facts.uses.length) text += ", for = " + quoted(time_text(step.length));
  if (facts.uses.amount) text += ", amount = " + std::to_string(step.amount);
  return text + " }";
}

}  // namespace

std::string scenario_text(const Plan& plan) {
  const Settings& settings = plan.settings;
  const auto lines = std::to_array<std::pair<std::string_view, std::string>>({
      {"name", quoted(plan.scenario)},
      {"seed", seed_text(plan.seed)},
      {"until", quoted(time_text(plan.until))},
      {"nodes", std::to_string(settings.nodes)},
      {"spares", std::to_string(settings.spares)},
      {"clients", std::to_string(settings.clients)},
      {"vms", std::to_string(settings.vms)},
      {"tick", quoted(time_text(settings.tick))},
      {"election_ticks", std::to_string(settings.election_ticks)},
      {"snapshot_entries", std::to_string(settings.snapshot_entries)},
      {"trailing_entries", std::to_string(settings.trailing_entries)},
      {"rare_percent", std::to_string(settings.rare_percent)},
      {"boot", quoted(time_text(settings.boot))},
      {"version", std::to_string(settings.version)},
      {"templates_mib", std::to_string(settings.templates_mib)},
  });
  std::string text;
  for (const auto& [key, value] : lines)
    text.append(key).append(" = ").append(value) += '\n';
  text += "step = [\n";
  for (const Step& step : plan.steps)
    text.append("  ").append(step_text(step)) += ",\n";
  return text += "]\n";
}

}  // namespace blixard::vopr
