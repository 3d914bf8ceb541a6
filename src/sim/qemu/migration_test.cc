// Saving a guest, and loading it into other processes.

#include "sim/qemu/migration.h"

#include "sim/host.h"
#include "sim/qemu/test_guest.h"

namespace blixard::sim {
namespace {

using env::Task;
using Told = std::vector<std::string>;

// run() keeps each body until it has ended.
// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines)

class MigrationTest : public TestGuests {
 public:
  Task<Result<void>> load_wrong(std::string state, std::string text) {
    BLX_CO_TRY(const auto guest, co_await start_clone("b"));
    ignore(co_await guest->load(std::move(state)), "it may end while it is fed");
    co_return co_await expect_end(*guest, "load of migration failed: " + text + "\n");
  }
  Task<Result<void>> load_right(std::string state) {
    told_.clear();
    BLX_CO_TRY(const auto guest, co_await clone("b", std::move(state)));
    BLX_CO_TRY(co_await guest->ask("ping"));
    BLX_CO_TRY(co_await guest->execute("quit"));
    BLX_CO_TRY(co_await guest->child().wait());
    told_.clear();
    co_return Result<void>();
  }
  [[nodiscard]] bool is_behind(const TestGuest& guest, Duration by, Duration exactness) const {
    return std::chrono::abs(view(guest)->clock_offset + by) <= exactness;
  }
  void change_ram(std::string_view page) {
    FileSystem& files = machine_.host().files;
    const auto file = files.find(kRam);
    ASSERT_TRUE(file);
    ASSERT_TRUE(files.write(**file, 0, page));
  }
  std::string ram() {
    std::string page(kSoulBytes, '\0');
    (*machine_.host().files.find(kRam))->content.read(0, page);
    return page;
  }
};

TEST_F(MigrationTest, ATemplateIsMadeAndCloned) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(co_await make_ram(kRam));
    BLX_CO_TRY(co_await env().process.make_group("vm-template", {}));
    BLX_CO_TRY(
        const auto origin,
        co_await start({.name = "template", .memory = in_file("on"), .group = "vm-template"}));
    EXPECT_FALSE(view(*origin)->is_vm);
    EXPECT_EQ(told_, Told{"template lives"});
    BLX_CO_TRY(co_await origin->ask("ping"));
    BLX_CO_TRY(const auto list, co_await origin->execute("query-migrate-capabilities"));
    EXPECT_TRUE(serialize(list).contains(R"({"capability":"x-ignore-shared","state":false})"));
    BLX_CO_TRY(co_await origin->share_memory(true));
    BLX_CO_TRY(
        co_await origin->execute("migrate-set-parameters", R"({"max-bandwidth": 10000000})"));
    BLX_CO_TRY(co_await origin->execute("stop"));
    BLX_CO_TRY(env::StreamPair pair, co_await env().network.pair());
    BLX_CO_TRY(co_await origin->execute("getfd", R"({"fdname": "s"})", std::move(pair.theirs)));
    const Instant begin = env().clock.monotonic();
    BLX_CO_TRY(co_await origin->execute("migrate", R"({"uri": "fd:s"})"));
    BLX_CO_TRY(auto progress, co_await origin->execute("query-migrate"));
    EXPECT_EQ(progress.at("status"), "active");
    BLX_CO_TRY(const std::string during, co_await origin->wait_while("paused"));
    EXPECT_EQ(during, "finish-migrate");
    EXPECT_FALSE(co_await origin->execute("cont"));
    BLX_CO_TRY(const std::string after, co_await origin->wait_while("finish-migrate"));
    EXPECT_EQ(after, "postmigrate");
    EXPECT_LE(env().clock.monotonic() - begin, qemu_.faults.save.most + 5ms);
    BLX_CO_TRY(progress, co_await origin->execute("query-migrate"));
    EXPECT_EQ(progress.at("status"), "completed");
    const GuestView source = *view(*origin);
    EXPECT_EQ(source.save, 0u);
    std::string state(std::size_t{1} << 16, '\0');
    std::size_t size = 0;
    for (std::size_t count = 1; count > 0; size += count) {
      BLX_CO_TRY(count, co_await pair.ours->read_some(std::span(state).subspan(size)));
    }
    state.resize(size);
    EXPECT_LE(machine_.host().files.used(), std::uint64_t{1} << 20) << "of the memory only a page";
    BLX_CO_TRY(co_await origin->execute("quit"));
    BLX_CO_TRY(co_await origin->child().wait());
    EXPECT_EQ(told_, (Told{"template lives", "template ended"}));

    BLX_CO_TRY(const auto guest, co_await start_clone("b"));
    EXPECT_TRUE(view(*guest)->is_vm);
    EXPECT_EQ(view(*guest)->status, "inmigrate");
    EXPECT_EQ(view(*guest)->host_name, "");
    BLX_CO_TRY(co_await guest->load(state));
    BLX_CO_TRY(const std::string loaded, co_await guest->wait_while("inmigrate"));
    EXPECT_EQ(loaded, "paused");
    BLX_CO_TRY(co_await env().clock.sleep(10s));
    EXPECT_EQ(told_.size(), 2u) << "it did not run yet";
    const Instant runs = env().clock.monotonic();
    BLX_CO_TRY(co_await guest->execute("cont"));
    EXPECT_EQ(told_.back(), "b lives");
    EXPECT_FALSE(view(*guest)->booted);
    BLX_CO_TRY(co_await guest->ask("ping"));
    EXPECT_GE(env().clock.monotonic() - runs, qemu_.faults.wake.least);
    EXPECT_LE(env().clock.monotonic() - runs, qemu_.faults.wake.most + 5ms);
    const GuestView seen = *view(*guest);
    EXPECT_EQ(seen.name, "b");
    EXPECT_EQ(seen.host_name, "template");
    EXPECT_EQ(seen.mac, source.mac);
    EXPECT_EQ(seen.machine_id, source.machine_id);
    EXPECT_EQ(seen.random_seed, source.random_seed);
    EXPECT_NE(seen.save, 0u);
    EXPECT_FALSE(seen.identified || seen.damaged);
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, WhoIsSavedWokenAndRunsIsTold) {
  std::vector<std::uint64_t> saves;
  Told turns;
  qemu_.on_saved = [&](Machine&, const GuestView& guest, std::uint64_t save) {
    EXPECT_EQ(guest.status, "postmigrate");
    saves.push_back(save);
  };
  qemu_.on_turn = [&](Machine&, const GuestView& guest, bool runs) {
    turns.push_back(guest.name + (runs ? " runs" : " stands"));
  };
  run([&, this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await origin->ask("ping"));
    BLX_CO_TRY(const std::string whole, co_await origin->save());
    EXPECT_EQ(saves.size(), 1u);
    EXPECT_EQ(turns, (Told{"a runs", "a stands"}));
    BLX_CO_TRY(co_await origin->execute("cont"));
    qemu_.faults.save_fails = true;
    ignore(co_await origin->save(), "that is what is asked for");
    EXPECT_EQ(saves.size(), 1u);
    BLX_CO_TRY(co_await origin->execute("quit"));
    BLX_CO_TRY(co_await origin->child().wait());
    turns.clear();
    BLX_CO_TRY(const auto woken, co_await start({.name = "b", .is_incoming = true}));
    BLX_CO_TRY(co_await woken->execute("stop"));
    BLX_CO_TRY(co_await woken->load(whole));
    BLX_CO_TRY(co_await woken->wait_while("inmigrate"));
    EXPECT_EQ(view(*woken)->save, saves.front());
    EXPECT_EQ(turns, Told{});
    BLX_CO_TRY(co_await woken->execute("cont"));
    EXPECT_EQ(turns, Told{"b runs"});
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, ClonesShareRandomBytesUntilTheyAreSeeded) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(const auto b, co_await clone("b", state));
    BLX_CO_TRY(const auto c, co_await clone("c", state));
    for (int i = 0; i < 3; ++i) {
      BLX_CO_TRY(const std::string of_b, co_await b->random());
      BLX_CO_TRY(const std::string of_c, co_await c->random());
      EXPECT_EQ(of_b, of_c);
    }
    EXPECT_EQ(view(*b)->save, view(*c)->save);
    BLX_CO_TRY(co_await b->ask("identity", "name=b seed=" + std::string(64, 'b')));
    BLX_CO_TRY(co_await c->ask("identity", "name=c seed=" + std::string(64, 'c')));
    EXPECT_TRUE(view(*b)->identified);
    EXPECT_NE(view(*b)->random_seed, view(*c)->random_seed);
    BLX_CO_TRY(const std::string of_b, co_await b->random());
    BLX_CO_TRY(const std::string of_c, co_await c->random());
    EXPECT_NE(of_b, of_c);
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, AWrongStateEndsTheProcess) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    for (const std::size_t size : {0, 100, 255}) {
      BLX_CO_TRY(co_await load_wrong(state.substr(0, size), "Invalid argument"));
    }
    for (const std::size_t size : {std::size_t{256}, state.size() / 2, state.size() - 600}) {
      BLX_CO_TRY(co_await load_wrong(state.substr(0, size), "Input/output error"));
    }
    for (const std::size_t at : {0, 5, 12, 100, 255}) {
      std::string changed = state;
      changed[at] ^= 1;
      BLX_CO_TRY(co_await load_wrong(changed, "Invalid argument"));
    }
    // What the real one does not notice either.
    BLX_CO_TRY(co_await load_right(state));
    BLX_CO_TRY(co_await load_right(state.substr(0, state.size() - 200)));
    BLX_CO_TRY(co_await load_right(state + "more"));
    std::string changed = state;
    changed[state.size() / 2] ^= 1;
    BLX_CO_TRY(const auto guest, co_await clone("b", changed));
    BLX_CO_TRY(co_await guest->ask("ping"));
    EXPECT_TRUE(view(*guest)->damaged);
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, TheCapabilityMustBeThatOfTheState) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string shared, co_await make_template());
    BLX_CO_TRY(const auto off,
               co_await start({.name = "b", .memory = in_file("off"), .is_incoming = true}));
    ignore(co_await off->load(shared), "it may end while it is fed");
    BLX_CO_TRY(co_await expect_end(
        *off, "Capability x-ignore-shared is off, but received capability is on\n"));
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await origin->ask("ping"));
    BLX_CO_TRY(const std::string whole, co_await origin->save());
    told_.clear();
    BLX_CO_TRY(const auto on, co_await start_clone("b"));
    ignore(co_await on->load(whole), "it may end while it is fed");
    co_return co_await expect_end(
        *on, "Capability x-ignore-shared is on, but received capability is off\n");
  });
}

TEST_F(MigrationTest, TheMemorysFileMustFit) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(co_await make_ram("/var/lib/templates/small", mib(64)));
    BLX_CO_TRY(co_await make_ram("/var/lib/templates/large", mib(256)));
    BLX_CO_TRY(co_await make_ram("/var/lib/templates/foreign"));
    for (const char* file : {"small", "large"}) {
      BLX_CO_TRY(co_await env().disk.set_mode(std::string("/var/lib/templates/") + file, 0666, {}));
    }
    const env::Owner owner{.uid = 1000, .gid = 1000};
    struct Case {
      const char* file;
      const char* text;
    };
    const Case cases[] = {{"missing", "No such file or directory"},
                          {"small", "does not match 'size' option 0x8000000"},
                          {"large", "does not match 'size' option 0x8000000"},
                          {"foreign", "Permission denied"}};
    for (const Case& each : cases) {
      const auto guest = make("b");
      const auto started =
          co_await guest->start({.name = "b",
                                 .memory = in_file("off", std::string("../templates/") + each.file),
                                 .is_incoming = true,
                                 .run_as = owner});
      EXPECT_FALSE(started);
      BLX_CO_TRY(co_await expect_end(*guest, each.text));
    }
    BLX_CO_TRY(co_await env().disk.set_mode("/var/lib/templates/foreign", 0600, owner));
    const auto guest = make("b");
    co_return co_await guest->start({.name = "b",
                                     .memory = in_file("off", "../templates/foreign"),
                                     .is_incoming = true,
                                     .run_as = owner});
  });
}

TEST_F(MigrationTest, AGuestWithoutItsMemoryBootsAnew) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(co_await make_ram("/var/lib/templates/empty"));
    const std::string backends[] = {"memory-backend-ram,id=ram0,size=128M",
                                    in_file("off", "../templates/empty")};
    for (const std::string& backend : backends) {
      BLX_CO_TRY(const auto guest,
                 co_await start({.name = "b", .memory = backend, .is_incoming = true}));
      BLX_CO_TRY(co_await guest->share_memory(true));
      const Instant begin = env().clock.monotonic();
      BLX_CO_TRY(co_await guest->load_and_run(state));
      BLX_CO_TRY(const std::string said, co_await guest->ask("identity", "was=template"));
      EXPECT_EQ(said, "error another guest");
      EXPECT_GE(env().clock.monotonic() - begin, qemu_.faults.boot.least);
      EXPECT_EQ(view(*guest)->host_name, "b");
      EXPECT_EQ(view(*guest)->mac, TestGuest::mac("b"));
      EXPECT_EQ(view(*guest)->save, 0u);
      EXPECT_TRUE(view(*guest)->damaged);
      BLX_CO_TRY(co_await guest->execute("quit"));
      BLX_CO_TRY(co_await guest->child().wait());
    }
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, AChangedFileIsAnotherGuestOrNone) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    const std::string page = ram();
    std::string other = page;
    other.replace(other.find("template"), 8, "impostor");
    change_ram(other);
    BLX_CO_TRY(const auto impostor, co_await clone("b", state));
    BLX_CO_TRY(const std::string said, co_await impostor->ask("identity", "was=template"));
    EXPECT_EQ(said, "error another guest");
    EXPECT_EQ(view(*impostor)->host_name, "impostor");
    EXPECT_TRUE(view(*impostor)->damaged);

    std::string nonsense = page;
    nonsense[page.find("machine=")] = 'M';
    change_ram(nonsense);
    BLX_CO_TRY(const auto silent, co_await clone("c", state));
    EXPECT_FALSE(co_await silent->ask("ping", "", 60s));
    EXPECT_EQ(view(*silent)->status, "running");
    EXPECT_EQ(told_, (Told{"b lives", "c lives"}));

    change_ram(page);
    BLX_CO_TRY(const auto right, co_await clone("d", state));
    BLX_CO_TRY(co_await right->ask("ping"));
    EXPECT_FALSE(view(*right)->damaged);
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, AFileUnderACloneMayGoButNotChange) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(const auto hangs, co_await clone("b", state));
    BLX_CO_TRY(co_await hangs->ask("ping"));
    const std::string page = ram();
    change_ram(std::string(100, 'x'));
    EXPECT_FALSE(co_await hangs->ask("ping"));
    change_ram(page);
    EXPECT_FALSE(co_await hangs->ask("ping"));

    BLX_CO_TRY(const auto dies, co_await clone("c", state));
    BLX_CO_TRY(co_await dies->ask("ping"));
    BLX_CO_TRY(auto file, co_await env().disk.open(kRam, env::OpenMode::kReadWrite));
    BLX_CO_TRY(co_await file->resize(4096));
    EXPECT_FALSE(co_await dies->ask("ping"));
    BLX_CO_TRY(const env::ExitStatus status, co_await dies->child().wait());
    EXPECT_EQ(status.signal, 7);
    BLX_CO_TRY(co_await file->resize(mib(128).value));

    change_ram(page);
    BLX_CO_TRY(const auto lives, co_await clone("d", state));
    BLX_CO_TRY(co_await env().disk.remove(kRam));
    BLX_CO_TRY(co_await lives->ask("ping"));
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, AWholeSaveNeedsNoFile) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await origin->ask("ping"));
    BLX_CO_TRY(const std::string running, co_await origin->save());
    BLX_CO_TRY(const std::string after, co_await origin->wait_while("finish-migrate"));
    EXPECT_EQ(after, "postmigrate");
    EXPECT_FALSE(co_await origin->save()) << "not again without a cont";
    BLX_CO_TRY(co_await origin->execute("cont"));
    BLX_CO_TRY(co_await origin->execute("stop"));
    BLX_CO_TRY(const std::string paused, co_await origin->save());
    BLX_CO_TRY(co_await origin->wait_while("finish-migrate"));
    BLX_CO_TRY(co_await origin->execute("cont"));
    BLX_CO_TRY(const std::string of_origin, co_await origin->random());
    told_.clear();

    BLX_CO_TRY(const auto b, co_await start({.name = "b", .is_incoming = true}));
    BLX_CO_TRY(co_await b->load(paused));
    BLX_CO_TRY(const std::string of_b, co_await b->wait_while("inmigrate"));
    EXPECT_EQ(of_b, "paused");
    EXPECT_EQ(told_, Told());
    BLX_CO_TRY(co_await b->execute("cont"));
    BLX_CO_TRY(const std::string same, co_await b->random());
    EXPECT_EQ(same, of_origin);
    EXPECT_EQ(view(*b)->host_name, "a");
    EXPECT_FALSE(view(*b)->damaged);

    // One that was saved while it ran does not wait to be told, unless it is told to wait.
    BLX_CO_TRY(const auto c, co_await start({.name = "c", .is_incoming = true}));
    BLX_CO_TRY(co_await c->load(running));
    BLX_CO_TRY(const std::string of_c, co_await c->wait_while("inmigrate"));
    EXPECT_EQ(of_c, "running");
    EXPECT_EQ(told_.back(), "c lives");
    BLX_CO_TRY(const auto d, co_await start({.name = "d", .is_incoming = true}));
    BLX_CO_TRY(co_await d->execute("stop"));
    BLX_CO_TRY(co_await d->load(running));
    BLX_CO_TRY(const std::string of_d, co_await d->wait_while("inmigrate"));
    EXPECT_EQ(of_d, "paused");
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, WhatIsNotSharedIsSavedWhateverIsIgnored) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(const auto b, co_await clone("b", state));
    BLX_CO_TRY(co_await b->ask("identity", "name=web seed=" + std::string(64, 'b')));
    BLX_CO_TRY(const std::string whole, co_await b->save());
    EXPECT_GT(whole.size(), state.size() + 4096);
    BLX_CO_TRY(co_await env().disk.remove(kRam));
    BLX_CO_TRY(const auto c, co_await start({.name = "c", .is_incoming = true}));
    BLX_CO_TRY(co_await c->share_memory(true));
    BLX_CO_TRY(co_await c->load_and_run(whole));
    BLX_CO_TRY(co_await c->ask("ping"));
    EXPECT_EQ(view(*c)->host_name, "web");
    EXPECT_EQ(view(*c)->random_seed, view(*b)->random_seed);
    EXPECT_NE(view(*c)->save, view(*b)->save);
    EXPECT_TRUE(view(*b)->identified);
    EXPECT_FALSE(view(*c)->identified) << "it must be told anew";
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, ABootGoesOnAfterALoad) {
  run([this]() -> Task<Result<void>> {
    qemu_.faults.boot = {2s, 2s};
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await env().clock.sleep(500ms));
    BLX_CO_TRY(co_await origin->execute("stop"));
    BLX_CO_TRY(const std::string state, co_await origin->save());
    BLX_CO_TRY(co_await env().clock.sleep(60s));
    BLX_CO_TRY(const auto guest, co_await start({.name = "b", .is_incoming = true}));
    BLX_CO_TRY(co_await guest->load_and_run(state));
    EXPECT_FALSE(view(*guest)->booted);
    const Instant begin = env().clock.monotonic();
    BLX_CO_TRY(co_await guest->ask("ping"));
    const Duration took = env().clock.monotonic() - begin;
    EXPECT_TRUE(took > 1300ms && took < 1600ms) << took / 1ms;
    EXPECT_EQ(view(*guest)->host_name, "a");
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, ASaveIntoAFullDiskEndsTheProcess) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(co_await make_ram(kRam));
    BLX_CO_TRY(const auto guest, co_await start({.name = "template", .memory = in_file("on")}));
    BLX_CO_TRY(co_await guest->share_memory(true));
    machine_.set_disk_capacity(Bytes(machine_.host().files.used()));
    EXPECT_FALSE((co_await guest->save()).value_or("").size() > 8);
    BLX_CO_TRY(const env::ExitStatus status, co_await guest->child().wait());
    EXPECT_EQ(status.signal, 7);
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, WhenNobodyReadsTheGuestGoesOn) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const auto origin, co_await start({.name = "a"}));
    BLX_CO_TRY(co_await origin->ask("ping"));
    const auto save_to_nobody = [&](std::string until) -> Task<Result<void>> {
      BLX_CO_TRY(env::StreamPair pair, co_await env().network.pair());
      BLX_CO_TRY(co_await origin->execute("getfd", R"({"fdname": "s"})", std::move(pair.theirs)));
      BLX_CO_TRY(co_await origin->execute("migrate", R"({"uri": "fd:s"})"));
      if (!until.empty()) BLX_CO_TRY(co_await origin->wait_while(until));
      pair.ours.reset();
      BLX_CO_TRY(co_await env().clock.sleep(20ms));
      BLX_CO_TRY(const auto progress, co_await origin->execute("query-migrate"));
      EXPECT_EQ(progress.at("status"), "failed");
      EXPECT_TRUE(serialize(progress).contains("Broken pipe"));
      co_return Result<void>();
    };
    for (const char* until : {"", "running"}) {
      BLX_CO_TRY(co_await save_to_nobody(until));
      BLX_CO_TRY(const std::string after, co_await origin->status());
      EXPECT_EQ(after, "running") << until;
      BLX_CO_TRY(co_await origin->ask("ping"));
    }
    BLX_CO_TRY(co_await origin->execute("stop"));
    BLX_CO_TRY(co_await save_to_nobody(""));
    BLX_CO_TRY(const std::string early, co_await origin->status());
    EXPECT_EQ(early, "paused");
    BLX_CO_TRY(co_await save_to_nobody("paused"));
    BLX_CO_TRY(const std::string late, co_await origin->status());
    EXPECT_EQ(late, "postmigrate");
    BLX_CO_TRY(co_await origin->execute("cont"));
    BLX_CO_TRY(co_await origin->ask("ping"));
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, ALoadThatStallsLeavesTheMonitor) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(const auto waits, co_await start_clone("b"));
    BLX_CO_TRY(auto stream, co_await waits->begin_load());
    BLX_CO_TRY(co_await stream->write_all(state.substr(0, state.size() / 2)));
    BLX_CO_TRY(const auto stalls, co_await start_clone("c"));
    qemu_.faults.load_stalls = true;
    BLX_CO_TRY(co_await stalls->load(state));
    BLX_CO_TRY(co_await env().clock.sleep(60s));
    for (TestGuest* guest : {waits.get(), stalls.get()}) {
      BLX_CO_TRY(const std::string status, co_await guest->status());
      EXPECT_EQ(status, "inmigrate");
      BLX_CO_TRY(const auto progress, co_await guest->execute("query-migrate"));
      EXPECT_EQ(progress.at("status"), "active");
    }
    qemu_.faults.load_stalls = false;
    BLX_CO_TRY(co_await stream->write_all(state.substr(state.size() / 2)));
    BLX_CO_TRY(const std::string after, co_await waits->wait_while("inmigrate"));
    EXPECT_EQ(after, "paused");
    BLX_CO_TRY(co_await stalls->execute("quit"));
    BLX_CO_TRY(co_await stalls->child().wait());
    EXPECT_EQ(told_, Told());
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, ALoadThatFailsEndsTheProcess) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    qemu_.faults.load_fails = true;
    co_return co_await load_wrong(state, "Invalid argument");
  });
}

TEST_F(MigrationTest, DyingAtEachCommandIsToldOnceOrNever) {
  const char* commands[] = {"getfd",
                            "migrate-set-capabilities",
                            "query-migrate-capabilities",
                            "migrate-set-parameters",
                            "query-migrate",
                            "migrate",
                            "migrate-incoming",
                            "cont"};
  for (const char* command : commands) {
    SCOPED_TRACE(command);
    run([&]() -> Task<Result<void>> {
      qemu_.faults = QemuFaults();
      BLX_CO_TRY(const std::string state, co_await make_template());
      const std::string_view at = command;
      const auto live = [&](TestGuest& guest, bool is_clone) -> Task<Result<void>> {
        BLX_CO_TRY(co_await guest.execute("query-migrate-capabilities"));
        BLX_CO_TRY(co_await guest.share_memory(true));
        BLX_CO_TRY(co_await guest.execute("migrate-set-parameters"));
        BLX_CO_TRY(co_await guest.execute("query-migrate"));
        if (is_clone) co_return co_await guest.load_and_run(state);
        BLX_CO_TRY(const std::string saved, co_await guest.save());
        if (saved.size() < state.size()) co_return fail(Code::kUnavailable, "cut");
        co_return Result<void>();
      };
      BLX_CO_TRY(const auto source, co_await start({.name = "a"}));
      BLX_CO_TRY(const auto clone, co_await start_clone("b"));
      qemu_.faults.dies_at = command;
      const bool ends_save = at != "migrate-incoming" && at != "cont";
      EXPECT_EQ((co_await live(*source, false)).has_value(), !ends_save);
      const bool ends_load = at != "migrate";
      EXPECT_EQ((co_await live(*clone, true)).has_value(), !ends_load);
      EXPECT_EQ(machine_.is_alive(source->child().id()), !ends_save);
      EXPECT_EQ(machine_.is_alive(clone->child().id()), !ends_load);
      EXPECT_EQ(std::ranges::count(told_, "a lives"), 1);
      EXPECT_EQ(std::ranges::count(told_, "a ended"), ends_save ? 1 : 0);
      EXPECT_EQ(std::ranges::count(told_, "b lives"), ends_load ? 0 : 1);
      EXPECT_EQ(std::ranges::count(told_, "b ended"), 0);
      machine_.kill_process(source->child().id());
      machine_.kill_process(clone->child().id());
      co_return Result<void>();
    });
  }
}

TEST_F(MigrationTest, AClonesClockIsBehindByTheTimeItWasNotThere) {
  run([this]() -> Task<Result<void>> {
    BLX_CO_TRY(const std::string state, co_await make_template());
    BLX_CO_TRY(co_await env().clock.sleep(100s));
    BLX_CO_TRY(const auto b, co_await clone("b", state));
    BLX_CO_TRY(co_await b->ask("ping"));
    EXPECT_TRUE(is_behind(*b, 100s, 500ms));
    qemu_.faults.clock_behind = 3600s;
    BLX_CO_TRY(const auto c, co_await clone("c", state));
    BLX_CO_TRY(co_await c->ask("ping"));
    EXPECT_TRUE(is_behind(*c, 3700s, 1s));
    const std::string time = std::to_string(env().clock.wall().unix_ms);
    BLX_CO_TRY(co_await c->ask("identity", "time_ms=" + time));
    EXPECT_TRUE(is_behind(*c, 0s, 10ms));
    BLX_CO_TRY(co_await c->execute("stop"));
    BLX_CO_TRY(co_await env().clock.sleep(3s));
    BLX_CO_TRY(co_await c->execute("cont"));
    EXPECT_TRUE(is_behind(*c, 3s, 10ms)) << "it stood still";
    co_return Result<void>();
  });
}

TEST_F(MigrationTest, TheMonitorRefusesInQemusWords) {
  run([this]() -> Task<Result<void>> {
    struct Case {
      const char* command;
      const char* arguments;
      const char* text;
    };
    const Case cases[] = {
        {"getfd", R"({"fdname": "s"})", "No file descriptor supplied"},
        {"getfd", R"({"fdname": 7})", "expected: string"},
        {"migrate", R"({"uri": "fd:s"})", "File descriptor named 's' has not been found"},
        {"migrate", R"({"uri": "tcp:10.0.0.1:1"})", "valid migration protocol"},
        {"migrate", "{}", "'uri' is missing"},
        {"migrate-incoming", R"({"uri": "fd:s"})", "'-incoming' was not specified"},
        {"migrate-set-parameters", R"({"announce-rounds": 1001})", "between 0 and 1000"},
        {"migrate-set-parameters", R"({"announce-rounds": -1})", "between 0 and 1000"},
        {"migrate-set-parameters", R"({"speed": 1})", "'speed' is unexpected"},
        {"migrate-set-capabilities", "{}", "'capabilities' is missing"},
        {"migrate-set-capabilities", R"({"capabilities": [{"capability": "x", "state": true}]})",
         "does not accept value 'x'"},
        {"migrate-set-capabilities", R"({"capabilities": [{"capability": "events"}]})",
         "'.state' is missing"}};
    BLX_CO_TRY(const auto guest, co_await start({.name = "a"}));
    for (const Case& each : cases) {
      const auto answer = co_await guest->execute(each.command, each.arguments);
      EXPECT_TRUE(!answer && answer.error().message().contains(each.text))
          << each.command << each.arguments;
    }
    BLX_CO_TRY(const auto progress, co_await guest->execute("query-migrate"));
    EXPECT_EQ(serialize(progress), "{}");
    EXPECT_EQ(view(*guest)->status, "running");

    BLX_CO_TRY(const auto waits, co_await start({.name = "b", .is_incoming = true}));
    EXPECT_FALSE(co_await waits->save());
    BLX_CO_TRY(const auto stream, co_await waits->begin_load());
    const auto again = co_await waits->begin_load();
    EXPECT_TRUE(!again && again.error().message().contains("already been started"));

    qemu_.faults.no_ignore_shared = true;
    EXPECT_FALSE(co_await guest->share_memory(true));
    BLX_CO_TRY(const auto list, co_await guest->execute("query-migrate-capabilities"));
    EXPECT_FALSE(serialize(list).contains("x-ignore-shared"));
    EXPECT_GT(list.as_array().size(), 1u);
    co_return Result<void>();
  });
}

struct AnyWorld : MigrationTest {
  void TestBody() override {}

  void live() {
    run([this]() -> Task<Result<void>> {
      BLX_CO_TRY(const std::string state, co_await make_template());
      BLX_CO_TRY(const auto guest, co_await clone("b", state));
      BLX_CO_TRY(random_, co_await guest->random());
      clone_ = view(*guest);
      co_return Result<void>();
    });
  }
  std::string random_;
  std::optional<GuestView> clone_;
};

TEST(MigrationRepeatTest, TheSameSeedGivesTheSameGuests) {
  AnyWorld a;
  a.live();
  AnyWorld b;
  b.live();
  ASSERT_TRUE(a.clone_ && b.clone_);
  EXPECT_EQ(a.world_.trace_hash(), b.world_.trace_hash());
  EXPECT_EQ(a.random_, b.random_);
  EXPECT_EQ(a.clone_->save, b.clone_->save);
  EXPECT_EQ(a.clone_->machine_id, b.clone_->machine_id);
}

// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)

}  // namespace
}  // namespace blixard::sim
