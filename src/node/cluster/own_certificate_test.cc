// A certificate over the months, and with a clock that jumps.

#include "node/cluster/own_certificate.h"

#include <algorithm>
#include <functional>
#include <memory>

#include <gtest/gtest.h>

#include "env/scope.h"
#include "sim/test_rare.h"
#include "sim/world.h"

namespace blixard::membership {
namespace {

using env::Task;

constexpr const char* kCluster = "c1";
constexpr NodeId kSelf(3);
constexpr Duration kLifetime = 90 * 24h;

// The node, with whoever issues its certificates and the disk.
class Holder {
 public:
  // `marked`: the first certificate, which may be older than the mark.
  explicit Holder(env::Env env, bool server = true, bool marked = true)
      : env_(env), marks_(marked) {
    authority_ = *env.security.make_authority(kCluster, env.clock.wall(), 10 * 365 * 24h);
    const auto key = env.security.make_request();
    stored_ = {.certificate = *sign(key->request, kSelf),
               .key = key->key,
               .authority = authority_.certificate};
    transport_ = *env.security.open(stored_);
    certificate_ = std::make_unique<OwnCertificate>(
        env, *transport_, stored_, server,
        [this](std::string request) { return issue(std::move(request)); },
        [this](env::Credentials credentials) { return store(std::move(credentials)); });
    marks_ = server;
  }

  Result<std::string> sign(std::string_view request, NodeId node) {
    return env_.security.issue(
        authority_, request, {.cluster = kCluster, .node = node, .server = marks_},
        WallTime{env_.clock.wall().unix_ms + issuer_ahead_ / 1ms}, kLifetime);
  }
  Task<Result<std::string>> issue(std::string request) {
    ++asked_;
    if (!co_await env_.clock.sleep(5ms)) co_return fail(Code::kCancelled, "cancelled");
    if (!reachable_) co_return fail(Code::kUnavailable, "peer_unreachable");
    co_return sign(request, issued_for_);
  }
  Task<Result<void>> store(env::Credentials credentials) {
    if (disk_full_) co_return fail(Code::kResourceExhausted, "disk_full");
    ++stored_count_;
    stored_ = std::move(credentials);
    co_return Result<void>();
  }

  env::Env env_;
  env::Authority authority_;
  env::Credentials stored_;
  std::unique_ptr<env::SecureTransport> transport_;
  std::unique_ptr<OwnCertificate> certificate_;
  int asked_ = 0;
  int stored_count_ = 0;
  bool reachable_ = true;
  bool disk_full_ = false;
  Duration issuer_ahead_{};
  NodeId issued_for_ = kSelf;
  bool marks_;
};

class OwnCertificateTest : public testing::Test {
 protected:
  void play(const std::function<Task<void>(Holder&)>& story) {
    Holder holder(machine_.env());
    play(holder, story);
  }
  void play(Holder& holder, const std::function<Task<void>(Holder&)>& story) {
    EXPECT_TRUE(world_.run(beside(holder, story), 24h));
  }
  // The story, while the certificate is looked after.
  static Task<void> beside(Holder& holder, const std::function<Task<void>(Holder&)>& story) {
    env::Scope scope(holder.env_.executor, nullptr);
    scope.spawn(holder.certificate_->run());
    co_await story(holder);
    scope.cancel();
    co_await scope.join();
  }
  void jump(Duration offset) { machine_.set_wall_offset(offset); }
  [[nodiscard]] bool says(std::string_view words) const {
    return std::ranges::any_of(world_.log_lines(),
                               [&](const std::string& line) { return line.contains(words); });
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("a");
};

Task<void> pause(Holder& holder, Duration duration) {
  EXPECT_TRUE(co_await holder.env_.clock.sleep(duration));
}

TEST_F(OwnCertificateTest, IsRenewedWhenAThirdIsLeftAndNotBefore) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    jump(60 * 24h - 10h);  // it began a day before it was made, which counts
    co_await pause(holder, 1h);
    EXPECT_EQ(holder.asked_, 0);
    jump(60 * 24h);
    co_await pause(holder, 11min);
    EXPECT_EQ(holder.stored_count_, 1);
    const auto facts = holder.certificate_->facts();
    EXPECT_EQ(facts->subject.node, kSelf);
    EXPECT_GT(facts->not_after.unix_ms, holder.env_.clock.wall().unix_ms + (89 * 24h) / 1ms);
    EXPECT_EQ(holder.env_.security.inspect(holder.stored_.certificate)->fingerprint,
              facts->fingerprint);
    // Young again: left alone.
    co_await pause(holder, 3h);
    EXPECT_EQ(holder.stored_count_, 1);
  });
}

TEST_F(OwnCertificateTest, IsRenewedWhenItsBeginLiesAhead) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    jump(30 * 24h);
    EXPECT_TRUE(co_await holder.certificate_->rotate());
    // Looked at after 10 minutes, by a clock that went back 23 hours, and then 25: only the second
    // is more than certificates are backdated.
    jump(30 * 24h - 23h);
    co_await pause(holder, 11min);
    EXPECT_EQ(holder.stored_count_, 1);
    jump(30 * 24h - 25h);
    co_await pause(holder, 10min);
    EXPECT_EQ(holder.stored_count_, 2);
    jump(Duration());
    co_await pause(holder, 10min);
    EXPECT_EQ(holder.stored_count_, 3);
    EXPECT_LT(holder.certificate_->facts()->not_before, holder.env_.clock.wall());
    EXPECT_FALSE(says("disagree"));
    co_await pause(holder, 3h);
    EXPECT_EQ(holder.stored_count_, 3);
  });
}

TEST_F(OwnCertificateTest, OneThatBeginsAheadAndIsNotRenewedSaysWhatToDo) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    jump(30 * 24h);
    EXPECT_TRUE(co_await holder.certificate_->rotate());
    holder.reachable_ = false;
    jump(Duration());
    co_await pause(holder, 11min);
    EXPECT_TRUE(says("is not valid yet"));
    EXPECT_TRUE(says("blixard node remove"));
  });
}

// Renewing helps nobody as long as the clocks disagree: it is tried now and then, not at each look.
TEST_F(OwnCertificateTest, AnIssuerWhoseClockIsAheadIsAskedOnceAnHour) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    holder.issuer_ahead_ = 48h;
    EXPECT_TRUE(co_await holder.certificate_->rotate());
    co_await pause(holder, 5h);
    EXPECT_GE(holder.asked_, 5);
    EXPECT_LE(holder.asked_, 7);
    EXPECT_TRUE(says("disagree"));
    holder.issuer_ahead_ = Duration();
    co_await pause(holder, 61min);
    const int asked = holder.asked_;
    co_await pause(holder, 5h);
    EXPECT_EQ(holder.asked_, asked);
  });
}

TEST_F(OwnCertificateTest, AServersWithoutTheMarkIsRenewedAtOnce) {
  Holder holder(machine_.env(), true, false);
  EXPECT_FALSE(holder.certificate_->facts()->subject.server);
  play(holder, [](Holder& server) -> Task<void> {
    co_await pause(server, 1s);
    EXPECT_EQ(server.stored_count_, 1);
    EXPECT_TRUE(server.certificate_->facts()->subject.server);
    EXPECT_TRUE(server.env_.security.inspect(server.stored_.certificate)->subject.server);
    co_await pause(server, 3h);
    EXPECT_EQ(server.stored_count_, 1);
  });
}

TEST_F(OwnCertificateTest, AWorkersHasNoMarkAndStays) {
  Holder holder(machine_.env(), false, false);
  play(holder, [](Holder& worker) -> Task<void> {
    co_await pause(worker, 3h);
    EXPECT_EQ(worker.asked_, 0);
    EXPECT_TRUE(co_await worker.certificate_->rotate());
    EXPECT_FALSE(worker.certificate_->facts()->subject.server);
  });
}

TEST_F(OwnCertificateTest, AClockFromBeforeTheAuthorityAddsNoMark) {
  Holder holder(machine_.env(), true, false);
  jump(-100 * 24h);
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play(holder, [this](Holder& server) -> Task<void> {
    co_await pause(server, 1h);
    EXPECT_EQ(server.asked_, 0);
    jump(Duration());
    co_await pause(server, 11min);
    EXPECT_EQ(server.stored_count_, 1);
  });
}

TEST_F(OwnCertificateTest, AClockFromBeforeTheAuthorityMakesNone) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    jump(-100 * 24h);
    co_await pause(holder, 1h);
    EXPECT_EQ(holder.asked_, 0);
    jump(Duration());
    co_await pause(holder, 1h);
    EXPECT_EQ(holder.asked_, 0);
  });
}

TEST_F(OwnCertificateTest, AsksAgainEachMinuteUntilSomebodyAnswers) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    holder.reachable_ = false;
    jump(70 * 24h);
    co_await pause(holder, 20min);
    EXPECT_GE(holder.asked_, 10);
    EXPECT_LE(holder.asked_, 21);
    EXPECT_TRUE(says("not renewed"));
    EXPECT_FALSE(says("has expired"));
    holder.reachable_ = true;
    co_await pause(holder, 2min);
    EXPECT_EQ(holder.stored_count_, 1);
  });
}

TEST_F(OwnCertificateTest, SaysWhatToDoWhenItIsOver) {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  play([this](Holder& holder) -> Task<void> {
    holder.reachable_ = false;
    jump(91 * 24h);
    co_await pause(holder, 11min);
    EXPECT_TRUE(says("has expired"));
    EXPECT_TRUE(says("blixard node remove"));
  });
}

TEST_F(OwnCertificateTest, AWrongOneIsNotTaken) {
  play([](Holder& holder) -> Task<void> {
    holder.issued_for_ = NodeId(4);
    const auto wrong = co_await holder.certificate_->rotate();
    EXPECT_EQ(wrong.error().reason(), "certificate_wrong");
    holder.issued_for_ = kSelf;
    holder.marks_ = false;
    const auto unmarked = co_await holder.certificate_->rotate();
    EXPECT_EQ(unmarked.error().reason(), "certificate_wrong");
    EXPECT_EQ(holder.stored_count_, 0);
    EXPECT_EQ(holder.certificate_->facts()->subject.node, kSelf);
  });
}

// What could not be stored must not be in use: the next start would have another key.
TEST_F(OwnCertificateTest, WhatIsNotDurableIsNotInUse) {
  play([](Holder& holder) -> Task<void> {
    const std::string before = holder.certificate_->facts()->fingerprint;
    holder.disk_full_ = true;
    const auto failed = co_await holder.certificate_->rotate();
    EXPECT_EQ(failed.error().reason(), "disk_full");
    EXPECT_EQ(holder.certificate_->facts()->fingerprint, before);
    holder.disk_full_ = false;
    const auto done = co_await holder.certificate_->rotate();
    EXPECT_TRUE(done);
    EXPECT_NE(holder.certificate_->facts()->fingerprint, before);
  });
}

TEST_F(OwnCertificateTest, OneRotationAtATime) {
  play([](Holder& holder) -> Task<void> {
    env::Scope scope(holder.env_.executor, nullptr);
    int done = 0;
    int refused = 0;
    for (int i = 0; i < 3; ++i) {
      scope.spawn([](Holder& of, int& well, int& not_now) -> Task<void> {
        const auto rotated = co_await of.certificate_->rotate();
        if (rotated) ++well;
        if (!rotated && rotated.error().reason() == "rotation_in_progress") ++not_now;
      }(holder, done, refused));
    }
    co_await scope.join();
    EXPECT_EQ(done, 1);
    EXPECT_EQ(refused, 2);
  });
}

TEST_F(OwnCertificateTest, MayBeRenewedAtAnyTime) {
  const sim::OnlyRare rare(world_, env::RareSite::kCertificateRenewedEarly);
  play([](Holder& holder) -> Task<void> {
    co_await pause(holder, 25min);
    EXPECT_EQ(holder.stored_count_, 3);
    EXPECT_EQ(holder.certificate_->facts()->subject.node, kSelf);
  });
  EXPECT_EQ(rare.taken(), 3u);
}

}  // namespace
}  // namespace blixard::membership
