// What goes wrong with guests, their hypervisor, the templates they are cloned from, and what is
// saved of them.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/host.h"
#include "sim/random.h"
#include "vopr/faults.h"
#include "vopr/stored_saves.h"
#include "vopr/stored_templates.h"

namespace blixard::vopr {

void Faults::on_guest(const Step& step, Site& site, env::Scope& scope) {
  sim::QemuFaults& faults = site.qemu.faults;
  const auto sets_flag = [&](bool& flag) {
    sets(step, site, scope, [&flag] { flag = true; }, [&flag] { flag = false; });
  };
  switch (step.action) {
    case Action::kStartsFail:
      return sets_flag(faults.starts_fail);
    case Action::kStartsHang:
      return sets_flag(faults.starts_hang);
    case Action::kMonitorSilent:
      return sets_flag(faults.monitor_silent);
    case Action::kGuestIgnores:
      return sets(
          step, site, scope, [&faults] { faults.ignores_shutdown = faults.ignores_button = true; },
          [&faults] { faults.ignores_shutdown = faults.ignores_button = false; });
    case Action::kSlowBoots:
      return sets(
          step, site, scope,
          [&faults, &site, times = static_cast<std::int64_t>(step.amount)] {
            faults.boot = {site.boot.least * times, site.boot.most * times};
          },
          [&faults, &site] { faults.boot = site.boot; });
    case Action::kMonitorNoise:
      faults.noise = sim::kMonitorNoise[step.amount % sim::kMonitorNoise.size()].text;
      return done(step, site);
    case Action::kSpawnFails:
      site.machine->fail_next_spawn(Error(Code::kResourceExhausted, "no_memory"));
      site.spawn_trouble = true;
      return done(step, site);
    default:
      break;
  }
  std::vector<env::ProcessId> here;
  for (const Cluster::Guest& guest : cluster_.guests()) {
    if (guest.site == site.number) here.push_back(guest.process);
  }
  if (here.empty()) return skip(step, site, "no guest is there");
  const env::ProcessId one = here[step.amount % here.size()];
  done(step, site);
  switch (step.action) {
    case Action::kGuestPanics:
      site.qemu.panic(one);
      return;
    case Action::kGuestPowersOff:
      site.qemu.power_off(one);
      return;
    case Action::kMemoryPressure: {
      const auto largest = site.qemu.largest();
      return site.machine->kill_process(largest ? largest->process : one);
    }
    default:
      return site.machine->kill_process(one);
  }
}

// Templates.

void Faults::on_template(const Step& step, Site& site, env::Scope& scope) {
  sim::QemuFaults& faults = site.qemu.faults;
  const auto sets_flag = [&](bool& flag) {
    sets(step, site, scope, [&flag] { flag = true; }, [&flag] { flag = false; });
  };
  switch (step.action) {
    case Action::kLoadFails:
      return sets_flag(faults.load_fails);
    case Action::kLoadStalls:
      return sets_flag(faults.load_stalls);
    case Action::kStaleAgent:
      return sets_flag(faults.agent_is_stale);
    case Action::kRefusesIdentity:
      return sets_flag(faults.refuses_identity);
    case Action::kClockBehind:
      return sets(
          step, site, scope,
          [&faults, by = std::chrono::milliseconds(static_cast<std::int64_t>(step.amount))] {
            faults.clock_behind = by;
          },
          [&faults] { faults.clock_behind = {}; });
    case Action::kMakerDies:
      return sets(
          step, site, scope, [&faults] { faults.dies_at = "migrate"; },
          [&faults] { faults.dies_at.clear(); });
    default:
      return damage_template(step, site);
  }
}

// A daemon reads a template's memory through once in its life, and believes it from then on: what
// rots of it afterwards is found by the next one. So the daemon goes before the byte does.
void Faults::damage_template(const Step& step, Site& site) {
  std::vector<std::string> paths;
  for (const StoredTemplate& stored : stored_templates(site)) {
    for (const std::string& file : stored.files)
      if (stored.is_whole()) paths.push_back(env::join_path(stored.directory, file));
  }
  if (paths.empty()) return skip(step, site, "no template is there");
  if (site.damaged) return skip(step, site, "its disk is damaged already");
  sim::SeededRandom choice(step.amount);
  const std::string& path = paths[choice.below(paths.size())];
  const auto file = site.machine->host().files.find(path);
  if (!file || (*file)->content.pages() == 0) return skip(step, site, "the file is empty");
  const auto [begin, size] = (*file)->content.stored(choice.below((*file)->content.pages()));
  done(step, site);
  if (site.running && path.ends_with(kMemoryName)) {
    cluster_.crash(site);
    site.given_up = true;  // the service manager starts it again
  }
  site.machine->corrupt(path, begin + choice.below(size));
}

// Saved guests.

void Faults::on_saved(const Step& step, Site& site, env::Scope& scope) {
  if (step.action != Action::kSaveFails) return harm_saved(step, site);
  bool& fails = site.qemu.faults.save_fails;
  sets(step, site, scope, [&fails] { fails = true; }, [&fails] { fails = false; });
}

void Faults::harm_saved(const Step& step, Site& site) {
  std::vector<std::string> names = stored_saves(site);
  std::erase_if(names, [](const std::string& name) { return name.starts_with(kSaveInMaking); });
  if (names.empty()) return skip(step, site, "no saved guest is there");
  if (site.damaged) return skip(step, site, "its disk is damaged already");
  sim::SeededRandom choice(step.amount);
  const std::string& name = names[choice.below(names.size())];
  const std::string path = env::join_path(saves_directory(site), name);
  sim::FileSystem& files = site.machine->host().files;
  const auto file = files.find(path);
  if (!file || (*file)->content.pages() == 0) return skip(step, site, "the file is empty");
  done(step, site);
  site.harmed_saves.insert(name);
  if (step.action == Action::kSavedDamage) {
    const auto [begin, size] = (*file)->content.stored(choice.below((*file)->content.pages()));
    return site.machine->corrupt(path, begin + choice.below(size));
  }
  ignore(files.remove(path), "it was just found");
  ignore(files.sync_directory(saves_directory(site)), "the same");
}

}  // namespace blixard::vopr
