// Templates: how they are made, and what their clones are.

#include <set>

#include "node/vm/driver_suite_steps.h"
#include "node/vm/template_files.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

constexpr std::int64_t kClockErrorMaxMs = 2000;
constexpr Duration kTemplateAge = 3s;  // more than a clone's clock may be wrong by

std::string hex_of(const Uuid& uuid) {
  std::string text = uuid.text();
  std::erase(text, '-');
  return text;
}

// "02:" and the uuid's last five bytes.
std::string mac_of(const Uuid& uuid) {
  const std::string digits = hex_of(uuid);
  std::string mac = "02";
  for (std::size_t i = 22; i < digits.size(); i += 2)
    mac += ":" + digits.substr(i, 2);
  return mac;
}

Task<Result<void>> makes_a_template_and_clones(SuiteHost& host) {
  BLX_CO_TRY(const Capabilities capabilities, co_await host.driver().probe());
  BLX_EXPECT(capabilities.templates);
  BLX_CO_TRY(const auto groups_before, co_await host.env().process.groups());
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  for (const TemplateFile& file : made.files)
    BLX_EXPECT(file.size.value > 0);
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(left.empty());
  BLX_CO_TRY(const auto groups_after, co_await host.env().process.groups());
  BLX_EXPECT(groups_after == groups_before);

  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_CO_TRY(const Record again,
             co_await host.driver().start(clone.spec, clone.record, after(host, kStartMax)));
  BLX_EXPECT(again.process == clone.record.process);
  BLX_EXPECT(again.template_key == made.key);
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(clone.record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(clone.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByAgent);
  BLX_EXPECT(!co_await is_alive(host, clone.record.process));
  // What it wrote into its memory is its own.
  BLX_CO_TRY(co_await check_template(host.env().disk, made));
  BLX_CO_TRY(co_await release_all(host, clone.record));
  co_return co_await remove_template(host, made);
}

Task<Result<void>> template_key_is_of_what_matters(SuiteHost& host) {
  const GuestSpec spec = host.guest("");
  BLX_CO_TRY(const std::string key, co_await host.driver().template_key(spec));
  BLX_EXPECT(image::parse_digest(key).has_value());
  GuestSpec alike = host.guest("");  // another number, uuid and name
  alike.generation = Generation(7);
  alike.published = {{.host_port = 0, .guest_port = 80}};
  BLX_CO_TRY(const std::string same, co_await host.driver().template_key(alike));
  BLX_EXPECT(same == key);

  std::array<GuestSpec, 5> others;
  others.fill(spec);
  others[0].vcpus += 1;
  others[1].memory = spec.memory + mib(1);
  others[2].cmdline = "blx.test=none";
  others[3].kernel_digest->front() ^= 1;
  others[4].initrd_digest->front() ^= 1;
  std::set<std::string> keys{key};
  for (const GuestSpec& other : others) {
    BLX_CO_TRY(const std::string another, co_await host.driver().template_key(other));
    BLX_EXPECT(keys.insert(another).second);
  }
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const std::string later, co_await host.driver().template_key(spec));
  BLX_EXPECT(later == key);
  co_return Result<void>();
}

Task<Result<void>> clones_share_nothing(SuiteHost& host) {
  constexpr std::size_t kClones = 10;
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(co_await host.env().clock.sleep(kTemplateAge));
  std::vector<Started> clones;
  for (std::size_t i = 0; i < kClones; ++i) {
    BLX_CO_TRY(Started clone, co_await clone_ready(host, made));
    clones.push_back(std::move(clone));
  }
  std::set<std::string> names;
  std::set<std::string> machine_ids;
  std::set<std::string> macs;
  std::set<std::string> random;
  for (const Started& clone : clones) {
    const WallTime before = host.env().clock.wall();
    BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(clone.record));
    const WallTime later = host.env().clock.wall();
    BLX_EXPECT(inside.name == clone.spec.name && names.insert(inside.name).second);
    BLX_EXPECT(inside.machine_id == hex_of(clone.spec.uuid));
    BLX_EXPECT(machine_ids.insert(inside.machine_id).second);
    BLX_EXPECT(inside.mac == mac_of(clone.spec.uuid) && macs.insert(inside.mac).second);
    BLX_EXPECT(inside.random.size() == 64 && random.insert(inside.random).second);
    BLX_EXPECT(inside.clock.unix_ms >= before.unix_ms - kClockErrorMaxMs);
    BLX_EXPECT(inside.clock.unix_ms <= later.unix_ms + kClockErrorMaxMs);
  }
  for (const Started& clone : clones)
    BLX_CO_TRY(co_await release_all(host, clone.record));
  co_return co_await remove_template(host, made);
}

Task<Result<void>> clone_is_adopted(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Record read, Record::decode(clone.record.encode()));
  BLX_EXPECT(read.template_key == made.key);
  BLX_CO_TRY(const Status adopted, co_await host.driver().adopt(read));
  BLX_EXPECT_STATUS(adopted, Phase::kRunning, EndReason::kNone);
  BLX_EXPECT(co_await is_alive(host, clone.record.process));
  BLX_CO_TRY(co_await host.driver().wait_ready(read, after(host, kBootMax)));
  BLX_CO_TRY(co_await host.driver().pause(read));
  BLX_CO_TRY(const Status paused, co_await host.driver().next_change(read));
  BLX_EXPECT_STATUS(paused, Phase::kPaused, EndReason::kNone);
  // One that is paused was let run: it is not taken for one that never was.
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Status still, co_await host.driver().adopt(read));
  BLX_EXPECT_STATUS(still, Phase::kPaused, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().resume(read));
  BLX_CO_TRY(const Status resumed, co_await host.driver().next_change(read));
  BLX_EXPECT_STATUS(resumed, Phase::kRunning, EndReason::kNone);
  BLX_CO_TRY(co_await host.driver().wait_ready(read, after(host, kBootMax)));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(read));
  BLX_EXPECT(inside.name == clone.spec.name);
  BLX_CO_TRY(co_await release_all(host, read));
  co_return co_await remove_template(host, made);
}

Task<Result<void>> template_may_go_while_a_clone_lives(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_CO_TRY(co_await remove_template(host, made));
  BLX_CO_TRY(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)));
  BLX_CO_TRY(const GuestInside inside, co_await host.look_inside(clone.record));
  BLX_EXPECT(inside.name == clone.spec.name);
  BLX_CO_TRY(const EndReason reason, co_await host.driver().stop(clone.record, kPatientLadder));
  BLX_EXPECT(reason == EndReason::kStoppedByAgent);
  co_return co_await release_all(host, clone.record);
}

Task<Result<void>> guests_without_digests_have_no_template(SuiteHost& host) {
  std::array<GuestSpec, 2> specs{host.guest(""), host.guest("")};
  specs[0].kernel_digest.reset();
  specs[1].initrd_digest.reset();
  BLX_CO_TRY(const std::string folder, co_await host.empty_folder());
  for (const GuestSpec& spec : specs) {
    BLX_EXPECT_REFUSED(co_await host.driver().template_key(spec), Code::kFailedPrecondition,
                       "templates_unsupported");
    BLX_EXPECT_REFUSED(co_await host.driver().make_template(spec, folder, after(host, kMakeMax)),
                       Code::kFailedPrecondition, "templates_unsupported");
  }
  BLX_CO_TRY(const auto files, co_await host.env().disk.list(folder));
  BLX_EXPECT(files.empty());
  BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(left.empty());
  co_return co_await host.env().disk.remove_tree(folder);
}

// A call of make_template() beside others.
struct Making {
  std::optional<Result<std::vector<std::string>>> names;
  Instant ended;
};

Task<void> make_into(SuiteHost& host, GuestSpec spec, std::string folder, Duration most,
                     Making& making) {
  making.names =
      co_await host.driver().make_template(std::move(spec), std::move(folder), after(host, most));
  making.ended = host.env().clock.monotonic();
}

Task<Result<void>> second_making_waits(SuiteHost& host) {
  std::array<std::string, 2> folders;
  for (std::string& folder : folders) {
    BLX_CO_TRY(folder, co_await host.empty_folder());
  }
  std::array<Making, 2> makings;
  std::array<GuestSpec, 2> specs{host.guest(""), host.guest("")};
  specs[1].memory = specs[0].memory + mib(16);
  const Instant begin = host.env().clock.monotonic();
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(make_into(host, specs[0], folders[0], kMakeMax, makings[0]));
  scope.spawn(make_into(host, specs[1], folders[1], 2 * kMakeMax, makings[1]));
  co_await scope.join();
  for (const Making& making : makings) {
    BLX_CO_TRY(const std::vector<std::string> names, *making.names);
    BLX_EXPECT(!names.empty());
  }
  // At once, both would end at about the same time.
  const Instant first = std::min(makings[0].ended, makings[1].ended);
  const Instant last = std::max(makings[0].ended, makings[1].ended);
  BLX_EXPECT((last - first) * 3 >= first - begin);

  for (const std::string& folder : folders)
    BLX_CO_TRY(co_await host.env().disk.remove_tree(folder));
  co_return Result<void>();
}

// The number under which the making that is under way is a leftover.
Task<Result<VmId>> wait_for_maker(SuiteHost& host, const Making& making) {
  while (!making.names) {
    BLX_CO_TRY(const std::vector<VmId> left, co_await host.driver().leftovers());
    if (!left.empty()) co_return left.front();
    BLX_CO_TRY(co_await host.env().clock.sleep(20ms));
  }
  co_return broken(__FILE__, __LINE__, "the maker is among the leftovers");
}

Task<Result<void>> waiting_to_make_has_a_deadline(SuiteHost& host) {
  BLX_CO_TRY(const std::string folder, co_await host.empty_folder());
  BLX_CO_TRY(const std::string unused, co_await host.empty_folder());
  Making making;
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(make_into(host, host.guest(""), folder, kMakeMax, making));
  const auto maker = co_await wait_for_maker(host, making);
  Making late;
  co_await make_into(host, host.guest(""), unused, 200ms, late);
  co_await scope.join();
  BLX_CO_TRY(maker);
  BLX_CO_TRY(const std::vector<std::string> names, *making.names);
  BLX_EXPECT(!names.empty());
  BLX_EXPECT(!*late.names && late.names->error().code() == Code::kDeadlineExceeded);
  BLX_EXPECT(late.ended < making.ended);
  BLX_CO_TRY(const auto files, co_await host.env().disk.list(unused));
  BLX_EXPECT(files.empty());
  BLX_CO_TRY(co_await host.env().disk.remove_tree(unused));
  co_return co_await host.env().disk.remove_tree(folder);
}

Task<Result<VmId>> cancel_a_making(SuiteHost& host, std::string folder) {
  Making making;
  env::Scope scope(host.env().executor, co_await env::this_cancellation());
  scope.spawn(make_into(host, host.guest(""), std::move(folder), kMakeMax, making));
  const auto maker = co_await wait_for_maker(host, making);
  // No guest boots as fast.
  if (maker) ignore(co_await host.env().clock.sleep(200ms), "the making is cut short anyway");
  scope.cancel();
  co_await scope.join();
  BLX_EXPECT(!*making.names);
  co_return maker;
}

Task<Result<void>> making_that_dies_leaves_nothing(SuiteHost& host) {
  BLX_CO_TRY(const auto groups_before, co_await host.env().process.groups());
  BLX_CO_TRY(const std::string folder, co_await host.empty_folder());
  BLX_CO_TRY(const VmId maker, co_await cancel_a_making(host, folder));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(co_await host.driver().release_leftover(maker));
  BLX_CO_TRY(std::vector<VmId> left, co_await host.driver().leftovers());
  BLX_EXPECT(left.empty());
  BLX_CO_TRY(auto groups, co_await host.env().process.groups());
  BLX_EXPECT(groups == groups_before);

  // A daemon that was killed leaves a guest under the maker's number.
  GuestSpec spec = host.guest("");
  spec.id = maker;
  BLX_CO_TRY(const Started orphan, co_await start_spec(host, spec));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(left, co_await host.driver().leftovers());
  BLX_EXPECT(left == std::vector<VmId>{maker});
  BLX_CO_TRY(co_await host.driver().release_leftover(maker));
  BLX_EXPECT(!co_await is_alive(host, orphan.record.process));
  BLX_CO_TRY(co_await release_all(host, orphan.record));
  BLX_CO_TRY(groups, co_await host.env().process.groups());
  BLX_EXPECT(groups == groups_before);

  BLX_CO_TRY(co_await host.env().disk.remove_tree(folder));
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  co_return co_await remove_template(host, made);
}

constexpr std::array kCases = {
    SuiteCase{"MakesATemplateAndClones", makes_a_template_and_clones},
    SuiteCase{"TemplateKeyIsOfWhatMatters", template_key_is_of_what_matters},
    SuiteCase{"ClonesShareNothing", clones_share_nothing},
    SuiteCase{"CloneIsAdopted", clone_is_adopted},
    SuiteCase{"TemplateMayGoWhileACloneLives", template_may_go_while_a_clone_lives},
    SuiteCase{"GuestsWithoutDigestsHaveNoTemplate", guests_without_digests_have_no_template},
    SuiteCase{"SecondMakingWaits", second_making_waits},
    SuiteCase{"WaitingToMakeHasADeadline", waiting_to_make_has_a_deadline},
    SuiteCase{"MakingThatDiesLeavesNothing", making_that_dies_leaves_nothing},
};

}  // namespace

std::span<const SuiteCase> template_cases() { return kCases; }

}  // namespace blixard::vm::suite
