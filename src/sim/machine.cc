#include "sim/machine.h"

#include "sim/fabric.h"
#include "sim/host.h"

namespace blixard::sim {
namespace {

std::string whole(const Content& content) {
  std::string bytes(content.size(), '\0');
  content.read(0, bytes);
  return bytes;
}

}  // namespace

Machine::Machine(std::unique_ptr<Host> host) : host_(std::move(host)) { restart(); }
Machine::~Machine() = default;

const std::string& Machine::name() const { return host_->name; }
const std::string& Machine::address() const { return host_->address; }

env::Env Machine::env() {
  BLX_ASSERT(running());
  return daemon_->env();
}

bool Machine::running() const { return daemon_ != nullptr; }

void Machine::start(env::Task<void> task) {
  BLX_ASSERT(running());
  daemon_->scope().spawn(std::move(task));
}

env::Task<void> Machine::stop_daemon() {
  if (daemon_ == nullptr) co_return;
  Incarnation& daemon = *daemon_;
  daemon.scope().cancel();
  co_await daemon.scope().join();
  if (daemon_ != &daemon) co_return;  // crashed meanwhile
  daemon_ = nullptr;
  daemon.end(false);
}

void Machine::crash_daemon() {
  if (daemon_ == nullptr) return;
  std::exchange(daemon_, nullptr)->end(false);
}

void Machine::freeze_daemon() {
  if (daemon_ != nullptr) daemon_->freeze();
}

void Machine::thaw_daemon() {
  if (daemon_ != nullptr) daemon_->thaw();
}

void Machine::lose_power() {
  if (daemon_ != nullptr) std::exchange(daemon_, nullptr)->end(true);
  if (host_->powered) host_->power_off();
}

void Machine::restart() {
  BLX_ASSERT(!running());
  if (!host_->powered) {
    host_->boot();
    host_->fabric.resume();
  }
  daemon_ = &host_->add_incarnation(host_->name, {});
}

std::optional<std::string> Machine::content(std::string_view path) const {
  const auto inode = host_->files.find(path);
  if (!inode || (*inode)->kind != Inode::Kind::kFile) return std::nullopt;
  return whole((*inode)->content);
}

std::optional<std::string> Machine::durable_content(std::string_view path) const {
  const InodePtr inode = host_->files.find_durable(path);
  if (!inode || inode->kind != Inode::Kind::kFile) return std::nullopt;
  return whole(inode->durable);
}

std::optional<std::uint32_t> Machine::mode(std::string_view path) const {
  const auto inode = host_->files.find(path);
  if (!inode) return std::nullopt;
  return (*inode)->mode;
}

std::optional<env::Owner> Machine::owner(std::string_view path) const {
  const auto inode = host_->files.find(path);
  if (!inode) return std::nullopt;
  return (*inode)->owner;
}

DiskFaults& Machine::disk_faults() { return host_->disk_faults; }
void Machine::set_disk_capacity(Bytes capacity) { host_->files.capacity = capacity.value; }

void Machine::corrupt(std::string_view path, std::uint64_t offset) {
  const auto flipped = host_->files.flip_byte(path, offset);
  BLX_ASSERT(flipped.has_value());
}

void Machine::replace_disk() {
  BLX_ASSERT(!host_->powered);
  host_->files.format();
}

std::optional<std::string> Machine::rot(std::string_view below, std::uint64_t where) {
  return host_->files.rot(below, where);
}

void Machine::misdirect_next_write(std::string_view below, std::uint64_t where) {
  host_->disk_faults.misdirect_next_write_below = below;
  host_->disk_faults.misdirect_where = where;
}

void Machine::install_program(std::string path, Behaviour behaviour) {
  host_->processes.install(std::move(path), std::move(behaviour));
}

std::size_t Machine::processes() const { return host_->processes.living_count(); }
bool Machine::is_alive(env::ProcessId id) const { return host_->processes.find(id) != nullptr; }

void Machine::kill_process(env::ProcessId id) {
  constexpr int kSignalKill = 9;
  ProcessRecord* process = host_->processes.find(id);
  if (process != nullptr) host_->processes.end(*process, {.signal = kSignalKill}, false);
}

void Machine::fail_next_spawn(Error error) { host_->processes.next_spawn_error = std::move(error); }
void Machine::set_group_support(env::Process::GroupSupport support) {
  host_->processes.group_support = support;
}

env::MachineFacts& Machine::facts() { return host_->facts; }
env::KvmReport& Machine::kvm() { return host_->kvm; }
void Machine::set_tsc_khz(std::optional<std::uint64_t> khz) { host_->tsc_khz = khz; }
void Machine::exhaust_sockets(bool exhausted) { host_->sockets_exhausted = exhausted; }

void Machine::set_load_average(double load) { host_->load_average = load; }
void Machine::set_memory_available(Bytes memory) { host_->memory_available = memory; }
void Machine::set_wall_offset(Duration offset) { host_->set_wall_offset(offset); }
void Machine::set_drift(int ppm) { host_->set_drift(ppm); }

}  // namespace blixard::sim
