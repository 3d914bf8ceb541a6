#include "test/e2e/log_crash/commands.h"

#include "core/cluster/model.h"
#include "node/replica/test_alone.h"

namespace blixard::log_crash {
namespace {

std::string bytes_of(const Uuid& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

std::string name_of(const char* kind, std::uint64_t number) {
  return kind + std::to_string(number);
}

// Another one for each kind and number; spread, since the version takes some bits of an id.
std::string id_of(std::uint64_t kind, std::uint64_t number) {
  return bytes_of(Uuid::from_random((kind + number) * 0x9e3779b97f4a7c15,
                                    (kind + number) * 0xd6e8feb86659fd93));
}

// Any earlier number, the same one every time.
std::uint64_t earlier(std::uint64_t number) {
  return 1 + number * 0x9e3779b97f4a7c15 % (number - 1);
}

void add_image(v1::AddImage& image, const std::string& name) {
  image.set_name(name);
  auto& file = *image.add_files();
  file.set_name("vmlinux");
  file.set_bytes(4096);
  file.set_digest(std::string(32, 'd'));
}

}  // namespace

v1::Command command(std::uint64_t number) {
  v1::Command command;
  command.set_version(cluster::kModelVersion);
  command.set_time_unix_ms(1);
  command.set_request_id(id_of(1u << 31, number));
  if (number == 1) {
    add_image(*command.mutable_add_image(), "base");
  } else if (number % 20 == 0) {
    add_image(*command.mutable_add_image(), name_of("image", number));
  } else if (number % 20 == 10 && number > 30) {
    command.mutable_remove_image()->set_name(name_of("image", number - 30));
  } else if (number % 3 == 0) {
    // Of a VM that may not exist, or may be like that already: refusals belong to the stream.
    command.mutable_set_desired()->set_name(name_of("vm", earlier(number)));
    command.mutable_set_desired()->set_desired(number % 2 == 0 ? v1::VM_DESIRED_STOPPED
                                                               : v1::VM_DESIRED_RUNNING);
  } else {
    auto& vm = *command.mutable_create_vm();
    vm.set_name(name_of("vm", number));
    vm.set_uuid(id_of(1u << 30, number));
    vm.set_desired(v1::VM_DESIRED_RUNNING);
    vm.mutable_spec()->set_image("base");
    vm.mutable_spec()->set_vcpus(1);
    vm.mutable_spec()->set_memory_mib(128);
  }
  return command;
}

std::string describe(const Result<cluster::Outcome>& answer) {
  if (answer) return "object " + std::to_string(answer->object_id);
  return "refused " + std::string(answer.error().reason());
}

env::Task<Result<std::unique_ptr<replica::Replica>>> open(env::Env env, std::string directory) {
  const replica::Options options{.log = {.segment_bytes = std::uint64_t{2} << 20},
                                 .snapshot_entries = 1000};
  static replica::NoPeers peers;
  return replica::open_alone(env, std::move(directory), NodeId(1), options, peers);
}

}  // namespace blixard::log_crash
