// The files of saved guests: those that are damaged, lost, another's or on another node, who is
// given one, and which are kept.

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "node/agent/test_saves.h"
#include "node/saved/header.h"
#include "node/saved/piece_request.h"

namespace blixard::agent {
namespace {

using cluster::VmStartKind;
using cluster::VmState;
using env::Task;

constexpr NodeId kHolder{2};
constexpr std::size_t kPieceBytes = 300;  // so that a file is several

// A node without a daemon, which holds files that it is asked for.
class SavedFilesTest : public SavesTest {
 public:
  SavedFilesTest() {
    ask_holder = [this](NodeId holder, image::Digest digest, std::uint64_t offset) {
      EXPECT_EQ(holder, kHolder);
      ++asked;
      return answer(digest, offset);
    };
    answer = [this](image::Digest digest, std::uint64_t offset) -> Task<Result<std::string>> {
      const auto found = held.find(digest);
      if (found == held.end()) co_return fail(Code::kNotFound, "saved_guest_not_here");
      co_return offset < found->second.size() ? found->second.substr(offset, kPieceBytes) : "";
    };
  }

  Task<void> report(v1::VmState state, std::function<void(v1::VmReport&)> more = {}) {
    v1::Command command;
    command.mutable_report_vms()->set_node_id(kHolder.value);
    v1::VmReport& report = *command.mutable_report_vms()->add_reports();
    report.set_vm_id(find("web")->id.value);
    report.set_generation(find("web")->generation.value);
    report.set_state(state);
    if (more) more(report);
    co_await propose(std::move(command));
  }

  // The suspended VM goes on at the holder, is suspended there with such a file, and is wanted
  // here.
  Task<void> wake_from_holder(std::string file) {
    co_await propose(register_command(kHolder, "b"));
    const cluster::SavedGuest saved = *saves().resume_from;
    const image::Digest digest = image::digest_of(file);
    places = false;
    co_await desire("web", v1::VM_DESIRED_RUNNING);
    v1::Command place;
    place.mutable_place_vm()->set_vm_id(find("web")->id.value);
    place.mutable_place_vm()->set_generation(find("web")->generation.value);
    place.mutable_place_vm()->set_node_id(kHolder.value);
    co_await propose(std::move(place));
    using enum v1::VmState;
    co_await report(VM_STATE_STARTING, [](v1::VmReport& said) { said.set_uses_saved(true); });
    co_await report(VM_STATE_RUNNING);
    co_await desire("web", v1::VM_DESIRED_SUSPENDED);
    co_await report(VM_STATE_SUSPENDED, [&](v1::VmReport& said) {
      said.set_released(true);
      said.mutable_saved()->set_digest(std::string(digest.begin(), digest.end()));
      said.mutable_saved()->set_bytes(file.size());
      said.mutable_saved()->set_accelerator(saved.accelerator);
      said.mutable_saved()->set_hypervisor_version(saved.hypervisor_version);
      said.mutable_saved()->set_tsc_khz(saved.tsc_khz);
    });
    EXPECT_EQ(find("web")->state, VmState::kSuspended);
    EXPECT_TRUE(co_await until_saved_files(0)) << "nobody names the first file any more";
    held[digest] = std::move(file);
    co_await desire("web", v1::VM_DESIRED_RUNNING);
    place_again();
  }
  // The file of the suspended VM; with another header.
  std::string its_file(const std::function<void(saved::Header&)>& change = {}) {
    const std::string file = machine.content(saved_path(saves().resume_from->digest)).value_or("");
    auto head = saved::decode(file);
    EXPECT_TRUE(head);
    if (!head || !change) return file;
    change(head->header);
    return saved::encode(head->header) + file.substr(head->bytes);
  }

  // It boots, says why, and nothing is left of what was saved.
  Task<void> expect_boot(std::string why) {
    CO_ASSERT(co_await until_state("web", VmState::kRunning), << find("web")->reason);
    EXPECT_EQ(find("web")->start->kind, VmStartKind::kCold);
    EXPECT_EQ(find("web")->start->why, "its saved guest is lost: " + why);
    EXPECT_EQ(find("web")->restarts, 0u);
    EXPECT_NE(boot_id(), first_boot_id);
    EXPECT_FALSE(saves().resume_from);
    EXPECT_TRUE(went_on.empty());
    EXPECT_EQ(machine.processes(), 1u);
    EXPECT_TRUE(co_await until_saved_files(0));
  }
  // It waits, says why, and keeps what was saved.
  Task<void> expect_wait(std::string why) {
    CO_ASSERT(co_await until_reason(why), << find("web")->reason);
    EXPECT_TRUE(co_await env().clock.sleep(10min));
    EXPECT_EQ(find("web")->state, VmState::kStarting);
    EXPECT_NE(find("web")->reason.find("saved_guest_waits"), std::string::npos);
    EXPECT_EQ(find("web")->restarts, 0u);
    EXPECT_TRUE(saves().resume_from);
    EXPECT_FALSE(saves().used_by);
    EXPECT_TRUE(nothing_is_left());
  }

  Task<void> remove() {
    co_await desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await until([this] { return find("web") == nullptr; }));
  }

  std::map<image::Digest, std::string> held;
  std::function<Task<Result<std::string>>(image::Digest, std::uint64_t)> answer;
  std::size_t asked = 0;
};

// On this node.

TEST_F(SavedFilesTest, AnyByteOfADamagedFileMakesABoot) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    for (const double part : {0.0, 0.1, 0.5, 1.0}) {
      const auto last = static_cast<double>(t.saves().resume_from->size.value - 1);
      const auto at = static_cast<std::uint64_t>(last * part);
      t.machine.corrupt(t.saved_path(t.saves().resume_from->digest), at);
      co_await t.desire("web", v1::VM_DESIRED_RUNNING);
      CO_ASSERT(co_await t.until_state("web", VmState::kRunning), << at);
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold) << at;
      EXPECT_TRUE(
          t.find("web")->start->why.starts_with("its saved guest is lost: saved_guest_damaged"))
          << at << " " << t.find("web")->start->why;
      EXPECT_NE(t.boot_id(), t.first_boot_id) << at;
      EXPECT_TRUE(t.went_on.empty()) << at;
      EXPECT_TRUE(co_await t.until_saved_files(0)) << at;
      t.first_boot_id = t.boot_id();
      co_await t.suspend();
    }
  }(*this));
}

TEST_F(SavedFilesTest, AFileThatIsGoneMakesABoot) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    const image::Digest digest = t.saves().resume_from->digest;
    EXPECT_TRUE(co_await t.machine.env().disk.remove(t.saved_path(digest)));
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    co_await t.expect_boot("saved_guest_not_here: this node does not have " +
                           image::digest_text(digest));
  }(*this));
}

// A sound file that cannot be loaded may be another time.
TEST_F(SavedFilesTest, AFileThatIsSoundIsKeptWhenItIsNotLoaded) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended(kOnFailure));
    t.hypervisor.fail_next_loads = true;
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    CO_ASSERT(co_await t.until_state("web", VmState::kFailed));
    EXPECT_NE(t.find("web")->reason.find("saved_state_unusable"), std::string::npos);
    EXPECT_TRUE(t.saves().resume_from);
    EXPECT_FALSE(t.saves().used_by);
    t.hypervisor.fail_next_loads = false;
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
  }(*this));
}

TEST_F(SavedFilesTest, ASnapshotThatWasLostMakesABootToo) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    EXPECT_TRUE(co_await t.machine.env().disk.remove(t.saved_path(t.saves().snapshot->digest)));
    co_await t.restore();
    EXPECT_TRUE(
        t.find("web")->start->why.starts_with("its saved guest is lost: saved_guest_not_here"));
    EXPECT_TRUE(t.went_on.empty());
  }(*this));
}

// From another node.

TEST_F(SavedFilesTest, AGuestOfAnotherNodeIsFetchedAndGoesOn) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    const std::string file = t.its_file();
    co_await t.wake_from_holder(file);
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning), << t.find("web")->reason);
    EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kResumed);
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
    EXPECT_EQ(t.went_on.size(), 1u);
    EXPECT_EQ(t.asked, (file.size() + kPieceBytes - 1) / kPieceBytes);
    EXPECT_TRUE(co_await t.until_saved_files(0)) << "the copy was of use for one start";
  }(*this));
}

TEST_F(SavedFilesTest, WhatIsNoGuestOfThisVmMakesABoot) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    co_await t.wake_from_holder(
        t.its_file([](saved::Header& header) { header.uuid = Uuid::from_random(7, 7); }));
    co_await t.expect_boot("saved_guest_damaged: it is of another VM");
  }(*this));
}

TEST_F(SavedFilesTest, AHolderThatHasLostTheFileMakesABoot) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    t.answer = [](image::Digest /*digest*/, std::uint64_t /*offset*/) -> Task<Result<std::string>> {
      co_return fail(Code::kNotFound, "saved_guest_not_here", "this node does not have it");
    };
    co_await t.wake_from_holder(t.its_file());
    co_await t.expect_boot("saved_guest_not_here: this node does not have it");
  }(*this));
}

TEST_F(SavedFilesTest, AHolderThatGivesOtherBytesMakesABoot) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    t.answer = [&t](image::Digest digest, std::uint64_t offset) -> Task<Result<std::string>> {
      std::string piece = t.held.at(digest).substr(offset, kPieceBytes);
      piece.back() = static_cast<char>(piece.back() ^ 1);
      co_return piece;
    };
    co_await t.wake_from_holder(t.its_file());
    co_await t.expect_boot("saved_guest_damaged: the other node's copy is damaged");
  }(*this));
}

TEST_F(SavedFilesTest, AHolderThatGivesTooManyOrTooFewBytesMakesABoot) {
  for (const bool too_many : {true, false}) {
    asked = 0;
    run([](SavedFilesTest& t, bool many) -> Task<void> {
      CO_ASSERT(co_await t.up_with_suspended());
      t.answer = [&t, many](image::Digest digest,
                            std::uint64_t offset) -> Task<Result<std::string>> {
        const std::string& file = t.held.at(digest);
        co_return many ? file.substr(offset) + "x" : file.substr(offset, offset == 0 ? 10 : 0);
      };
      co_await t.wake_from_holder(t.its_file());
      co_await t.expect_boot("saved_guest_damaged: the other node's copy has another size");
      EXPECT_EQ(t.asked, many ? 1u : 2u);
      co_await t.remove();
    }(*this, too_many));
  }
}

TEST_F(SavedFilesTest, AHolderThatDoesNotAnswerIsWaitedFor) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    const auto real = t.answer;
    t.answer = [&t](image::Digest /*digest*/, std::uint64_t offset) -> Task<Result<std::string>> {
      if (offset == 0) co_return t.held.begin()->second.substr(0, kPieceBytes);
      BLX_CO_TRY(co_await t.machine.env().clock.sleep(limits::kHolderTimeout));
      co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
    };
    co_await t.wake_from_holder(t.its_file());
    co_await t.expect_wait("deadline_exceeded");
    EXPECT_TRUE(co_await t.until_saved_files(0)) << "nor does half of it stay";
    t.answer = real;
    CO_ASSERT(co_await t.until_state("web", VmState::kRunning));
    EXPECT_EQ(t.find("web")->reason, "");
    EXPECT_EQ(t.boot_id(), t.first_boot_id);
  }(*this));
}

TEST_F(SavedFilesTest, AFetchEndsWhenNobodyWantsItAnyMore) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    t.answer = [&t](image::Digest /*digest*/,
                    std::uint64_t /*offset*/) -> Task<Result<std::string>> {
      BLX_CO_TRY(co_await t.machine.env().clock.sleep(1h));
      co_return fail(Code::kDeadlineExceeded, "deadline_exceeded");
    };
    co_await t.wake_from_holder(t.its_file());
    CO_ASSERT(co_await t.until([&] { return t.asked == 1; }));
    co_await t.desire("web", v1::VM_DESIRED_STOPPED);
    EXPECT_TRUE(co_await t.until_state("web", VmState::kStopped, 1s));
    EXPECT_TRUE(co_await t.until_saved_files(0));
    EXPECT_FALSE(t.saves().resume_from);
  }(*this));
}

// What does not fit this node may fit it, or another one, later; only people give it up.
TEST_F(SavedFilesTest, WhatDoesNotFitWaitsWithItsReason) {
  struct Row {
    const char* reason;
    std::function<std::string(std::string)> change;
    std::function<void(saved::Header&)> change_header;
  };
  const std::vector<Row> rows = {
      {"saved_guest_unfit: it was saved by another version of the hypervisor: stop the VM and "
       "start "
       "it, to boot it anew",
       {},
       [](saved::Header& header) { header.key = std::string(64, 'b'); }},
      {"saved_guest_foreign: it is of another cluster",
       {},
       [](saved::Header& header) { header.cluster = "another"; }},
      {"saved_guest_newer",
       [](std::string file) { return file.replace(file.find("\"format\":1"), 10, "\"format\":2"); },
       {}},
  };
  for (const Row& row : rows) {
    run([](SavedFilesTest& t, const Row& now) -> Task<void> {
      CO_ASSERT(co_await t.up_with_suspended());
      const std::string file = t.its_file(now.change_header);
      co_await t.wake_from_holder(now.change ? now.change(file) : file);
      co_await t.expect_wait(now.reason);
      co_await t.desire("web", v1::VM_DESIRED_STOPPED);
      CO_ASSERT(co_await t.until_state("web", VmState::kStopped));
      EXPECT_TRUE(co_await t.until_saved_files(0));
      co_await t.wake();
      EXPECT_EQ(t.find("web")->start->kind, VmStartKind::kCold);
      EXPECT_EQ(t.find("web")->reason, "");
      co_await t.remove();
    }(*this, row));
  }
}

// Given.

TEST_F(SavedFilesTest, AFileIsGivenOnlyToTheNodeThatItsVmGoesOnOn) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    co_await t.propose(register_command(kHolder, "b"));
    const image::Digest digest = t.saves().resume_from->digest;
    const auto ask = [&t](NodeId asker, std::string body) {
      return t.daemon.agent->give_saved(asker, Payload(std::move(body)));
    };
    const auto reason_of = [](const Result<std::string>& given) {
      return given ? "given" : std::string(given.error().reason());
    };
    const std::string request = saved::encode(saved::PieceRequest{digest, 0});
    EXPECT_EQ(reason_of(co_await ask(kHolder, request)), "saved_guest_not_yours") << "nobody's yet";
    EXPECT_EQ(reason_of(co_await ask(kHolder, "digest")), "request_malformed");
    t.places = false;
    co_await t.desire("web", v1::VM_DESIRED_RUNNING);
    EXPECT_EQ(reason_of(co_await ask(kHolder, request)), "saved_guest_not_yours");
    v1::Command place;
    place.mutable_place_vm()->set_vm_id(t.find("web")->id.value);
    place.mutable_place_vm()->set_generation(t.find("web")->generation.value);
    place.mutable_place_vm()->set_node_id(kHolder.value);
    co_await t.propose(std::move(place));
    EXPECT_EQ(reason_of(co_await ask(NodeId(3), request)), "saved_guest_not_yours");
    const auto given = co_await ask(kHolder, request);
    EXPECT_EQ(given.value_or(""), t.machine.content(t.saved_path(digest)).value_or("nothing"));
    const auto rest = co_await ask(kHolder, saved::encode(saved::PieceRequest{digest, 100}));
    EXPECT_EQ(rest.value_or(""), given->substr(100));
    const auto end =
        co_await ask(kHolder, saved::encode(saved::PieceRequest{digest, given->size()}));
    EXPECT_EQ(end.value_or("more"), "");
    // It is kept here until it runs there, and is nobody's from then on.
    EXPECT_EQ(co_await t.saved_files(), 1u);
    using enum v1::VmState;
    co_await t.report(VM_STATE_STARTING, [](v1::VmReport& said) { said.set_uses_saved(true); });
    EXPECT_EQ(reason_of(co_await ask(kHolder, request)), "given");
    co_await t.report(VM_STATE_RUNNING);
    EXPECT_TRUE(co_await t.until_saved_files(0));
    EXPECT_EQ(reason_of(co_await ask(kHolder, request)), "saved_guest_not_yours");
  }(*this));
}

// Who asks may have heard more of the log than who is asked.
TEST_F(SavedFilesTest, WhoIsAskedLooksWhetherItIsBehind) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    const image::Digest digest = t.saves().resume_from->digest;
    t.replica_faults.barrier_closed = true;
    const auto given = co_await t.daemon.agent->give_saved(
        kHolder, Payload(saved::encode(saved::PieceRequest{digest, 0})));
    CO_ASSERT(!given);
    EXPECT_EQ(given.error().reason(), "not_leader") << "it cannot know, so it is asked again";
  }(*this));
}

// Kept.

TEST_F(SavedFilesTest, WhatNobodyNamesGoesAndWhatIsNamedStays) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    co_await t.take_snapshot();
    co_await t.suspend();
    EXPECT_EQ(co_await t.saved_files(), 2u);
    const image::Digest snapshot = t.saves().snapshot->digest;
    const image::Digest suspended = t.saves().resume_from->digest;
    // What a daemon before this one left, and what is not ours.
    const std::string stray = t.its_file([](saved::Header& header) { header.name = "stray"; });
    auto& disk = t.machine.env().disk;
    EXPECT_TRUE(co_await disk.replace_file(t.saved_path(image::digest_of(stray)), stray));
    EXPECT_TRUE(co_await disk.replace_file(env::join_path(kData, "saved/notes"), "mine"));
    EXPECT_TRUE(co_await disk.replace_file(env::join_path(kData, "saved/.making-1"), "half of it"));
    t.crash_daemon();
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.until([&] { return !t.lies_there(image::digest_of(stray)); }));
    EXPECT_TRUE(co_await t.until_saved_files(3));
    EXPECT_TRUE(t.lies_there(snapshot));
    EXPECT_TRUE(t.lies_there(suspended));
    EXPECT_TRUE(t.machine.content(env::join_path(kData, "saved/notes")));
    co_await t.desire("web", v1::VM_DESIRED_DELETED);
    EXPECT_TRUE(co_await t.until_saved_files(1));
  }(*this));
}

TEST_F(SavedFilesTest, NothingIsRemovedBeforeTheStateIsCurrent) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_suspended());
    const std::string stray = t.its_file([](saved::Header& header) { header.name = "stray"; });
    EXPECT_TRUE(
        co_await t.machine.env().disk.replace_file(t.saved_path(image::digest_of(stray)), stray));
    t.crash_daemon();
    t.replica_faults.barrier_closed = true;
    t.start_daemon();
    CO_ASSERT(co_await t.until_up());
    EXPECT_TRUE(co_await t.env().clock.sleep(5min));
    EXPECT_EQ(co_await t.saved_files(), 2u);
    t.replica_faults.barrier_closed = false;
    EXPECT_TRUE(co_await t.until_saved_files(1));
  }(*this));
}

// Much else happens in the cluster before the log hears of a file that was just made.
TEST_F(SavedFilesTest, WhatWasJustMadeStaysUntilTheLogHasHeardOfIt) {
  run([](SavedFilesTest& t) -> Task<void> {
    CO_ASSERT(co_await t.up_with_web());
    t.replica_faults.reports_fail = Error(Code::kUnavailable, "no_leader");
    co_await t.ask_for_snapshot();
    CO_ASSERT(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 1; }));
    for (std::uint32_t seconds = 1; seconds <= 10; ++seconds) {
      co_await t.set_grace(seconds);
      EXPECT_TRUE(co_await t.env().clock.sleep(1s));
      EXPECT_EQ(co_await t.saved_files(), 1u);
    }
    co_await t.desire("web", v1::VM_DESIRED_SUSPENDED);
    CO_ASSERT(co_await t.until([&] { return t.daemon.agent->reports_waiting() == 2; }));
    for (std::uint32_t seconds = 1; seconds <= 10; ++seconds) {
      co_await t.set_grace(seconds);
      EXPECT_TRUE(co_await t.env().clock.sleep(1s));
    }
    t.replica_faults.reports_fail.reset();
    CO_ASSERT(co_await t.until_state("web", VmState::kSuspended));
    EXPECT_TRUE(t.lies_there(t.saves().resume_from->digest));
    CO_ASSERT(t.saves().snapshot);
    EXPECT_TRUE(t.lies_there(t.saves().snapshot->digest));
  }(*this));
}

}  // namespace
}  // namespace blixard::agent
