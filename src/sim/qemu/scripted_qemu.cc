#include "sim/qemu/scripted_qemu.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "env/scope.h"
#include "node/vm/label.h"
#include "sim/host.h"

namespace blixard::sim {
namespace {

constexpr std::string_view kNamePrefix = "blx-";

std::string proc_directory(env::ProcessId process) {
  return "/proc/" + std::to_string(process.pid);
}

// Groups of guests that are no VMs end in a word, those of VMs in a number.
bool is_group_of_vm(std::string_view group) {
  if (!group.starts_with(vm::kGroupPrefix)) return true;
  return group.find_first_not_of("0123456789", vm::kGroupPrefix.size()) == group.npos;
}

// What others read to know a process by. It takes no room on the disk and no fault of the disk
// concerns it, so it does not go through env::Disk.
void show_in_proc(FileSystem& files, const ProcessContext& process) {
  std::string line = process.spec().executable + '\0';
  for (const std::string& argument : process.spec().arguments)
    line += argument + '\0';
  const std::string directory = proc_directory(process.id());
  const std::uint64_t capacity =
      std::exchange(files.capacity, std::numeric_limits<std::uint64_t>::max());
  ignore(files.make_directory("/proc"), "it may be there");
  ignore(files.make_directory(directory), "it may be there");
  const auto file = files.open(env::join_path(directory, "cmdline"), env::OpenMode::kCreate);
  BLX_ASSERT(file.has_value());
  BLX_ASSERT(files.write(**file, 0, line).has_value());
  FileSystem::make_durable(**file, FileSystem::last_change(**file));
  for (const std::string& changed : {directory, std::string("/proc"), std::string("/")})
    BLX_ASSERT(files.sync_directory(changed).has_value());
  files.capacity = capacity;
}

void hide_in_proc(FileSystem& files, env::ProcessId process) {
  ignore(files.remove_tree(proc_directory(process)), "a test may have removed it");
  ignore(files.sync_directory("/proc"), "as above");
}

}  // namespace

// A guest from the first step of its process to the last: the hook is called within the step that
// ends the process, before any of its coroutines unwinds.
class ScriptedQemu::Life final : public env::CancelHook {
 public:
  Life(ScriptedQemu& owner, ProcessContext process, QemuCommandLine line)
      : guest(owner.machine_->host(), owner.faults, process, std::move(line)), owner_(owner) {
    owner_.lives_.push_back(this);
    show_in_proc(host().files, process);
  }

  QemuGuestHooks hooks() {
    return {.begins =
                [this] {
                  has_run_ = true;
                  owner_of_it_ = whose_folder();
                  if (owner_.on_guest) owner_.on_guest(*owner_.machine_, view(), true);
                },
            .turns =
                [this](bool runs) {
                  if (owner_.on_turn) owner_.on_turn(*owner_.machine_, view(), runs);
                },
            .is_saved =
                [this](std::uint64_t save) {
                  if (owner_.on_saved) owner_.on_saved(*owner_.machine_, view(), save);
                }};
  }

  [[nodiscard]] GuestView view() const {
    const QemuCommandLine& line = guest.line();
    const std::string_view name = line.name;
    GuestView view{
        .process = guest.process().id(),
        .uuid = line.uuid,
        .name = std::string(name.substr(name.starts_with(kNamePrefix) ? kNamePrefix.size() : 0)),
        .accelerator = line.is_kvm ? vm::Accelerator::kKvm : vm::Accelerator::kTcg,
        .memory = line.memory,
        .is_vm = is_group_of_vm(guest.process().spec().group),
        .status = qemu_state_name(guest.state()),
        .booted = guest.booted(),
        .identified = guest.identified(),
        .damaged = guest.damaged()};
    if (guest.soul()) describe(*guest.soul(), view);
    const auto owner = has_run_ ? owner_of_it_ : whose_folder();
    if (owner && !vm::is_standby(owner->id)) {
      view.uuid = owner->uuid;
      view.name = owner->name;
      view.is_vm = true;
    }
    return view;
  }

  // In whose folder the process is that stood by: the VM's that took it, or still its own. None: it
  // never stood by, or has no folder.
  [[nodiscard]] std::optional<vm::Record> whose_folder() const {
    const env::SpawnSpec& spec = guest.process().spec();
    const auto stood_by = vm::parse_group_name(spec.group);
    if (!stood_by || !vm::is_standby(*stood_by)) return std::nullopt;
    const std::string root(env::parent_path(spec.working_directory));
    const auto folders = host().files.list(root);
    if (!folders) return std::nullopt;
    for (const env::DirectoryEntry& folder : *folders) {
      const auto file = host().files.find(root + "/" + folder.name + "/record.json");
      if (!file) continue;
      std::string text((*file)->content.size(), '\0');
      (*file)->content.read(0, text);
      auto record = vm::Record::decode(text);
      if (!record || vm::label(record->id) != folder.name) continue;
      const Uuid& uuid = guest.line().uuid;
      const bool is_own = record->id == *stood_by && record->uuid == uuid;
      if (is_own || record->standby == uuid) return *std::move(record);
    }
    return std::nullopt;
  }

  QemuGuest guest;

 private:
  void on_cancel() override {
    std::erase(owner_.lives_, this);
    hide_in_proc(host().files, guest.process().id());
    if (has_run_ && owner_.on_guest) owner_.on_guest(*owner_.machine_, view(), false);
  }
  Host& host() const { return owner_.machine_->host(); }
  void describe(const Soul& soul, GuestView& view) const {
    view.host_name = soul.host_name;
    view.machine_id = soul.machine_id;
    view.mac = soul.mac;
    view.random_seed = soul.random.seed;
    view.clock_offset =
        (soul.clock.wall(guest.now()).unix_ms - host().wall().unix_ms) * Duration(1ms);
    view.save = soul.save;
  }

  ScriptedQemu& owner_;
  bool has_run_ = false;
  std::optional<vm::Record> owner_of_it_;  // when it began to run, if it had stood by
};

ScriptedQemu::~ScriptedQemu() { BLX_ASSERT(lives_.empty()); }

void ScriptedQemu::install(Machine& machine) {
  BLX_ASSERT(machine_ == nullptr);
  machine_ = &machine;
  machine.install_program(kQemuPath, [this](ProcessContext process) { return run(process); });
}

env::Task<void> ScriptedQemu::run(ProcessContext process) {
  const std::vector<std::string>& arguments = process.spec().arguments;
  if (arguments.empty()) {
    process.print("qemu-system-x86_64: no display\n");
    process.exit(1);
  } else if (arguments[0] == "--version") {
    process.print("QEMU emulator version 7.2.22 (simulated)\n");
  } else if (arguments.size() >= 2 && arguments[0] == "-accel" && arguments[1] == "help") {
    process.print("Accelerators supported in QEMU binary:\ntcg\nkvm\n");
  } else {
    co_await run_guest(process);
  }
}

env::Task<void> ScriptedQemu::run_guest(ProcessContext process) {
  ++started_;
  auto line = parse_qemu_command_line(process.spec().arguments);
  const bool fails = faults.starts_fail || (line && line->is_kvm && faults.kvm_starts_fail);
  if (fails || !line) {
    process.print(fails ? faults.last_words + "\n"
                        : "qemu-system-x86_64: " + std::string(line.error().detail()) + "\n");
    process.exit(1);
    co_return;
  }
  env::Cancellation* end = co_await env::this_cancellation();
  BLX_ASSERT(end != nullptr);
  if (end->requested()) co_return;  // killed before its first step
  Life life(*this, process, *std::move(line));
  end->add(life);
  co_await life.guest.run(life.hooks());
  if (life.linked()) process.exit(0);
}

std::vector<GuestView> ScriptedQemu::guests() const {
  std::vector<GuestView> views;
  views.reserve(lives_.size());
  for (const Life* life : lives_)
    views.push_back(life->view());
  return views;
}

std::size_t ScriptedQemu::standing_by() const {
  return static_cast<std::size_t>(std::ranges::count_if(lives_, [](const Life* life) {
    const auto owner = life->whose_folder();
    return owner && vm::is_standby(owner->id);
  }));
}

std::optional<GuestView> ScriptedQemu::largest() const {
  const Life* most = nullptr;
  for (const Life* life : lives_) {
    const bool is_more = most == nullptr || life->guest.line().memory >= most->guest.line().memory;
    if (is_more) most = life;
  }
  if (most == nullptr) return std::nullopt;
  return most->view();
}

QemuGuest* ScriptedQemu::find(env::ProcessId process) const {
  const auto life = std::ranges::find_if(
      lives_, [process](const Life* one) { return one->guest.process().id() == process; });
  return life != lives_.end() ? &(*life)->guest : nullptr;
}

bool ScriptedQemu::panic(env::ProcessId process) {
  QemuGuest* guest = find(process);
  return guest != nullptr && guest->panic();
}

bool ScriptedQemu::reboot(env::ProcessId process) {
  QemuGuest* guest = find(process);
  return guest != nullptr && guest->reboot();
}

bool ScriptedQemu::power_off(env::ProcessId process) {
  QemuGuest* guest = find(process);
  return guest != nullptr && guest->power_off();
}

}  // namespace blixard::sim
