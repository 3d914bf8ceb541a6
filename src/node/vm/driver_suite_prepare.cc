// What is refused before anything is started.

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

Task<Result<void>> busy_port_is_refused(SuiteHost& host) {
  env::Network& network = host.env().network;
  BLX_CO_TRY(const auto listener, co_await network.listen(env::Endpoint::tcp("127.0.0.1", 0)));
  GuestSpec spec = host.guest("");
  spec.published = {{.host_port = listener->local().port, .guest_port = 80}};
  const auto refused = co_await host.driver().prepare(spec);
  BLX_EXPECT(!refused && refused.error().reason() == "port_in_use");
  const std::string port = std::to_string(listener->local().port);
  BLX_EXPECT(refused.error().detail().find(port) != std::string_view::npos);
  BLX_CO_TRY(co_await host.driver().release_leftover(spec.id));

  spec.published = {{.host_port = 0, .guest_port = 80}};
  BLX_CO_TRY(const Record first, co_await host.driver().prepare(spec));
  BLX_EXPECT(first.published.size() == 1 && first.published[0].host_port != 0);
  GuestSpec second = host.guest("");
  second.published = first.published;  // free still, but promised
  BLX_EXPECT_REFUSED(co_await host.driver().prepare(second), Code::kAlreadyExists, "port_in_use");
  BLX_CO_TRY(co_await host.driver().release_leftover(second.id));
  co_return co_await release_all(host, first);
}

Task<Result<void>> missing_file_is_refused(SuiteHost& host) {
  GuestSpec spec = host.guest("");
  const std::string kernel = spec.kernel_path;
  spec.kernel_path += ".missing";
  BLX_EXPECT_REFUSED(co_await host.driver().prepare(spec), Code::kNotFound, "image_file_missing");
  BLX_CO_TRY(co_await host.driver().release_leftover(spec.id));
  spec.kernel_path = kernel;
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  spec.kernel_path += ".missing";  // it went away since
  const Instant begin = host.env().clock.monotonic();
  const auto failed = co_await host.driver().start(spec, prepared, begin + kStartMax);
  BLX_EXPECT(!failed && failed.error().reason() == "start_failed");
  BLX_EXPECT(failed.error().code() == Code::kInternal);
  BLX_EXPECT_SHOWS(failed.error().detail(), ".missing");
  BLX_EXPECT(host.env().clock.monotonic() - begin < kStartMax / 2);  // at once
  co_return co_await release_all(host, prepared);
}

Task<Result<void>> bad_spec_is_refused(SuiteHost& host) {
  std::array<GuestSpec, 6> specs;
  specs.fill(host.guest(""));
  specs[0].name = "no,commas";
  specs[1].vcpus = 0;
  specs[2].memory = mib(1);
  specs[3].published = {{.host_port = 1, .guest_port = 0}};
  specs[4].cmdline = "two\nlines";
  specs[5].uuid = Uuid{};
  for (const GuestSpec& spec : specs)
    BLX_EXPECT_REFUSED(co_await host.driver().prepare(spec), Code::kInvalidArgument,
                       "spec_invalid");
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(std::ranges::find(left, specs[0].id) == left.end());
  co_return Result<void>();
}

constexpr std::array kCases = {
    SuiteCase{"BusyPortIsRefused", busy_port_is_refused},
    SuiteCase{"MissingFileIsRefused", missing_file_is_refused},
    SuiteCase{"BadSpecIsRefused", bad_spec_is_refused},
};

}  // namespace

std::span<const SuiteCase> prepare_cases() { return kCases; }

}  // namespace blixard::vm::suite
