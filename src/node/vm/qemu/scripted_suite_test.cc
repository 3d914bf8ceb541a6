// The driver's suite against a scripted QEMU: both have to keep the driver's promises for what
// simulated clusters find to mean anything.

#include <algorithm>
#include <array>
#include <string_view>

#include "node/vm/qemu/test_scripted_host.h"
#include "sim/world.h"

namespace blixard::qemu {
namespace {

using env::Task;

// They order a fault of the guest on its kernel's command line, want the words of a hypervisor that
// hangs, or another guest's memory in a clone.
constexpr std::array<std::string_view, 6> kNotPlayed = {
    "SilentGuestIsNotReady", "DeafGuestIsStoppedByQuit", "SilentAgentLeavesTheButton",
    "PanicIsTold",           "HangingStartIsEnded",      "OtherGuestIsNotTakenForTheClone"};

std::vector<vm::SuiteCase> cases() {
  std::vector<vm::SuiteCase> cases;
  for (const vm::SuiteCase& each : vm::driver_suite()) {
    if (std::ranges::find(kNotPlayed, each.name) == kNotPlayed.end()) cases.push_back(each);
  }
  return cases;
}

class ScriptedSuite : public testing::TestWithParam<vm::SuiteCase> {};

TEST_P(ScriptedSuite, Holds) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    sim::ScriptedQemu qemu;
    sim::World world(seed);
    sim::Machine& machine = world.add_machine("a");
    ScriptedHost host(machine, qemu);
    Result<void> result;
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
    const auto main = [&]() -> Task<void> {
      result = co_await host.prepare();
      if (result) result = co_await GetParam().run(host);
      ignore(co_await vm::clean_up(host), "what counts is the case");
      co_await host.driver().close();
    };
    EXPECT_TRUE(world.run(main())) << world.log_lines().back();
    EXPECT_TRUE(result) << "seed " << seed << ": " << result.error().message();
    EXPECT_EQ(machine.processes(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Driver, ScriptedSuite, testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace blixard::qemu
