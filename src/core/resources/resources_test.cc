// Amounts, supplies and rooms: the arithmetic that both sides of a placement use.

#include <rapidcheck.h>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "core/resources/amounts.h"
#include "core/resources/room.h"
#include "core/resources/supply.h"

namespace blixard::resources {
namespace {

const Name kGpu("gpu");
const Name kA100("a100");
const Name kT4("t4");

Supply two_models() {
  return {.amounts = {.cpu_milli = 8000, .memory_mib = 4096, .disk_mib = 100, .network_mbit = 10},
          .counters = {{Name("licence"), 2}},
          .devices = {{kGpu, kA100, 2}, {kGpu, kT4, 3}}};
}

Demand devices(std::uint32_t count, std::int32_t milli, std::vector<Name> models = {}) {
  return {.devices = {{.kind = kGpu, .count = count, .milli = milli, .models = std::move(models)}}};
}

TEST(Amounts, TextsSayTheUnit) {
  EXPECT_EQ(amount_text(Kind::kCpu, 2000), "2 vCPUs");
  EXPECT_EQ(amount_text(Kind::kCpu, 1500), "1.5 vCPUs");
  EXPECT_EQ(amount_text(Kind::kCpu, 1050), "1.05 vCPUs");
  EXPECT_EQ(amount_text(Kind::kCpu, -250), "-0.25 vCPUs");
  EXPECT_EQ(amount_text(Kind::kMemory, 512), "512 MiB of memory");
  EXPECT_EQ(amount_text(Kind::kDisk, 10), "10 MiB of disk");
  EXPECT_EQ(amount_text(Kind::kNetwork, 100), "100 Mbit/s of network");
}

// A node that came back smaller owes something: what asks for none of it is not kept away.
TEST(Amounts, NothingFitsIntoLessThanNothingButNothing) {
  const Amounts room{.cpu_milli = 1000, .memory_mib = -5};
  EXPECT_TRUE((Amounts{.cpu_milli = 1000}).fits(room));
  EXPECT_FALSE((Amounts{.cpu_milli = 1001}).fits(room));
  EXPECT_FALSE((Amounts{.memory_mib = 1}).fits(room));
}

TEST(Supply, IsPhysicalTimesRatioLessTheReserve) {
  const Amounts physical{
      .cpu_milli = 8000, .memory_mib = 1000, .disk_mib = 1000, .network_mbit = 1000};
  EXPECT_EQ(offered(physical, kStandard), (Amounts{32'000, 1000, 1000, 1000}));
  EXPECT_EQ(offered(physical, kConservative), (Amounts{7200, 900, 900, 1000}));
  EXPECT_EQ(offered(physical, kModerate), (Amounts{13'600, 1020, 935, 1000}));
  EXPECT_EQ(offered(physical, kAggressive), (Amounts{30'400, 1425, 1235, 1000}));
}

TEST(Supply, PresetsHaveNames) {
  for (const char* name : {"standard", "conservative", "moderate", "aggressive"}) {
    ASSERT_TRUE(parse_preset(name)) << name;
    EXPECT_EQ(preset_name(*parse_preset(name)), name);
    EXPECT_TRUE(is_valid(*parse_preset(name)));
  }
  EXPECT_FALSE(parse_preset("generous"));
  EXPECT_EQ(preset_name({.cpu_percent = 300}), "custom");
  EXPECT_FALSE(is_valid({.cpu_percent = 99}));
  EXPECT_FALSE(is_valid({.memory_percent = 1001}));
  EXPECT_FALSE(is_valid({.reserve_percent = 91}));
}

TEST(Room, SaysWhatIsLacking) {
  const Room room(two_models());
  EXPECT_TRUE(room.fits({.amounts = {8000, 4096, 100, 10}}));
  EXPECT_EQ(room.lack({.amounts = {.cpu_milli = 9000, .memory_mib = 5000}}),
            (Lack{.kind = Kind::kMemory, .needed = 5000, .left = 4096}));
  EXPECT_EQ(room.lack({.amounts = {.cpu_milli = 9000}}),
            (Lack{.kind = Kind::kCpu, .needed = 9000, .left = 8000}));
  EXPECT_EQ(room.lack({.amounts = {.disk_mib = 101}})->kind, Kind::kDisk);
  EXPECT_EQ(room.lack({.amounts = {.network_mbit = 11}})->kind, Kind::kNetwork);
  EXPECT_EQ(room.lack({.counters = {{Name("licence"), 3}}}),
            (Lack{.what = Lack::What::kCounter, .name = Name("licence"), .needed = 3, .left = 2}));
  EXPECT_EQ(room.lack({.counters = {{Name("other"), 1}}})->left, 0);
}

TEST(Room, DevicesAreLackingByKindModelAndSize) {
  Room room(two_models());
  EXPECT_TRUE(room.fits(devices(5, kWholeDevice)));
  EXPECT_EQ(room.lack(devices(6, kWholeDevice)),
            (Lack{.what = Lack::What::kDevice, .name = kGpu, .needed = 6, .left = 5}));
  EXPECT_EQ(room.lack(devices(3, kWholeDevice, {kA100}))->left, 2);
  EXPECT_EQ(room.lack(devices(1, kWholeDevice, {Name("h100")}))->what, Lack::What::kDeviceModel);
  const Demand fpga{.devices = {{.kind = Name("fpga")}}};
  EXPECT_EQ(room.lack(fpga)->what, Lack::What::kDevice);
  for (std::uint16_t number = 0; number < 5; ++number)
    room.take(devices(1, 300), {number});
  EXPECT_EQ(room.lack(devices(1, 800)),
            (Lack{.what = Lack::What::kDevice, .name = kGpu, .needed = 800, .left = 700}));
  EXPECT_EQ(room.lack(devices(1, kWholeDevice))->left, 0);
}

TEST(Room, AFractionComesFromTheFullestDeviceThatHasIt) {
  Room room(two_models());
  room.take(devices(1, 500), {1});
  room.take(devices(1, 800), {3});
  EXPECT_EQ(room.choose_devices(devices(1, 200)), DeviceNumbers{3});
  EXPECT_EQ(room.choose_devices(devices(1, 300)), DeviceNumbers{1});
  EXPECT_EQ(room.choose_devices(devices(1, 600)), DeviceNumbers{0});
  EXPECT_EQ(room.choose_devices(devices(1, 300, {kT4})), DeviceNumbers{2});
  EXPECT_EQ(room.choose_devices(devices(3, kWholeDevice)), (DeviceNumbers{0, 2, 4}));
}

TEST(Room, ServesOnlyWhatIsThereAndFreeAndAskedFor) {
  Room room(two_models());
  room.take(devices(1, 500), {1});
  EXPECT_TRUE(room.serves(devices(1, 500), {1}));
  EXPECT_FALSE(room.serves(devices(1, 501), {1}));
  EXPECT_FALSE(room.serves(devices(2, kWholeDevice), {0, 1}));
  EXPECT_FALSE(room.serves(devices(2, kWholeDevice), {0, 0})) << "one device twice";
  EXPECT_TRUE(room.serves(devices(2, kWholeDevice), {0, 4}));
  EXPECT_FALSE(room.serves(devices(2, kWholeDevice), {0})) << "too few";
  EXPECT_FALSE(room.serves(devices(1, kWholeDevice), {0, 2})) << "too many";
  EXPECT_FALSE(room.serves(devices(1, 100), {5})) << "there is none";
  EXPECT_FALSE(room.serves(devices(1, 100, {kA100}), {2})) << "of another model";
  EXPECT_FALSE(room.serves({.devices = {{.kind = Name("fpga")}}}, {0})) << "of another kind";
  EXPECT_TRUE(room.serves({}, {}));
}

RC_GTEST_PROP(RoomProperty, WhatIsTakenAndGivenBackLeavesNoTrace, ()) {
  const Room whole(two_models());
  Room room = whole;
  std::vector<std::pair<Demand, DeviceNumbers>> taken;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1000));
  for (const int step : steps) {
    const std::uint32_t count = 1 + static_cast<std::uint32_t>(step % 3);
    const std::int32_t milli = count == 1 ? 50 + step : kWholeDevice;
    Demand demand = devices(count, std::min(milli, kWholeDevice));
    demand.amounts = {.cpu_milli = step, .memory_mib = step * 2, .disk_mib = step % 7};
    if (!room.fits(demand)) continue;
    const DeviceNumbers numbers = room.choose_devices(demand);
    RC_ASSERT(room.serves(demand, numbers));
    room.take(demand, numbers);
    for (const Device& device : room.devices())
      RC_ASSERT(device.free_milli >= 0);
    RC_ASSERT(room.amounts().cpu_milli >= 0 && room.amounts().memory_mib >= 0);
    taken.emplace_back(std::move(demand), numbers);
  }
  for (const auto& [demand, numbers] : taken)
    room.give_back(demand, numbers);
  RC_ASSERT(room == whole);
}

}  // namespace
}  // namespace blixard::resources
