#include <functional>
#include <span>
#include <string_view>
#include <utility>

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "core/cluster/scenario.h"
#include "core/cluster/state.h"

namespace blixard::cluster {
namespace {

constexpr std::string_view kGuest =
    "saved { digest: '01234567890123456789012345678901' bytes: 4096 accelerator: 'kvm' "
    "hypervisor_version: '7.2.22' tsc_khz: 2000000 saved_unix_ms: 77 } ";

// One that is suspended and has a snapshot, and one that wakes: the sixth and the seventh.
void save_something(Scenario& cluster) {
  for (const std::string name : {"asleep", "waking"}) {
    const auto report = [&](const std::string& rest) {
      const Vm& vm = *cluster.state.find_vm(name);
      EXPECT_TRUE(cluster.apply(
          "report_vms { node_id: 2 reports { generation: " + std::to_string(vm.generation.value) +
          " vm_id: " + std::to_string(vm.id.value) + " " + rest + " } }"));
    };
    EXPECT_TRUE(cluster.create(name));
    EXPECT_TRUE(cluster.place(name, 2));
    report("state: VM_STATE_STARTING");
    report("state: VM_STATE_RUNNING");
    EXPECT_TRUE(cluster.apply("take_snapshot { name: '" + name + "' }"));
    report("state: VM_STATE_RUNNING snapshot { number: 1 " + std::string(kGuest) + " }");
    EXPECT_TRUE(cluster.apply("take_snapshot { name: '" + name + "' }"));
    EXPECT_TRUE(cluster.desire(name, v1::VM_DESIRED_SUSPENDED));
    report("state: VM_STATE_SUSPENDED released: true " + std::string(kGuest));
    if (name == "asleep") continue;
    EXPECT_TRUE(cluster.apply(
        "register_node { node_id: 2 name: 'n2' capacity { vcpus: 4 memory_mib: 2048 } "
        "accelerator: 'kvm' hypervisor_version: '7.2.22' tsc_khz: 2000000 }"));
    EXPECT_TRUE(cluster.desire(name, v1::VM_DESIRED_RUNNING));
    EXPECT_TRUE(cluster.place(name, 2));
    report("state: VM_STATE_STARTING uses_saved: true");
  }
}

// Something of everything: tokens used and not, nodes, one of them leaving, images, VMs pending,
// placed, running, suspended and on their way out, and two remembered answers.
Scenario rich(std::uint32_t version = kModelVersion) {
  Scenario cluster = Scenario::founded();
  cluster.version = version;
  EXPECT_TRUE(cluster.add_image("alpine"));
  EXPECT_TRUE(cluster.apply(R"(add_image { name: "deb" architecture: "x86_64"
      kernel_version: "6.1" cmdline: "quiet"
      files { name: "initrd" bytes: 5 digest: "01234567890123456789012345678901" } })"));
  EXPECT_TRUE(cluster.add_node(1, 4, 1024));
  for (const std::uint64_t token : {21, 22, 23}) {
    EXPECT_TRUE(cluster.apply(Scenario::token_command(token, 1'000'000)));
  }
  EXPECT_TRUE(cluster.enrol(21, "n2"));
  EXPECT_TRUE(cluster.enrol(22, "n3", 'l'));
  EXPECT_TRUE(cluster.apply("remove_node { node_id: 3 }"));
  EXPECT_TRUE(cluster.configure({NodeId(1)}, {NodeId(2), NodeId(3)}));
  EXPECT_TRUE(cluster.add_node(2, 4, 2048));
  for (const char* name : {"waiting", "placed", "running", "going"}) {
    EXPECT_TRUE(cluster.create(name));
  }
  EXPECT_TRUE(cluster.create("ports", 2, 256, 8080));
  for (const char* name : {"placed", "running", "going", "ports"}) {
    EXPECT_TRUE(cluster.place(name, 1));
  }
  EXPECT_TRUE(cluster.report("running", v1::VM_STATE_STARTING));
  EXPECT_TRUE(cluster.report("running", v1::VM_STATE_RUNNING));
  if (version >= kStartVersion) {
    const std::string id = std::to_string(cluster.state.find_vm("running")->id.value);
    EXPECT_TRUE(cluster.apply("report_vms { node_id: 1 reports { generation: 1 vm_id: " + id +
                              " state: VM_STATE_RUNNING start { kind: VM_START_KIND_COLD "
                              "took_ms: 1532 why: 'no template yet' } } }"));
    save_something(cluster);
  }
  EXPECT_TRUE(cluster.desire("going", v1::VM_DESIRED_DELETED));
  EXPECT_TRUE(cluster.apply(
      "request_id: 'aaaaaaaaaaaaaaaa' set_desired { name: 'ports' desired: VM_DESIRED_STOPPED }"));
  EXPECT_FALSE(cluster.apply("request_id: 'bbbbbbbbbbbbbbbb' remove_image { name: 'none' }"));
  return cluster;
}

v1::StateSnapshot parsed(const State& state) {
  v1::StateSnapshot snapshot;
  EXPECT_TRUE(snapshot.ParseFromString(state.encode()));
  return snapshot;
}

TEST(Snapshot, GoesBothWays) {
  const Scenario cluster = rich();
  const auto restored = State::decode(cluster.state.encode());
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE(*restored == cluster.state);
  EXPECT_EQ(restored->encode(), cluster.state.encode());
  EXPECT_EQ(restored->hash(), cluster.state.hash());
}

TEST(Snapshot, OfAnEmptyStateToo) {
  const auto restored = State::decode(State().encode());
  ASSERT_TRUE(restored);
  EXPECT_TRUE(*restored == State());
}

// What is behind the snapshot goes on as it would have without it: ids, fences, accounts.
TEST(Snapshot, RestoredStateGoesOnTheSame) {
  Scenario kept = rich();
  Scenario restored = kept;
  restored.state = *State::decode(kept.state.encode());
  for (Scenario* cluster : {&kept, &restored}) {
    EXPECT_TRUE(cluster->report("going", v1::VM_STATE_STOPPED, true));
    EXPECT_FALSE(cluster->create("placed"));
    EXPECT_TRUE(cluster->create("new", 1, 128, 8080));
    const auto taken = cluster->place("new", 1);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().reason(), "port_taken");
    EXPECT_TRUE(cluster->place("new", 2));
    EXPECT_TRUE(cluster->add_image("third"));
    EXPECT_EQ(cluster->enrol(23, "n4")->object_id, 4u);
  }
  EXPECT_EQ(kept.state.hash(), restored.state.hash());
}

// A snapshot written today is read by every later program: the format is this number. If a change
// of it is meant, kModelVersion grows and old snapshots must still decode.
TEST(Snapshot, FormatIsPinned) {
  EXPECT_EQ(rich().state.hash(), "930aac4935cdc8c28555c539fb5d849d");
}

// While a cluster is upgraded, nodes with the program of before apply the same log and must come to
// the same bytes: what later versions added is not there yet.
TEST(Snapshot, OfAVersionBeforeIsWhatItWas) {
  EXPECT_EQ(rich(3).state.hash(), "170a141ba20aa33082ecf798104fe385");
  EXPECT_EQ(rich(4).state.hash(), "8057fc90ea18fdb508aec90e7a959317");
}

TEST(Snapshot, EqualStatesHaveEqualBytes) {
  EXPECT_EQ(rich().state.encode(), rich().state.encode());
  Scenario other = rich();
  EXPECT_TRUE(other.desire("waiting", v1::VM_DESIRED_STOPPED));
  EXPECT_NE(other.state.encode(), rich().state.encode());
}

TEST(Snapshot, OfANewerModelIsRefused) {
  auto snapshot = parsed(rich().state);
  snapshot.set_version(kModelVersion + 1);
  const auto refused = State::decode(snapshot.SerializeAsString());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(refused.error().reason(), "model_too_new");
}

using Damage = std::pair<std::string_view, std::function<void(v1::StateSnapshot&)>>;

// Each damage alone, to an otherwise good snapshot, is refused and its place named.
void expect_refused(std::span<const Damage> damages) {
  const auto good = parsed(rich().state);
  for (const auto& [part, damage] : damages) {
    auto snapshot = good;
    damage(snapshot);
    const auto refused = State::decode(snapshot.SerializeAsString());
    ASSERT_FALSE(refused) << part;
    EXPECT_EQ(refused.error().code(), Code::kDataLoss) << part;
    EXPECT_EQ(refused.error().reason(), "snapshot_invalid") << part;
    EXPECT_NE(refused.error().detail().find(part), std::string_view::npos)
        << part << " is not in: " << refused.error().message();
  }
}

TEST(Snapshot, DamagedMembersAndImagesAreRefused) {
  using S = v1::StateSnapshot;
  const Damage damages[] = {
      {"version", [](S& s) { s.clear_version(); }},
      {"next id", [](S& s) { s.clear_next_id(); }},
      {"image: id", [](S& s) { s.set_next_id(1); }},
      {"node: id twice",
       [](S& s) {
         *s.add_nodes() = s.nodes(0);
         s.mutable_nodes(3)->set_name("other");
       }},
      {"node: name twice", [](S& s) { s.mutable_nodes(0)->set_name("n2"); }},
      {"node: id", [](S& s) { s.set_next_node_id(3); }},
      {"node: role", [](S& s) { s.mutable_nodes(0)->set_role(v1::NodeRole(7)); }},
      {"node: node_invalid", [](S& s) { s.mutable_nodes(0)->set_peer_address("here"); }},
      {"node: key_digest", [](S& s) { s.mutable_nodes(0)->set_key_digest("x"); }},
      {"cluster", [](S& s) { s.set_cluster("x"); }},
      {"next node id", [](S& s) { s.clear_next_node_id(); }},
      {"token", [](S& s) { s.mutable_tokens(0)->clear_id(); }},
      {"token", [](S& s) { s.mutable_tokens(0)->clear_role(); }},
      {"token", [](S& s) { s.mutable_tokens(0)->set_secret_hash("x"); }},
      {"token: id twice", [](S& s) { *s.add_tokens() = s.tokens(0); }},
      {"token: used by", [](S& s) { s.mutable_tokens(0)->set_used_by(4); }},
      {"configuration", [](S& s) { s.mutable_configuration()->add_learners(1); }},
      {"node: node_invalid", [](S& s) { s.mutable_nodes(0)->clear_id(); }},
      {"node: name_invalid", [](S& s) { s.mutable_nodes(0)->set_name("N"); }},
      {"image: id", [](S& s) { s.mutable_images(0)->clear_id(); }},
      {"image: id twice", [](S& s) { s.mutable_images(1)->set_id(s.images(0).id()); }},
      {"image: name twice", [](S& s) { s.mutable_images(1)->set_name("alpine"); }},
      {"image: image_invalid", [](S& s) { s.mutable_images(1)->clear_files(); }},
      {"digest", [](S& s) { s.mutable_images(1)->mutable_files(0)->set_digest("x"); }},
  };
  expect_refused(damages);
}

// VMs in rich(): 0 waiting, 1 placed, 2 running, 3 going, 4 ports, 5 asleep, 6 waking. Requests: 0
// success, 1 refusal.
TEST(Snapshot, DamagedVmsAndRequestsAreRefused) {
  using S = v1::StateSnapshot;
  const Damage damages[] = {
      {"vm: id", [](S& s) { s.set_next_id(s.vms(6).id()); }},
      {"vm: id", [](S& s) { s.mutable_vms(0)->clear_id(); }},
      {"vm: id", [](S& s) { s.mutable_vms(0)->set_id(s.images(0).id()); }},
      {"vm: id twice", [](S& s) { s.mutable_vms(0)->set_id(s.vms(1).id()); }},
      {"vm: name twice", [](S& s) { s.mutable_vms(0)->set_name("placed"); }},
      {"vm: name_invalid", [](S& s) { s.mutable_vms(0)->set_name("a/b"); }},
      {"vm: uuid twice", [](S& s) { s.mutable_vms(0)->set_uuid(s.vms(1).uuid()); }},
      {"vm: uuid", [](S& s) { s.mutable_vms(0)->set_uuid("x"); }},
      {"vm: uuid", [](S& s) { s.mutable_vms(0)->set_uuid(std::string(16, '\0')); }},
      {"vm: spec_invalid", [](S& s) { s.mutable_vms(0)->mutable_spec()->set_vcpus(0); }},
      {"vm: desired", [](S& s) { s.mutable_vms(0)->set_desired(v1::VmDesired(9)); }},
      {"vm: desired", [](S& s) { s.mutable_vms(0)->set_state(v1::VmState(99)); }},
      {"vm: pending on", [](S& s) { s.mutable_vms(0)->set_node_id(1); }},
      {"vm: pending on", [](S& s) { s.mutable_vms(1)->clear_node_id(); }},
      {"vm: deleted and", [](S& s) { s.mutable_vms(0)->set_desired(v1::VM_DESIRED_DELETED); }},
      {"vm: placed without", [](S& s) { s.mutable_vms(1)->clear_generation(); }},
      {"vm: its node", [](S& s) { s.mutable_vms(1)->set_node_id(5); }},
      {"vm: its image", [](S& s) { s.mutable_vms(0)->mutable_spec()->set_image("none"); }},
      {"vm: host port",
       [](S& s) {
         *s.mutable_vms(1)->mutable_spec()->mutable_published_ports() =
             s.vms(4).spec().published_ports();
       }},
      {"vm: reason", [](S& s) { s.mutable_vms(0)->set_reason("\x1b[m"); }},
      {"vm: reason",
       [](S& s) { s.mutable_vms(0)->set_reason(std::string(limits::kReasonBytes + 1, 'x')); }},
      {"vm: accelerator", [](S& s) { s.mutable_vms(0)->set_accelerator("\t\x01"); }},
      {"vm: pid", [](S& s) { s.mutable_vms(2)->set_pid(-1); }},
      {"vm: report_invalid",
       [](S& s) { s.mutable_vms(2)->add_published_ports()->set_guest_port(80); }},
      {"request: id", [](S& s) { s.mutable_requests(0)->set_request_id("x"); }},
      {"request: twice", [](S& s) { *s.add_requests() = s.requests(0); }},
      {"request: a success", [](S& s) { s.mutable_requests(0)->set_reason("vm_exists"); }},
      {"request: code", [](S& s) { s.mutable_requests(1)->set_code(99); }},
      {"request: reason", [](S& s) { s.mutable_requests(1)->set_reason("no_such_word"); }},
      {"request: reason", [](S& s) { s.mutable_requests(1)->set_object_id(1); }},
      {"request: detail", [](S& s) { s.mutable_requests(1)->set_detail("\x01"); }},
  };
  expect_refused(damages);
}

TEST(Snapshot, DamagedSavesAreRefused) {
  using S = v1::StateSnapshot;
  const auto asleep = [](S& s) { return s.mutable_vms(5)->mutable_saves(); };
  const auto waking = [](S& s) { return s.mutable_vms(6)->mutable_saves(); };
  const Damage damages[] = {
      {"vm: pending on", [](S& s) { s.mutable_vms(5)->set_node_id(1); }},
      {"vm: suspended", [](S& s) { s.mutable_vms(5)->set_desired(v1::VM_DESIRED_RUNNING); }},
      {"vm: suspended", [&](S& s) { asleep(s)->set_used_by(1); }},
      {"vm: saves: nothing", [&](S& s) { waking(s)->clear_resume_from(); }},
      {"vm: saves: used by", [&](S& s) { waking(s)->set_used_by(3); }},
      {"vm: saved: of nobody", [&](S& s) { waking(s)->mutable_resume_from()->set_generation(3); }},
      {"vm: saved: of nobody",
       [&](S& s) { waking(s)->mutable_snapshot()->set_holder_node_id(s.next_node_id()); }},
      {"vm: saved: of nobody", [&](S& s) { asleep(s)->mutable_snapshot()->clear_generation(); }},
      {"vm: saved: of nobody",
       [&](S& s) { asleep(s)->mutable_snapshot()->clear_holder_node_id(); }},
      {"saved: digest",
       [&](S& s) { asleep(s)->mutable_snapshot()->mutable_guest()->set_digest("x"); }},
      {"saved: bytes",
       [&](S& s) { asleep(s)->mutable_snapshot()->mutable_guest()->clear_bytes(); }},
      {"vm: snapshots", [&](S& s) { waking(s)->set_snapshots_done(3); }},
      {"vm: snapshot of no", [&](S& s) { asleep(s)->set_snapshots_asked(3); }},
      {"vm: snapshot_error", [&](S& s) { asleep(s)->set_snapshot_error("\x1b[m"); }},
      {"node: node_invalid",
       [](S& s) { s.mutable_nodes(1)->set_hypervisor_version(std::string(99, 'x')); }},
  };
  expect_refused(damages);
}

// What a program before clusters wrote: nodes named themselves, and there were no members.
TEST(Snapshot, OfTheFirstModelIsRead) {
  auto snapshot = parsed(rich().state);
  snapshot.set_version(1);
  snapshot.clear_cluster();
  snapshot.clear_next_node_id();
  snapshot.clear_configuration();
  snapshot.clear_tokens();
  for (auto& node : *snapshot.mutable_nodes()) {
    node.clear_role();
    node.clear_peer_address();
    node.clear_key_digest();
    node.clear_leaving();
  }
  const auto state = State::decode(snapshot.SerializeAsString());
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->find_node(NodeId(2))->role, NodeRole::kServer);
  EXPECT_TRUE(state->cluster().is_nil());
}

TEST(Snapshot, TooManyRecordsAreRefused) {
  v1::StateSnapshot snapshot = parsed(State());
  for (std::size_t at = 0; at <= limits::kRememberedRequests; ++at)
    snapshot.add_requests();
  const auto refused = State::decode(snapshot.SerializeAsString());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().detail(), "too many requests");
}

// Never a crash; and whatever is read is a state that encodes and decodes to itself.
TEST(Snapshot, AnyCutAndAnyFlippedBitIsRefusedOrAnotherValidState) {
  const std::string good = rich().state.encode();
  std::vector<std::string> wrong;
  for (std::size_t length = 0; length < good.size(); ++length) {
    wrong.push_back(good.substr(0, length));
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    wrong.push_back(good);
    wrong.back()[bit / 8] = static_cast<char>(wrong.back()[bit / 8] ^ (1 << (bit % 8)));
  }
  const google::protobuf::LogSilencer quiet;  // it would print every text that is not UTF-8
  int refused = 0;
  for (const std::string& bytes : wrong) {
    const auto state = State::decode(bytes);
    if (!state) {
      ++refused;
      continue;
    }
    const auto again = State::decode(state->encode());
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_TRUE(*again == *state);
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace blixard::cluster
