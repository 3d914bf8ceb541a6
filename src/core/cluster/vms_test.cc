#include "core/cluster/vms.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::cluster {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Vm vm(std::uint64_t id, std::string_view name, std::uint64_t node = 0) {
  Vm made{.id = VmId(id), .name = Name(name), .node = NodeId(node)};
  made.uuid.bytes.fill(static_cast<std::uint8_t>(id));
  made.spec.vcpus = 2;
  made.spec.memory_mib = 256;
  if (node != 0) made.state = VmState::kPlaced;
  return made;
}

std::vector<std::string> names(const std::vector<const Vm*>& page) {
  std::vector<std::string> all;
  for (const Vm* each : page)
    all.push_back(each->name.text());
  return all;
}

TEST(Vms, PagesAreInTheOrderOfTexts) {
  Vms vms;
  std::uint64_t id = 0;
  for (const char* name : {"web-2", "a", "web-10", "web", "b"})
    vms.add(vm(++id, name));
  EXPECT_THAT(names(vms.after("", 100)), ElementsAre("a", "b", "web", "web-10", "web-2"));
  EXPECT_THAT(names(vms.after("", 2)), ElementsAre("a", "b"));
  EXPECT_THAT(names(vms.after("b", 2)), ElementsAre("web", "web-10"));
  // Behind names that nobody has: one that is gone, one that never was.
  vms.remove(vms.find("web")->id);
  EXPECT_THAT(names(vms.after("web", 1)), ElementsAre("web-10"));
  EXPECT_THAT(names(vms.after("c", 1)), ElementsAre("web-10"));
  EXPECT_THAT(vms.after("web-2", 1), IsEmpty());
  EXPECT_THAT(vms.after("", 0), IsEmpty());
}

// A name comes to the same place again, whichever number it is interned as.
TEST(Vms, ANameIsFoundAgainAfterItWasRemovedAndGivenAnew) {
  Vms vms;
  vms.add(vm(1, "b"));
  vms.remove(VmId(1));
  vms.add(vm(2, "other"));
  vms.add(vm(3, "b"));
  EXPECT_EQ(vms.find("b")->id, VmId(3));
  EXPECT_THAT(names(vms.after("", 10)), ElementsAre("b", "other"));
}

TEST(Vms, AChangeIsFollowedByTheNodeAndTheCounts) {
  Vms vms;
  Vm publishing = vm(1, "a");
  publishing.spec.published_ports = {{.host_port = 80, .guest_port = 8080}};
  vms.add(publishing);
  vms.add(vm(2, "b", 1));
  EXPECT_THAT(vms.on(NodeId()), ElementsAre(VmId(1)));
  EXPECT_FALSE(vms.is_taken(NodeId(1), 80));

  vms.change(VmId(1), [](Vm& placed) {
    placed.node = NodeId(1);
    placed.state = VmState::kPlaced;
  });
  EXPECT_THAT(vms.on(NodeId()), IsEmpty());
  EXPECT_THAT(vms.on(NodeId(1)), ElementsAre(VmId(1), VmId(2)));
  EXPECT_TRUE(vms.is_taken(NodeId(1), 80));
  EXPECT_EQ(vms.promised(NodeId(1)), (Promised{.amounts = {.cpu_milli = 4000, .memory_mib = 512}}));
  EXPECT_EQ(vms.count_in(VmState::kPlaced), 2u);
  EXPECT_EQ(vms.count_in(VmState::kPending), 0u);

  // From one node to another, in one change.
  vms.change(VmId(1), [](Vm& moved) { moved.node = NodeId(2); });
  EXPECT_THAT(vms.on(NodeId(1)), ElementsAre(VmId(2)));
  EXPECT_THAT(vms.on(NodeId(2)), ElementsAre(VmId(1)));
  EXPECT_FALSE(vms.is_taken(NodeId(1), 80));
  EXPECT_TRUE(vms.is_taken(NodeId(2), 80));
  EXPECT_EQ(vms.promised(NodeId(2)), (Promised{.amounts = {.cpu_milli = 2000, .memory_mib = 256}}));
}

TEST(Vms, WhatIsSavedIsFoundByItsHolder) {
  const auto saved_at = [](std::uint64_t node) {
    SavedGuest saved;
    saved.holder = NodeId(node);
    return saved;
  };
  Vms vms;
  Vm suspended = vm(1, "a");
  change_saves(suspended, [&](Saves& saves) { saves.resume_from = saved_at(1); });
  vms.add(suspended);
  vms.add(vm(2, "b", 1));
  EXPECT_THAT(vms.saved_at(NodeId(1)), ElementsAre(VmId(1)));
  vms.change(VmId(2), [&](Vm& changed) {
    change_saves(changed, [&](Saves& saves) { saves.snapshot = saved_at(1); });
  });
  EXPECT_THAT(vms.saved_at(NodeId(1)), ElementsAre(VmId(1), VmId(2)));
  // Both of one VM on one node, and then only one of them.
  vms.change(VmId(2), [&](Vm& changed) {
    change_saves(changed, [&](Saves& saves) { saves.resume_from = saved_at(1); });
  });
  vms.change(VmId(2), [&](Vm& changed) {
    change_saves(changed, [&](Saves& saves) { saves.snapshot = saved_at(2); });
  });
  EXPECT_THAT(vms.saved_at(NodeId(1)), ElementsAre(VmId(1), VmId(2)));
  EXPECT_THAT(vms.saved_at(NodeId(2)), ElementsAre(VmId(2)));
  vms.remove(VmId(1));
  vms.remove(VmId(2));
  EXPECT_EQ(vms, Vms());
}

// What follows from the VMs that are here and not from those that were.
TEST(Vms, NothingIsLeftOfAVmThatIsRemoved) {
  Vms vms;
  for (std::uint64_t id = 1; id <= 3; ++id)
    vms.add(vm(id, std::string(1, static_cast<char>('a' + id)), id - 1));
  const Vm gone = vms.remove(VmId(2));
  EXPECT_EQ(gone, vm(2, "c", 1));
  EXPECT_EQ(vms.find(VmId(2)), nullptr);
  EXPECT_EQ(vms.find("c"), nullptr);
  EXPECT_FALSE(vms.has_uuid(gone.uuid));
  EXPECT_TRUE(vms.has_uuid(vm(3, "d").uuid));
  EXPECT_THAT(vms.on(NodeId(1)), IsEmpty());
  vms.remove(VmId(1));
  vms.remove(VmId(3));
  EXPECT_EQ(vms, Vms());
}

}  // namespace
}  // namespace blixard::cluster
