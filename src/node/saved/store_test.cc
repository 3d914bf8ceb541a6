#include "node/saved/store.h"

#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "observe/text.h"
#include "sim/world.h"

namespace blixard::saved {
namespace {

using env::Task;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kRoot = "/var/lib/saved";
constexpr const char* kCluster = "0f39719e-5325-49a9-8273-28ced4b90001";

Header header_of(VmId vm) {
  return {.cluster = "",
          .vm = vm,
          .uuid = Uuid::from_random(vm.value, 7),
          .name = "web",
          .key = std::string(64, 'a'),
          .memory = mib(128),
          .accelerator = vm::Accelerator::kKvm,
          .hypervisor_version = "7.2.22",
          .tsc_khz = 2'596'130,
          .saved = WallTime{1'700'000'000'000}};
}

std::string state_of(std::size_t bytes) {
  std::string state;
  std::uint32_t number = 1;
  while (state.size() < bytes) {
    number = number * 1664525 + 1013904223;
    state.append(1 + number % 97, static_cast<char>(number >> 24));
  }
  state.resize(bytes);
  return state;
}

Task<Result<std::string>> read_all(vm::StateSource& source) {
  std::string all;
  std::string buffer(10'000, '\0');
  while (true) {
    BLX_CO_TRY(const std::size_t count, co_await source.read(buffer));
    if (count == 0) co_return all;
    all.append(buffer, 0, count);
  }
}

class SavedStore : public testing::Test {
 protected:
  SavedStore() : world_(1), machine_(world_.add_machine("a")) {}

  void run(std::function<Task<void>(Store&)> story) {
    const auto main = [&]() -> Task<void> {
      auto store = co_await Store::open(disk_env(), kRoot, kCluster);
      EXPECT_TRUE(store) << store.error().message();
      if (store) co_await story(**store);
    };
    EXPECT_TRUE(world_.run(main(), 1h));
  }

  env::Env disk_env() { return machine_.env(); }

  Task<Result<Saved>> save(Store& store, const std::string& state, VmId vm = VmId(7)) {
    BLX_CO_TRY(const auto writer, co_await store.create(header_of(vm)));
    for (std::size_t at = 0; at < state.size(); at += 300'000)
      BLX_CO_TRY(co_await writer->write(std::string_view(state).substr(at, 300'000)));
    co_return co_await writer->finish();
  }

  Task<Result<std::string>> load(Store& store, image::Digest digest) {
    BLX_CO_TRY(const Opened opened, co_await store.read(digest));
    co_return co_await read_all(*opened.state);
  }

  static std::string path_of(const Saved& saved) {
    return env::join_path(kRoot, image::digest_text(saved.digest));
  }

  Task<std::size_t> files() {
    const auto entries = co_await disk_env().disk.list(kRoot);
    co_return entries ? entries->size() : 0;
  }

  sim::World world_;
  sim::Machine& machine_;
};

std::string reason(const auto& result) {
  return result ? "ok" : std::string(result.error().reason());
}

TEST_F(SavedStore, WhatIsSavedIsReadBack) {
  run([this](Store& store) -> Task<void> {
    const std::string state = state_of(3'000'000);
    const auto saved = co_await save(store, state);
    EXPECT_EQ(reason(saved), "ok");
    EXPECT_LT(saved->size.value, state.size() / 2);
    const auto opened = co_await store.read(saved->digest);
    EXPECT_EQ(reason(opened), "ok");
    Header expected = header_of(VmId(7));
    expected.cluster = kCluster;
    EXPECT_EQ(opened->header, expected);
    const auto back = co_await read_all(*opened->state);
    EXPECT_TRUE(back && *back == state);
  });
}

TEST_F(SavedStore, TheNameIsTheDigestOfTheFile) {
  run([this](Store& store) -> Task<void> {
    const auto saved = co_await save(store, state_of(100'000));
    const auto bytes = co_await disk_env().disk.read_file(path_of(*saved), 1 << 20);
    EXPECT_EQ(image::digest_of(*bytes), saved->digest);
    EXPECT_EQ(bytes->size(), saved->size.value);
  });
}

TEST_F(SavedStore, EveryChangedByteIsFoundBeforeTheEnd) {
  run([this](Store& store) -> Task<void> {
    const auto saved = co_await save(store, state_of(2'000));
    const std::string path = path_of(*saved);
    const auto original = co_await disk_env().disk.read_file(path, 1 << 20);
    for (std::size_t at = 0; at < original->size(); ++at) {
      std::string changed = *original;
      changed[at] = static_cast<char>(changed[at] ^ 0x20);
      EXPECT_TRUE(co_await disk_env().disk.replace_file(path, changed));
      const auto loaded = co_await load(store, saved->digest);
      EXPECT_FALSE(loaded) << "byte " << at;
      EXPECT_EQ(reason(co_await store.check(saved->digest)), "saved_guest_damaged") << at;
    }
    for (const std::size_t cut : {std::size_t{0}, std::size_t{11}, original->size() - 1}) {
      EXPECT_TRUE(co_await disk_env().disk.replace_file(path, original->substr(0, cut)));
      EXPECT_EQ(reason(co_await load(store, saved->digest)), "saved_guest_damaged") << cut;
    }
    EXPECT_TRUE(co_await disk_env().disk.replace_file(path, *original + "x"));
    EXPECT_EQ(reason(co_await load(store, saved->digest)), "saved_guest_damaged");
    EXPECT_TRUE(co_await disk_env().disk.replace_file(path, *original));
    EXPECT_EQ(reason(co_await load(store, saved->digest)), "ok");
    EXPECT_EQ(reason(co_await store.check(saved->digest)), "ok");
  });
}

TEST_F(SavedStore, OneOfANewerProgramOrOfAnotherClusterIsRefusedWithThatReason) {
  run([this](Store& store) -> Task<void> {
    const auto saved = co_await save(store, state_of(2'000));
    const std::string path = path_of(*saved);
    const auto original = co_await disk_env().disk.read_file(path, 1 << 20);
    std::string newer = *original;
    newer.replace(newer.find("\"format\":1"), 10, "\"format\":2");
    EXPECT_TRUE(co_await disk_env().disk.replace_file(path, newer));
    EXPECT_EQ(reason(co_await store.read(saved->digest)), "saved_guest_newer");
    EXPECT_TRUE(co_await disk_env().disk.replace_file(path, *original));
    const auto other =
        co_await Store::open(disk_env(), kRoot, "0f39719e-5325-49a9-8273-28ced4b90002");
    EXPECT_EQ(reason(co_await (*other)->read(saved->digest)), "saved_guest_foreign");
    EXPECT_EQ(reason(co_await (*other)->check(saved->digest)), "ok") << "it is what was saved";
  });
}

TEST_F(SavedStore, OneThatUnpacksToMoreThanTheGuestHasIsRefused) {
  run([](Store& store) -> Task<void> {
    const auto writer = co_await store.create(header_of(VmId(7)));
    const std::string piece(std::size_t{1} << 20, 'x');
    for (int i = 0; i < 128 + 65; ++i)
      EXPECT_TRUE(co_await (*writer)->write(piece));
    const auto saved = co_await (*writer)->finish();
    const auto opened = co_await store.read(saved->digest);
    EXPECT_EQ(reason(co_await read_all(*opened->state)), "saved_guest_damaged");
  });
}

TEST_F(SavedStore, WhatWasGivenUpOrCutShortLeavesNothing) {
  run([this](Store& store) -> Task<void> {
    const auto given_up = co_await store.create(header_of(VmId(7)));
    EXPECT_TRUE(co_await (*given_up)->write("some"));
    co_await (*given_up)->discard();
    EXPECT_EQ(co_await files(), 0U);
    const auto cut = co_await store.create(header_of(VmId(7)));
    EXPECT_TRUE(co_await (*cut)->write("some"));
    EXPECT_EQ(co_await files(), 1U);
    const auto again = co_await Store::open(disk_env(), kRoot, kCluster);
    EXPECT_EQ(reason(again), "ok");
    EXPECT_EQ(co_await files(), 0U);
  });
}

TEST_F(SavedStore, IsThereAfterALossOfPower) {
  Saved saved;
  const std::string state = state_of(500'000);
  run([&](Store& store) -> Task<void> {
    const auto done = co_await save(store, state);
    EXPECT_EQ(reason(done), "ok");
    saved = *done;
  });
  machine_.lose_power();
  machine_.restart();
  run([&](Store& store) -> Task<void> {
    const auto back = co_await load(store, saved.digest);
    EXPECT_TRUE(back && *back == state) << reason(back);
  });
}

TEST_F(SavedStore, OneThatNobodyNamesIsRemoved) {
  run([this](Store& store) -> Task<void> {
    const auto kept = co_await save(store, state_of(2'000), VmId(7));
    const auto unneeded = co_await save(store, state_of(2'001), VmId(8));
    co_await store.keep_only([&](VmId vm, const image::Digest& digest) {
      return vm == VmId(7) && digest == kept->digest;
    });
    EXPECT_TRUE(store.has(kept->digest));
    EXPECT_EQ(reason(co_await store.read(unneeded->digest)), "saved_guest_not_here");
    EXPECT_EQ(co_await files(), 1U);
  });
}

// By whoever tidies up by hand: the node that asks is not to ask for ever.
TEST_F(SavedStore, WhatIsGoneFromTheDiskIsNotHere) {
  run([this](Store& store) -> Task<void> {
    const auto saved = co_await save(store, state_of(1000));
    const auto removed = co_await disk_env().disk.remove(path_of(*saved));
    EXPECT_TRUE(removed);
    EXPECT_EQ(reason(co_await store.piece(saved->digest, 0)), "saved_guest_not_here");
    EXPECT_EQ(reason(co_await store.read(saved->digest)), "saved_guest_not_here");
  });
}

TEST_F(SavedStore, IsCopiedFromAnotherNode) {
  run([this](Store& store) -> Task<void> {
    const std::string state = state_of(20'000'000);
    const auto saved = co_await save(store, state);
    EXPECT_GT(saved->size.value, 1U << 20);  // more than one piece
    const auto other = co_await Store::open(disk_env(), "/var/lib/other", kCluster);
    const Pieces pieces = [&](std::uint64_t offset) { return store.piece(saved->digest, offset); };
    EXPECT_EQ(reason(co_await (*other)->fetch(*saved, pieces)), "ok");
    const auto back = co_await load(**other, saved->digest);
    EXPECT_TRUE(back && *back == state);
  });
}

TEST_F(SavedStore, ACopyThatIsNotRightLeavesNothing) {
  run([this](Store& store) -> Task<void> {
    const auto saved = co_await save(store, state_of(20'000'000));
    const auto other = co_await Store::open(disk_env(), "/var/lib/other", kCluster);
    const auto refused =
        [&](std::function<void(std::string&, std::uint64_t)> damage) -> Task<std::string> {
      const Pieces pieces = [&](std::uint64_t offset) -> Task<Result<std::string>> {
        BLX_CO_TRY(std::string piece, co_await store.piece(saved->digest, offset));
        damage(piece, offset);
        co_return std::move(piece);
      };
      const auto fetched = co_await (*other)->fetch(*saved, pieces);
      EXPECT_FALSE((*other)->has(saved->digest));
      const auto left = co_await disk_env().disk.list("/var/lib/other");
      EXPECT_TRUE(left->empty());
      co_return reason(fetched);
    };
    EXPECT_EQ(co_await refused([](std::string& piece, std::uint64_t) { piece[5] ^= 1; }),
              "saved_guest_damaged");
    EXPECT_EQ(co_await refused([](std::string& piece, std::uint64_t at) {
                if (at != 0) piece.clear();
              }),
              "saved_guest_damaged");
    EXPECT_EQ(co_await refused([](std::string& piece, std::uint64_t) { piece += "longer"; }),
              "saved_guest_damaged");
    const auto gone =
        co_await (*other)->fetch(*saved, [](std::uint64_t) -> Task<Result<std::string>> {
          co_return fail(Code::kUnavailable, "peer_unreachable");
        });
    EXPECT_EQ(reason(gone), "peer_unreachable");
  });
}

TEST_F(SavedStore, TellsWhatItHasAndWhatItMoved) {
  const auto told = [](const Store* store) {
    observe::Metrics metrics;
    Store::register_metrics(metrics, store);
    std::string text;
    observe::write_text(metrics, observe::TextFormat::kPrometheus, text);
    return text;
  };
  EXPECT_THAT(told(nullptr), Not(HasSubstr("\nblixard_saved_guests")));
  run([&](Store& store) -> Task<void> {
    EXPECT_THAT(told(&store), HasSubstr("\nblixard_saved_guests 0\n"));
    const auto first = co_await save(store, state_of(100'000));
    const auto second = co_await save(store, state_of(200'000), VmId(8));
    const std::uint64_t all = first->size.value + second->size.value;
    EXPECT_THAT(told(&store), HasSubstr("\nblixard_saved_guests 2\n"));
    EXPECT_THAT(told(&store), HasSubstr(fmt::format("\nblixard_saved_guests_bytes {}\n", all)));
    const auto again = co_await Store::open(disk_env(), kRoot, kCluster);
    EXPECT_THAT(told(again->get()),
                HasSubstr(fmt::format("\nblixard_saved_guests_bytes {}\n", all)));
    const auto other = co_await Store::open(disk_env(), "/var/lib/other", kCluster);
    const Pieces pieces = [&](std::uint64_t offset) { return store.piece(first->digest, offset); };
    EXPECT_EQ(reason(co_await (*other)->fetch(*first, pieces)), "ok");
    const std::string moved =
        "\nblixard_saved_guests_transferred_bytes_total{{direction=\"{}\"}} {}\n";
    EXPECT_THAT(told(other->get()),
                HasSubstr(fmt::format(fmt::runtime(moved), "received", first->size.value)));
    EXPECT_THAT(told(other->get()), HasSubstr(fmt::format(fmt::runtime(moved), "sent", 0)));
    EXPECT_THAT(told(&store),
                HasSubstr(fmt::format(fmt::runtime(moved), "sent", first->size.value)));
    co_await store.keep_only([](VmId vm, const image::Digest&) { return vm == VmId(8); });
    EXPECT_THAT(told(&store),
                HasSubstr(fmt::format("\nblixard_saved_guests_bytes {}\n", second->size.value)));
  });
}

TEST_F(SavedStore, WithoutRoomOnTheDiskNothingIsBegun) {
  run([this](Store& store) -> Task<void> {
    machine_.set_disk_capacity(mib(300));
    EXPECT_EQ(reason(co_await store.create(header_of(VmId(7)))), "disk_full");
    EXPECT_EQ(co_await files(), 0U);
  });
}

}  // namespace
}  // namespace blixard::saved
