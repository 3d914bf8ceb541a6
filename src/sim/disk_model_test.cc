// The disk against a specification: after any sequence of writes, syncs, renames and losses of
// power, what was synced is there, and what was not is one of the outcomes that are allowed. And
// the damage that no file system forgives.

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Env;
using env::OpenMode;
using env::Task;

Task<void> keep(Result<void>& into, Task<Result<void>> task) { into = co_await std::move(task); }

// What a file may hold after a loss of power: each byte what it was at the last sync that covered
// it, or anything that was written there since.
class FileModel {
 public:
  void write(std::size_t offset, std::string_view bytes) {
    if (allowed_.size() < offset + bytes.size()) allowed_.resize(offset + bytes.size(), {'\0'});
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      allowed_[offset + i].insert(bytes[i]);
      pending_[offset + i] = bytes[i];
    }
  }
  void sync() {
    for (const auto& [at, byte] : pending_)
      allowed_[at] = {byte};
    if (!pending_.empty()) size_min_ = std::max(size_min_, pending_.rbegin()->first + 1);
    pending_.clear();
  }
  // Its data is lost or not, and no later sync will write it.
  void fail_sync() { pending_.clear(); }
  [[nodiscard]] bool allows(std::string_view content) const {
    if (content.size() < size_min_ || content.size() > allowed_.size()) return false;
    for (std::size_t i = 0; i < content.size(); ++i)
      if (!allowed_[i].contains(content[i])) return false;
    return true;
  }
  void is_now(std::string_view content) {
    *this = {};
    write(0, content);
    sync();
  }

 private:
  std::vector<std::set<char>> allowed_;
  std::map<std::size_t, char> pending_;
  std::size_t size_min_ = 0;
};

// The names of a directory may be those of any moment since its last sync.
using Names = std::map<std::string, std::size_t>;  // to the number of a file

struct Model {
  std::vector<FileModel> files;
  std::vector<Names> since{Names{}};
  [[nodiscard]] Names names() const { return since.back(); }
};

std::string path_of(std::uint64_t number) { return "/var/lib/d/" + std::to_string(number); }
constexpr std::uint64_t kPaths = 4;

class Storm {
 public:
  Storm(World& world, Machine& machine, SeededRandom random)
      : world_(world), machine_(machine), random_(random) {}

  int rounds_with_loss = 0;

  // False: the disk has something that no rule allows.
  bool play() {
    for (int round = 0; round < 4; ++round) {
      Result<void> result;
      EXPECT_TRUE(world_.run(keep(result, act(machine_.env()))));
      EXPECT_TRUE(result) << result.error().message();
      machine_.lose_power();
      if (!take_stock()) return false;
      machine_.restart();
    }
    return true;
  }

 private:
  Task<Result<void>> act(Env env) {
    BLX_CO_TRY(co_await env.disk.make_directory("/var/lib/d"));
    BLX_CO_TRY(co_await env.disk.sync_directory("/var/lib"));
    for (std::uint64_t i = random_.below(30); i > 0; --i) {
      const std::string path = path_of(random_.below(kPaths));
      switch (random_.below(8)) {
        case 0: {
          const std::string to = path_of(random_.below(kPaths));
          Names names = model_.names();
          if (!names.contains(path)) break;
          BLX_CO_TRY(co_await env.disk.rename(path, to));
          const std::size_t file = names.extract(path).mapped();
          names[to] = file;
          model_.since.push_back(names);
          break;
        }
        case 1: {
          Names names = model_.names();
          if (names.erase(path) == 0) break;
          BLX_CO_TRY(co_await env.disk.remove(path));
          model_.since.push_back(names);
          break;
        }
        case 2:
          BLX_CO_TRY(co_await env.disk.sync_directory("/var/lib/d"));
          model_.since = {model_.names()};
          break;
        default:
          BLX_CO_TRY(co_await write(env, path));
      }
    }
    co_return Result<void>();
  }

  Task<Result<void>> write(Env env, std::string path) {
    Names names = model_.names();
    BLX_CO_TRY(auto file, co_await env.disk.open(path, OpenMode::kCreate));
    if (!names.contains(path)) {
      names[path] = model_.files.size();
      model_.files.emplace_back();
      model_.since.push_back(names);
    }
    FileModel& model = model_.files[names[path]];
    const std::string bytes = random_.hex(1 + random_.below(1500));
    const std::uint64_t offset = random_.below(3000);
    const std::array<std::string_view, 2> parts{
        std::string_view(bytes).substr(0, 9),
        std::string_view(bytes).substr(std::min<std::size_t>(9, bytes.size()))};
    BLX_CO_TRY(co_await file->write_at(offset, parts));
    model.write(offset, bytes);
    switch (random_.below(6)) {
      case 0:
        machine_.disk_faults().fail_next_sync_below = path;
        EXPECT_FALSE(co_await file->sync());
        model.fail_sync();
        break;
      case 1:
      case 2:
        BLX_CO_TRY(co_await file->sync());
        model.sync();
        break;
      default:
        break;
    }
    co_return Result<void>();
  }

  bool take_stock() {
    std::map<std::string, std::string> left;
    for (std::uint64_t i = 0; i < kPaths; ++i)
      if (auto content = machine_.content(path_of(i))) left[path_of(i)] = std::move(*content);
    const auto allows = [&](const Names& names) {
      return std::ranges::equal(names, left, [&](const auto& name, const auto& found) {
        return name.first == found.first && model_.files[name.second].allows(found.second);
      });
    };
    if (std::ranges::none_of(model_.since, allows)) return false;
    rounds_with_loss += allows(model_.names()) ? 0 : 1;
    model_ = {};
    for (const auto& [path, content] : left) {
      model_.since.back()[path] = model_.files.size();
      model_.files.emplace_back().is_now(content);
    }
    return true;
  }

  World& world_;
  Machine& machine_;
  SeededRandom random_;
  Model model_;
};

TEST(DiskModel, WhatWasSyncedIsThereAndTheRestIsAllowed) {
  int lossy = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    World world(seed);
    Machine& machine = world.add_machine("a");
    Storm storm(world, machine, SeededRandom(seed + 1'000));
    ASSERT_TRUE(storm.play()) << "seed " << seed;
    lossy += storm.rounds_with_loss;
  }
  EXPECT_GT(lossy, 200);
}

class DamageTest : public testing::Test {
 protected:
  DamageTest() : world(1), machine(world.add_machine("a")) {}

  void run(Task<Result<void>> task) {
    Result<void> result;
    EXPECT_TRUE(world.run(keep(result, std::move(task))));
    EXPECT_TRUE(result) << result.error().message();
  }

  World world;
  Machine& machine;
};

Task<Result<void>> store(Env env) {
  BLX_CO_TRY(co_await env.disk.make_directory("/log/deep"));
  BLX_CO_TRY(co_await env.disk.sync_directory("/"));
  BLX_CO_TRY(co_await env.disk.sync_directory("/log"));
  BLX_CO_TRY(co_await env.disk.replace_file("/log/a", std::string(5000, 'a')));
  BLX_CO_TRY(co_await env.disk.replace_file("/log/deep/b", std::string(10, 'b')));
  BLX_CO_TRY(co_await env.disk.replace_file("/log/empty", ""));
  co_return co_await env.disk.replace_file("/var/lib/c", std::string(5000, 'c'));
}

int bits_that_differ(std::string_view one, std::string_view other) {
  int count = one.size() == other.size() ? 0 : 1'000'000;
  for (std::size_t i = 0; i < std::min(one.size(), other.size()); ++i)
    count += std::popcount(static_cast<unsigned char>(one[i] ^ other[i]));
  return count;
}

TEST_F(DamageTest, RotFlipsOneStoredBit) {
  EXPECT_EQ(machine.rot("/log", 1), std::nullopt);
  run(store(machine.env()));
  std::set<std::string> struck;
  std::set<std::string> contents;
  for (std::uint64_t where = 0; where < 50; ++where) {
    std::map<std::string, std::string> before;
    for (const char* path : {"/log/a", "/log/deep/b", "/log/empty", "/var/lib/c"})
      before[path] = machine.content(path).value();
    const auto path = machine.rot("/log", where);
    ASSERT_TRUE(path);
    struck.insert(*path);
    for (const auto& [name, content] : before) {
      const int expected = name == *path ? 1 : 0;
      EXPECT_EQ(bits_that_differ(machine.content(name).value(), content), expected) << name;
      EXPECT_EQ(bits_that_differ(machine.durable_content(name).value(), content), expected);
    }
    contents.insert(machine.content(*path).value());
  }
  EXPECT_EQ(struck, (std::set<std::string>{"/log/a", "/log/deep/b"}));
  EXPECT_GT(contents.size(), 40u);  // not the same place again and again
}

Task<Result<void>> write_at(Env env, std::string path, std::uint64_t offset, std::string bytes) {
  BLX_CO_TRY(auto file, co_await env.disk.open(path, OpenMode::kReadWrite));
  const std::array<std::string_view, 2> parts{std::string_view(bytes).substr(0, 1),
                                              std::string_view(bytes).substr(1)};
  co_return co_await file->write_and_sync(offset, parts);
}

TEST_F(DamageTest, AMisdirectedWriteLandsElsewhereInItsFile) {
  run(store(machine.env()));
  std::set<std::size_t> places;
  for (std::uint64_t where = 0; where < 40; ++where) {
    machine.misdirect_next_write("/log", where);
    run(write_at(machine.env(), "/var/lib/c", 0, "fine"));  // another folder
    EXPECT_TRUE(machine.content("/var/lib/c")->starts_with("fine"));
    const std::string before = machine.content("/log/a").value();
    const std::string bytes = "wrong" + std::to_string(where);
    run(write_at(machine.env(), "/log/a", 1000, bytes));
    const std::string after = machine.durable_content("/log/a").value();
    EXPECT_EQ(after.substr(1000, bytes.size()), before.substr(1000, bytes.size()));
    const std::size_t at = after.find(bytes);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(at % 512, 1000u % 512);
    places.insert(at);
    run(write_at(machine.env(), "/log/a", 1000, bytes));  // once
    EXPECT_EQ(machine.content("/log/a")->substr(1000, bytes.size()), bytes);
  }
  EXPECT_GT(places.size(), 4u);
  // What should have made the file longer has done so, with nothing in it.
  machine.misdirect_next_write("/log/deep/b", 3);
  run(write_at(machine.env(), "/log/deep/b", 10, "more"));
  EXPECT_EQ(machine.content("/log/deep/b")->substr(0, 14),
            std::string(10, 'b') + std::string(4, '\0'));
}

TEST_F(DamageTest, ANewDiskIsEmpty) {
  run(store(machine.env()));
  machine.set_disk_capacity(kib(32));
  machine.lose_power();
  machine.replace_disk();
  machine.restart();
  EXPECT_EQ(machine.content("/log/a"), std::nullopt);
  EXPECT_EQ(machine.durable_content("/var/lib/c"), std::nullopt);
  EXPECT_EQ(machine.rot("/", 1), std::nullopt);
  run(store(machine.env()));  // there is room, and the first directories
  machine.lose_power();
  EXPECT_EQ(machine.content("/log/a"), std::string(5000, 'a'));
}

}  // namespace
}  // namespace blixard::sim
