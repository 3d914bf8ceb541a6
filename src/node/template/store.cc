#include "node/template/store.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/bug.h"
#include "base/limits.h"
#include "env/scope.h"
#include "node/vm/template_files.h"
#include "observe/allocations.h"

namespace blixard::templates {
namespace {

constexpr std::string_view kManifestFile = "manifest.json";
constexpr std::string_view kMakingPrefix = ".making-";
constexpr std::size_t kNameDigits = 16;
constexpr std::size_t kWantedMost = 16;
constexpr Duration kLookAgain = 500ms;  // whether a VM is still being started
constexpr Duration kTryAgain = 10min;   // after a making that failed
constexpr Duration kMakingPatience = 2min;
// Of memory and of the disk, for everybody else.
constexpr std::uint64_t kSpareMemory = std::uint64_t{256} << 20;
constexpr std::uint64_t kSpareBytes = std::uint64_t{256} << 20;

std::unexpected<Error> none(const char* reason, std::string words) {
  return fail(Code::kNotFound, reason, std::move(words));
}

std::uint64_t size_of(const Manifest& manifest) {
  std::uint64_t size = 0;
  for (const vm::TemplateFile& file : manifest.files)
    size += file.size.value;
  return size;
}

vm::Template as_template(const Manifest& manifest, const std::string& directory) {
  return {.key = manifest.key, .directory = directory, .files = manifest.files};
}

}  // namespace

Store::Store(env::Env env, std::string root, vm::Driver& driver, Bytes most, std::size_t standbys)
    : env_(env),
      root_(std::move(root)),
      driver_(driver),
      most_(most),
      changed_(env.executor),
      pool_(env, driver, standbys) {}

env::Task<Result<std::unique_ptr<Store>>> Store::open(env::Env env, std::string root,
                                                      vm::Driver& driver, Bytes most,
                                                      std::size_t standbys) {
  std::unique_ptr<Store> store(new Store(env, std::move(root), driver, most, standbys));
  BLX_CO_TRY(co_await store->load());
  co_return std::move(store);
}

env::Task<Result<void>> Store::load() {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  BLX_CO_TRY(co_await env_.disk.make_directory(root_));
  BLX_CO_TRY(const auto entries, co_await env_.disk.list(root_));
  for (const env::DirectoryEntry& entry : entries) {
    const std::string path = env::join_path(root_, entry.name);
    auto found = entry.name.starts_with(kMakingPrefix)
                     ? Result<Kept>(none(kNone, "its making was cut short"))
                     : co_await read(path);
    const std::string why = found ? "none are kept, or it is there twice" : found.error().message();
    if (found && most_.value != 0 && !kept_.contains(found->manifest.key)) {
      std::string key = found->manifest.key;
      kept_.emplace(std::move(key), *std::move(found));
      continue;
    }
    BLX_CO_TRY(co_await env_.disk.remove_tree(path));
    BLX_LOG(env_.log, kInfo, "template {} removed: {}", entry.name, why);
  }
  co_return Result<void>();
}

env::Task<Result<Store::Kept>> Store::read(std::string directory) {
  BLX_CO_TRY(const std::string bytes,
             co_await env_.disk.read_file(env::join_path(directory, kManifestFile),
                                          limits::kTemplateManifestBytes));
  BLX_CO_TRY(Manifest manifest, Manifest::decode(bytes));
  const WallTime made = manifest.made;
  co_return Kept{.manifest = std::move(manifest),
                 .directory = std::move(directory),
                 .is_checked = false,
                 .used = made};
}

env::Task<Result<vm::Template>> Store::find(vm::GuestSpec spec) {
  if (most_.value == 0) co_return none(kOff, "templates are off");
  BLX_CO_TRY(const std::string key, co_await driver_.template_key(spec));
  BLX_CO_TRY(const vm::Capabilities host, co_await driver_.probe());
  const auto found = kept_.find(key);
  if (found == kept_.end()) co_return none(kNone, "no template yet");
  if (!found->second.is_checked && !BLX_BUG(kBelievesTemplates)) {
    co_return none(kUnchecked, "the template is being checked");
  }
  if (!tsc_agrees(found->second.manifest.tsc_khz, host.tsc_khz)) {
    co_return none(kUnfit, "the template is of a host with another time stamp counter");
  }
  found->second.used = env_.clock.wall();
  spec.clone_of = as_template(found->second.manifest, found->second.directory);
  pool_.started(spec);
  co_return *std::move(spec.clone_of);
}

void Store::want(vm::GuestSpec spec, std::string image) {
  if (most_.value == 0 || wanted_.size() >= kWantedMost) return;
  wanted_.push_back({std::move(spec), std::move(image)});
  changed_.notify_all();
}

env::Task<void> Store::run(Host host) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  host_ = std::move(host);
  env::Scope scope(env_.executor, co_await env::this_cancellation());
  scope.spawn(pool_.run(host_.is_starting));
  co_await check_found();
  co_await make_wanted();
  scope.cancel();
  co_await scope.join();
}

env::Task<void> Store::make_wanted() {
  while (true) {
    while (wanted_.empty() && !has_doubts_) {
      if (!co_await changed_.wait()) co_return;
    }
    if (std::exchange(has_doubts_, false)) co_await check_found();
    if (wanted_.empty()) continue;
    const Wanted wanted = std::move(wanted_.front());
    wanted_.pop_front();
    const auto key = co_await driver_.template_key(wanted.spec);
    if (!key || kept_.contains(*key)) continue;
    const auto failed = failed_.find(*key);
    if (failed != failed_.end() && env_.clock.monotonic() < failed->second + kTryAgain) continue;
    if (!co_await wait_for_quiet()) co_return;
    const auto made = co_await make(wanted.spec, wanted.image);
    if (!made && made.error().code() == Code::kCancelled) co_return;
  }
}

env::Task<Result<void>> Store::wait_for_quiet() {
  while (host_.is_starting && host_.is_starting())
    BLX_CO_TRY(co_await env_.clock.sleep(kLookAgain));
  co_return Result<void>();
}

env::Task<void> Store::check_found() {
  std::vector<std::string> keys;
  keys.reserve(kept_.size());
  for (const auto& [key, kept] : kept_)
    keys.push_back(key);
  for (const std::string& key : keys) {
    const auto kept = kept_.find(key);
    if (kept == kept_.end() || kept->second.is_checked) continue;
    const auto checked = co_await vm::check_template(
        env_.disk, as_template(kept->second.manifest, kept->second.directory));
    if (!checked && checked.error().code() == Code::kCancelled) co_return;
    const auto now = kept_.find(key);
    if (now == kept_.end()) continue;
    if (checked || BLX_BUG(kBelievesTemplates)) {
      now->second.is_checked = true;
    } else {
      co_await refuse(key, checked.error().message());
    }
  }
}

env::Task<Result<Manifest>> Store::make(vm::GuestSpec spec, std::string image) {
  if (most_.value == 0) co_return fail(Code::kFailedPrecondition, kOff, "templates are off");
  BLX_CO_TRY(const std::string key, co_await driver_.template_key(spec));
  while (is_making_)
    BLX_CO_TRY(co_await changed_.wait());
  if (const auto kept = kept_.find(key); kept != kept_.end()) co_return kept->second.manifest;
  is_making_ = true;
  const std::string making =
      env::join_path(root_, std::string(kMakingPrefix) + key.substr(0, kNameDigits));
  const Instant begun = env_.clock.monotonic();
  auto made = co_await make_into(std::move(spec), std::move(image), key, making);
  is_making_ = false;
  changed_.notify_all();
  const Duration took = env_.clock.monotonic() - begun;
  const bool is_told = made || made.error().code() != Code::kCancelled;
  if (is_told && host_.tried) host_.tried(made, took);
  if (made) {
    failed_.erase(key);
    BLX_LOG(env_.log, kInfo, "template {} of image {} made in {} ms", key.substr(0, kNameDigits),
            made->image, took / 1ms);
    co_return made;
  }
  env::Cancellation none;
  ignore(co_await env_.disk.remove_tree(making).under(none), "swept by the next open()");
  if (made.error().code() != Code::kCancelled) {
    failed_[key] = env_.clock.monotonic();
    BLX_LOG(env_.log, kWarn, "template {} cannot be made: {}", key.substr(0, kNameDigits),
            made.error().message());
  }
  co_return made;
}

env::Task<Result<Manifest>> Store::make_into(vm::GuestSpec spec, std::string image, std::string key,
                                             std::string making) {
  BLX_CO_TRY(co_await make_room(spec.memory));
  BLX_CO_TRY(const vm::Capabilities host, co_await driver_.probe());
  Manifest manifest{.key = key,
                    .image = std::move(image),
                    .vcpus = spec.vcpus,
                    .memory = spec.memory,
                    .accelerator = host.accelerator,
                    .tsc_khz = host.tsc_khz,
                    .made = env_.clock.wall(),
                    .files = {}};
  BLX_CO_TRY(co_await env_.disk.remove_tree(making));
  BLX_CO_TRY(co_await env_.disk.make_directory(making));
  BLX_CO_TRY(auto names, co_await driver_.make_template(std::move(spec), making,
                                                        env_.clock.monotonic() + kMakingPatience));
  BLX_CO_TRY(const vm::Template measured,
             co_await vm::measure_template(env_.disk, key, making, std::move(names)));
  manifest.files = measured.files;
  BLX_CO_TRY(
      co_await env_.disk.replace_file(env::join_path(making, kManifestFile), manifest.encode()));
  const std::string directory = env::join_path(root_, key.substr(0, kNameDigits));
  BLX_CO_TRY(co_await env_.disk.remove_tree(directory));
  BLX_CO_TRY(co_await env_.disk.rename(making, directory));
  BLX_CO_TRY(co_await env_.disk.sync_directory(root_));
  kept_[key] = {
      .manifest = manifest, .directory = directory, .is_checked = true, .used = env_.clock.wall()};
  co_return manifest;
}

// Of those without a clone, the ones go that were used the longest time ago.
env::Task<Result<void>> Store::make_room(Bytes needed) {
  if (needed.value > most_.value) {
    co_return fail(Code::kResourceExhausted, "template_too_large",
                   fmt::format("it needs {} MiB, all templates together may have {} MiB",
                               needed.mib(), most_.mib()));
  }
  const Bytes available = env_.machine.memory_available();
  if (available.value < needed.value + kSpareMemory) {
    co_return fail(Code::kResourceExhausted, "out_of_memory",
                   fmt::format("making it needs {} MiB of memory, {} MiB are free", needed.mib(),
                               available.mib()));
  }
  while (bytes() + needed.value > most_.value) {
    const std::map<std::string, std::size_t> in_use = clones();
    auto oldest = kept_.end();
    for (auto each = kept_.begin(); each != kept_.end(); ++each) {
      if (in_use.contains(each->first)) continue;
      if (oldest == kept_.end() || each->second.used < oldest->second.used) oldest = each;
    }
    if (oldest == kept_.end()) {
      co_return fail(Code::kResourceExhausted, "template_too_large",
                     "all templates that are kept have clones");
    }
    BLX_CO_TRY(co_await drop(oldest->first));
  }
  BLX_CO_TRY(const env::DiskSpace space, co_await env_.disk.space(root_));
  if (space.available.value < needed.value + kSpareBytes) {
    co_return fail(Code::kResourceExhausted, "disk_full",
                   fmt::format("the template needs {} MiB, {} has {} MiB free", needed.mib(), root_,
                               space.available.mib()));
  }
  co_return Result<void>();
}

env::Task<void> Store::refuse(std::string key, std::string why) {
  BLX_LOG(env_.log, kWarn, "template {} is refused and removed: {}", key.substr(0, kNameDigits),
          why);
  const auto dropped = co_await drop(key);
  if (!dropped) {
    BLX_LOG(env_.log, kWarn, "template {} cannot be removed: {}", key.substr(0, kNameDigits),
            dropped.error().message());
  }
}

void Store::doubt(const std::string& key) {
  const auto found = kept_.find(key);
  if (found == kept_.end()) return;
  BLX_LOG(env_.log, kWarn, "template {} is read through again: a clone of it ended",
          key.substr(0, kNameDigits));
  found->second.is_checked = false;
  has_doubts_ = true;
  changed_.notify_all();
}

env::Task<Result<void>> Store::remove(std::string key) {
  if (!kept_.contains(key)) {
    co_return fail(Code::kNotFound, "template_not_found", "no template has the key " + key);
  }
  if (clones().contains(key)) {
    co_return fail(Code::kFailedPrecondition, "template_in_use", "clones of it run on this node");
  }
  co_return co_await drop(std::move(key));
}

env::Task<Result<void>> Store::drop(std::string key) {
  const auto found = kept_.find(key);
  if (found == kept_.end()) co_return Result<void>();
  const std::string directory = std::move(found->second.directory);
  kept_.erase(found);
  pool_.forget(key);
  co_return co_await env_.disk.remove_tree(directory);
}

void Store::register_metrics(observe::Metrics& metrics, const Store* of) {
  const auto source = [of](double (*value)(const Store&)) {
    return [of, value](observe::Answer& answer) {
      if (of != nullptr) answer(value(*of));
    };
  };
  metrics.computed_gauge(
      "blixard_templates", "Templates that this node keeps.",
      source([](const Store& store) { return static_cast<double>(store.kept_.size()); }));
  metrics.computed_gauge(
      "blixard_templates_bytes", "Size of their files, which may take less of the disk.",
      source([](const Store& store) { return static_cast<double>(store.bytes()); }));
  metrics.computed_gauge(
      "blixard_standbys", "Hypervisors of this node that stand by for clones of templates.",
      source([](const Store& store) { return static_cast<double>(store.pool_.count()); }));
}

std::map<std::string, std::size_t> Store::clones() const {
  return host_.clones ? host_.clones() : std::map<std::string, std::size_t>{};
}

std::uint64_t Store::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [key, kept] : kept_)
    sum += size_of(kept.manifest);
  return sum;
}

std::vector<Listed> Store::list() const {
  const std::map<std::string, std::size_t> in_use = clones();
  std::vector<Listed> listed;
  for (const auto& [key, kept] : kept_) {
    const auto used = in_use.find(key);
    listed.push_back({.manifest = kept.manifest,
                      .size = Bytes(size_of(kept.manifest)),
                      .is_checked = kept.is_checked,
                      .clones = used == in_use.end() ? 0 : used->second,
                      .used = kept.used});
  }
  std::ranges::sort(listed, {}, [](const Listed& each) {
    return std::pair(each.manifest.image, each.manifest.key);
  });
  return listed;
}

}  // namespace blixard::templates
