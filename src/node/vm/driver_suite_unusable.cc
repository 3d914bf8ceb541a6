// Templates and clones that are not what they should be: each is told, and the VM can boot instead.

#include "node/vm/driver_suite_steps.h"

namespace blixard::vm::suite {
namespace {

using env::Task;

// The VM of a clone that did not come up: without a template it boots.
Task<Result<void>> boots_instead(SuiteHost& host, GuestSpec spec, Record prepared) {
  spec.clone_of.reset();
  BLX_CO_TRY(const Record record,
             co_await host.driver().start(spec, prepared, after(host, kStartMax)));
  BLX_EXPECT(record.template_key.empty());
  BLX_CO_TRY(co_await host.driver().wait_ready(record, after(host, kBootMax)));
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(record));
  BLX_EXPECT_STATUS(status, Phase::kRunning, EndReason::kNone);
  co_return co_await release_all(host, record);
}

Task<Result<void>> start_is_refused(SuiteHost& host, GuestSpec spec, Record prepared) {
  BLX_EXPECT_REFUSED(co_await host.driver().start(spec, prepared, after(host, kStartMax)),
                     Code::kDataLoss, "template_unusable");
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(prepared));
  BLX_EXPECT(status.phase == Phase::kGone);
  co_return Result<void>();
}

// A file of a template, and how it is damaged and mended.
struct Damaged {
  env::Disk& disk;
  std::string path;
  std::uint64_t size;

  Task<Result<std::unique_ptr<env::File>>> open() {
    co_return co_await disk.open(path, env::OpenMode::kReadWrite);
  }
  // Of the byte there; twice, and it is as before.
  Task<Result<void>> flip(std::uint64_t at) {
    BLX_CO_TRY(const auto file, co_await open());
    std::array<char, 1> byte{};
    BLX_CO_TRY(const std::size_t count, co_await file->read_at(at, byte));
    BLX_EXPECT(count == 1);
    byte[0] = static_cast<char>(byte[0] ^ 1);
    const std::string_view changed(byte.data(), 1);
    co_return co_await file->write_at(at, {&changed, 1});
  }
  // The last byte of the whole file.
  Task<Result<char>> cut() {
    BLX_CO_TRY(const auto file, co_await open());
    std::array<char, 1> byte{};
    BLX_CO_TRY(const std::size_t count, co_await file->read_at(size - 1, byte));
    BLX_EXPECT(count == 1);
    BLX_CO_TRY(co_await file->resize(size - 1));
    co_return byte[0];
  }
  Task<Result<void>> put_back(char last) {
    BLX_CO_TRY(const auto file, co_await open());
    const std::string_view byte(&last, 1);
    co_return co_await file->write_at(size - 1, {&byte, 1});
  }
};

Task<Result<void>> damaged_template_is_refused(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  const GuestSpec spec = clone_spec(host, made);
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  env::Disk& disk = host.env().disk;
  bool has_state = false;
  for (const TemplateFile& about : made.files) {
    Damaged file{disk, env::join_path(made.directory, about.name), about.size.value};
    BLX_CO_TRY(co_await disk.rename(file.path, file.path + "-away"));
    BLX_CO_TRY(co_await start_is_refused(host, spec, prepared));
    BLX_CO_TRY(co_await disk.rename(file.path + "-away", file.path));
    BLX_CO_TRY(const char last, co_await file.cut());
    BLX_CO_TRY(co_await start_is_refused(host, spec, prepared));
    BLX_CO_TRY(co_await file.put_back(last));
    if (about.name != "state") continue;
    has_state = true;
    BLX_CO_TRY(co_await file.flip(file.size / 2));
    BLX_CO_TRY(co_await start_is_refused(host, spec, prepared));
    BLX_CO_TRY(co_await file.flip(file.size / 2));
  }
  BLX_EXPECT(has_state);
  // It was the damage, and nothing else: mended, it has clones again.
  BLX_CO_TRY(const Started clone, co_await clone_ready(host, made));
  BLX_CO_TRY(co_await release_all(host, clone.record));
  BLX_CO_TRY(co_await remove_template(host, made));
  BLX_CO_TRY(co_await start_is_refused(host, spec, prepared));
  co_return co_await boots_instead(host, spec, prepared);
}

Task<Result<void>> failed_load_is_told(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kLoadFails));
  const GuestSpec spec = clone_spec(host, made);
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(spec));
  BLX_CO_TRY(co_await start_is_refused(host, spec, prepared));
  BLX_CO_TRY(co_await boots_instead(host, spec, prepared));
  co_return co_await remove_template(host, made);
}

// A clone that runs and does not become the VM.
Task<Result<void>> never_becomes_the_vm(SuiteHost& host, HypervisorFault fault) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  BLX_CO_TRY(co_await host.restart_driver(fault));
  BLX_CO_TRY(const Started clone, co_await start_spec(host, clone_spec(host, made)));
  BLX_EXPECT_REFUSED(co_await host.driver().wait_ready(clone.record, after(host, kBootMax)),
                     Code::kDataLoss, "template_unusable");
  BLX_CO_TRY(const Status status, co_await host.driver().inspect(clone.record));
  BLX_EXPECT(status.phase != Phase::kRunning);
  BLX_CO_TRY(co_await release_all(host, clone.record));
  BLX_CO_TRY(co_await host.restart_driver(HypervisorFault::kNone));
  BLX_CO_TRY(const Record prepared, co_await host.driver().prepare(clone.spec));
  BLX_CO_TRY(co_await boots_instead(host, clone.spec, prepared));
  co_return co_await remove_template(host, made);
}

Task<Result<void>> other_guest_is_not_taken_for_the_clone(SuiteHost& host) {
  co_return co_await never_becomes_the_vm(host, HypervisorFault::kStaleClones);
}

Task<Result<void>> refused_identity_is_told(SuiteHost& host) {
  co_return co_await never_becomes_the_vm(host, HypervisorFault::kIdentityRefused);
}

Task<Result<void>> unfinished_clone_is_told_and_released(SuiteHost& host) {
  BLX_CO_TRY(const Template made, co_await make_template(host, host.guest("")));
  const GuestSpec spec = clone_spec(host, made);
  BLX_CO_TRY(const Record record, co_await host.unfinished_clone(spec));
  BLX_EXPECT(co_await is_alive(host, record.process));
  BLX_EXPECT(record.template_key == made.key);
  BLX_EXPECT_REFUSED(co_await host.driver().adopt(record), Code::kAborted, "start_unfinished");
  BLX_CO_TRY(co_await release_all(host, record));
  BLX_CO_TRY(const Started again, co_await start_spec(host, spec));
  BLX_CO_TRY(co_await host.driver().wait_ready(again.record, after(host, kBootMax)));
  BLX_CO_TRY(co_await release_all(host, again.record));
  co_return co_await remove_template(host, made);
}

constexpr std::array kCases = {
    SuiteCase{"DamagedTemplateIsRefused", damaged_template_is_refused},
    SuiteCase{"FailedLoadIsTold", failed_load_is_told},
    SuiteCase{"OtherGuestIsNotTakenForTheClone", other_guest_is_not_taken_for_the_clone},
    SuiteCase{"RefusedIdentityIsTold", refused_identity_is_told},
    SuiteCase{"UnfinishedCloneIsToldAndReleased", unfinished_clone_is_told_and_released},
};

}  // namespace

std::span<const SuiteCase> unusable_template_cases() { return kCases; }

}  // namespace blixard::vm::suite
