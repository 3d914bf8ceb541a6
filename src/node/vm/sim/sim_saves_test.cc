#include "node/vm/sim/test_suite_host.h"

namespace blixard::vm_sim {
namespace {

using env::Task;

class Count final : public vm::StateSink {
 public:
  Task<Result<void>> write(std::string_view piece) override {
    bytes += piece.size();
    co_return Result<void>();
  }
  std::size_t bytes = 0;
};

TEST(SimSave, OneThatIsToFailDoesSoHalfWayAndLeavesThePausedGuest) {
  sim::World world(1);
  SimHost host(world.add_machine("a"));
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  const auto body = [&]() -> Task<Result<void>> {
    BLX_CO_TRY(co_await host.prepare());
    const auto in = [&](Duration patience) { return host.env().clock.monotonic() + patience; };
    const vm::GuestSpec spec = host.guest("");
    BLX_CO_TRY(vm::Record record, co_await host.driver().prepare(spec));
    BLX_CO_TRY(record, co_await host.driver().start(spec, record, in(10s)));
    BLX_CO_TRY(co_await host.driver().wait_ready(record, in(10s)));
    host.hypervisor().fail_saves = true;
    const auto count = std::make_shared<Count>();
    const auto saved = co_await host.driver().save(record, count, in(10s));
    EXPECT_TRUE(!saved && saved.error().reason() == "save_failed");
    EXPECT_TRUE(count->bytes > 0 && count->bytes < kSavedBytes) << count->bytes;
    BLX_CO_TRY(const vm::Status status, co_await host.driver().inspect(record));
    EXPECT_EQ(status.phase, vm::Phase::kPaused);
    host.hypervisor().fail_saves = false;
    BLX_CO_TRY(co_await host.driver().resume(record));
    BLX_CO_TRY(co_await host.driver().save(record, count, in(10s)));
    co_return co_await host.driver().release(record);
  };
  Result<void> result;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  const auto main = [&]() -> Task<void> {
    result = co_await body();
    co_await host.driver().close();
  };
  EXPECT_TRUE(world.run(main()));
  EXPECT_TRUE(result) << result.error().message();
}

}  // namespace
}  // namespace blixard::vm_sim
