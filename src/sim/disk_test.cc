#include <array>
#include <set>

#include "sim/file_system.h"
#include "sim/world.h"

namespace blixard::sim {
namespace {

using env::Env;
using env::OpenMode;
using env::Task;

Task<void> keep(Result<void>& into, Task<Result<void>> task) { into = co_await std::move(task); }

class DiskTest : public testing::Test {
 protected:
  explicit DiskTest(std::uint64_t seed = 1) : world(seed), machine(world.add_machine("a")) {}

  Result<void> run(Task<Result<void>> task) {
    Result<void> result;
    EXPECT_TRUE(world.run(keep(result, std::move(task))));
    return result;
  }

  World world;
  Machine& machine;
};

// What a file may hold after a loss of power, byte by byte: what it held at the last sync, or
// anything written there since.
class FileModel {
 public:
  static constexpr std::size_t kBytes = 8192;

  FileModel() : allowed_(kBytes, {'\0'}) {}
  void write(std::size_t offset, std::string_view bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      allowed_[offset + i].insert(bytes[i]);
      now_[offset + i] = bytes[i];
    }
  }
  void sync() {
    for (std::size_t i = 0; i < kBytes; ++i)
      allowed_[i] = {now_[i]};
  }
  [[nodiscard]] bool allows(std::string_view content) const {
    if (content.size() != kBytes) return false;
    for (std::size_t i = 0; i < kBytes; ++i)
      if (!allowed_[i].contains(content[i])) return false;
    return true;
  }
  [[nodiscard]] const std::string& now() const { return now_; }

 private:
  std::vector<std::set<char>> allowed_;
  std::string now_ = std::string(kBytes, '\0');
};

Task<Result<void>> write_at_random(Env env, FileModel& model) {
  BLX_CO_TRY(auto file, co_await env.disk.open("/var/lib/data", OpenMode::kCreate));
  BLX_CO_TRY(co_await env.disk.sync_directory("/var/lib"));
  BLX_CO_TRY(co_await file->preallocate(FileModel::kBytes));
  BLX_CO_TRY(co_await file->sync());
  const std::uint64_t writes = 1 + env.random.below(8);
  for (std::uint64_t i = 0; i < writes; ++i) {
    const std::string bytes = env.random.hex(1 + env.random.below(1500));
    const std::uint64_t offset = env.random.below(FileModel::kBytes - bytes.size());
    const std::array<std::string_view, 2> parts{std::string_view(bytes).substr(0, 1),
                                                std::string_view(bytes).substr(1)};
    BLX_CO_TRY(co_await file->write_at(offset, parts));
    model.write(offset, bytes);
    if (env.random.below(4) == 0) {
      BLX_CO_TRY(co_await file->sync());
      model.sync();
    }
  }
  co_return Result<void>();
}

TEST(DiskSeeds, PowerLossKeepsWhatWasSynced) {
  int complete = 0;
  int partial = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    World world(seed);
    Machine& machine = world.add_machine("a");
    FileModel model;
    Result<void> result;
    ASSERT_TRUE(world.run(keep(result, write_at_random(machine.env(), model))));
    ASSERT_TRUE(result) << result.error().message();
    ASSERT_EQ(machine.content("/var/lib/data"), model.now());
    machine.lose_power();
    const auto left = machine.content("/var/lib/data");
    ASSERT_TRUE(left) << "seed " << seed;
    EXPECT_TRUE(model.allows(*left)) << "seed " << seed;
    ++(*left == model.now() ? complete : partial);
  }
  EXPECT_GT(complete, 10);
  EXPECT_GT(partial, 100);
}

// A log: records are acknowledged when synced; power goes at any moment, in the midst of writes
// and syncs too.
Task<void> append_records(Env env, int& acknowledged) {
  auto file = co_await env.disk.open("/var/lib/log", OpenMode::kCreate);
  if (!file || !co_await env.disk.sync_directory("/var/lib")) co_return;
  for (int i = 0;; ++i) {
    const std::string record(700, static_cast<char>('a' + i % 26));
    const std::array<std::string_view, 1> parts{record};
    if (!co_await (*file)->write_at(static_cast<std::uint64_t>(i) * 700, parts)) co_return;
    if (!co_await (*file)->sync()) co_return;
    acknowledged = i + 1;
  }
}

TEST(DiskSeeds, AcknowledgedRecordsSurvivePowerLossAtAnyMoment) {
  int torn = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    int acknowledged = 0;
    World world(seed);
    Machine& machine = world.add_machine("a");
    machine.start(append_records(machine.env(), acknowledged));
    Result<void> slept;
    const Duration until = Duration(5ms) + seed * Duration(37us);
    ASSERT_TRUE(world.run(keep(slept, machine.env().clock.sleep(until))));
    machine.lose_power();
    const std::string left = machine.content("/var/lib/log").value_or("");
    ASSERT_GE(left.size(), static_cast<std::size_t>(acknowledged) * 700) << "seed " << seed;
    for (int i = 0; i < acknowledged; ++i) {
      const std::string record(700, static_cast<char>('a' + i % 26));
      ASSERT_EQ(left.substr(static_cast<std::size_t>(i) * 700, 700), record) << "seed " << seed;
    }
    torn += left.size() % 700 != 0 ? 1 : 0;
    machine.restart();
  }
  EXPECT_GT(torn, 0);
}

// Names after a loss of power are those of one moment since the last sync of the directory.
TEST(DiskSeeds, NamesAreOfOneMomentSinceTheLastSync) {
  int old = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SeededRandom random(seed);
    FileSystem files(seed);
    ASSERT_TRUE(files.make_directory("/var/lib/d"));
    ASSERT_TRUE(files.sync_directory("/var/lib"));
    using State = std::map<std::string, std::uint64_t>;
    std::vector<State> since{State{}};
    for (int i = 0; i < 20; ++i) {
      const std::string name = "/var/lib/d/" + std::to_string(random.below(4));
      const std::string other = "/var/lib/d/" + std::to_string(random.below(4));
      switch (random.below(4)) {
        case 0:
          (void)files.open(name, OpenMode::kCreate);
          break;
        case 1:
          (void)files.rename(name, other);
          break;
        case 2:
          (void)files.remove(name);
          break;
        default:
          if (random.below(3) != 0) continue;
          ASSERT_TRUE(files.sync_directory("/var/lib/d"));
          since.clear();
      }
      State now;
      for (const auto& [entry, inode] : (*files.find("/var/lib/d"))->names)
        now[entry] = inode->id;
      since.push_back(now);
    }
    const State last = since.back();
    files.lose_power();
    State left;
    for (const auto& [entry, inode] : (*files.find("/var/lib/d"))->names)
      left[entry] = inode->id;
    EXPECT_THAT(since, testing::Contains(left)) << "seed " << seed;
    old += left != last ? 1 : 0;
  }
  EXPECT_GT(old, 50);
}

TEST(DiskSeeds, RenameBetweenDirectoriesIsInBothOrNeither) {
  int moved = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    FileSystem files(seed);
    for (const char* path : {"/var/lib/x", "/var/lib/y"})
      ASSERT_TRUE(files.make_directory(path));
    ASSERT_TRUE(files.sync_directory("/var/lib"));
    ASSERT_TRUE(files.open("/var/lib/x/f", OpenMode::kCreate));
    ASSERT_TRUE(files.sync_directory("/var/lib/x"));
    ASSERT_TRUE(files.rename("/var/lib/x/f", "/var/lib/y/f"));
    if (seed % 2 == 0) ASSERT_TRUE(files.sync_directory("/var/lib/y"));
    files.lose_power();
    const bool in_x = files.find("/var/lib/x/f").has_value();
    const bool in_y = files.find("/var/lib/y/f").has_value();
    EXPECT_NE(in_x, in_y) << "seed " << seed;
    if (seed % 2 == 0) EXPECT_TRUE(in_y);
    moved += in_y && seed % 2 == 1 ? 1 : 0;
  }
  EXPECT_GT(moved, 10);
  EXPECT_LT(moved, 40);
}

Task<Result<void>> replace_twice(Env env) {
  BLX_CO_TRY(co_await env.disk.replace_file("/var/lib/f", "first"));
  BLX_CO_TRY(co_await env.disk.replace_file("/run/f", "memory"));
  co_return co_await env.disk.replace_file("/var/lib/f", "second");
}

TEST_F(DiskTest, ReplacedFileSurvivesAndRunDoesNot) {
  ASSERT_TRUE(run(replace_twice(machine.env())));
  machine.lose_power();
  EXPECT_EQ(machine.content("/var/lib/f"), "second");
  EXPECT_EQ(machine.content("/run/f"), std::nullopt);
}

Task<Result<void>> fill(Env env) {
  BLX_CO_TRY(auto file, co_await env.disk.open("/var/lib/f", OpenMode::kCreate));
  BLX_CO_TRY(co_await file->preallocate(64 << 10));
  const auto refused = co_await env.disk.replace_file("/var/lib/g", std::string(10 << 10, 'x'));
  EXPECT_EQ(refused.error().reason(), "disk_full");
  // What was preallocated can still be written.
  const std::string whole(64 << 10, 'y');
  const std::array<std::string_view, 1> parts{whole};
  BLX_CO_TRY(co_await file->write_at(0, parts));
  BLX_CO_TRY(const env::DiskSpace space, co_await env.disk.space("/var/lib"));
  EXPECT_EQ(space.available.value, 4096);
  file.reset();
  BLX_CO_TRY(co_await env.disk.remove("/var/lib/f"));
  BLX_CO_TRY(co_await env.disk.sync_directory("/var/lib"));
  co_return co_await env.disk.replace_file("/var/lib/g", std::string(10 << 10, 'x'));
}

TEST_F(DiskTest, FullDiskKeepsPreallocatedSpace) {
  machine.set_disk_capacity(kib(68));
  EXPECT_TRUE(run(fill(machine.env())));
}

Task<Result<void>> sync_twice(Env env) {
  BLX_CO_TRY(auto file, co_await env.disk.open("/var/lib/f", OpenMode::kCreate));
  BLX_CO_TRY(co_await env.disk.sync_directory("/var/lib"));
  const std::string whole(64 << 10, 'y');
  const std::array<std::string_view, 1> parts{whole};
  BLX_CO_TRY(co_await file->write_at(0, parts));
  EXPECT_EQ((co_await file->sync()).error().reason(), "io_error");
  BLX_CO_TRY(co_await file->sync());
  BLX_CO_TRY(const std::string seen, co_await env.disk.read_file("/var/lib/f", 1 << 20));
  EXPECT_EQ(seen, whole);
  co_return Result<void>();
}

// The trap of fsync: the second one succeeds and the data is not there.
TEST(DiskSeeds, FailedSyncLosesDataThoughTheNextSucceeds) {
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    World world(seed);
    Machine& machine = world.add_machine("a");
    machine.disk_faults().fail_next_sync_below = "/var/lib/f";
    Result<void> result;
    ASSERT_TRUE(world.run(keep(result, sync_twice(machine.env()))));
    ASSERT_TRUE(result) << result.error().message();
    machine.lose_power();
    lost += machine.content("/var/lib/f") != std::string(64 << 10, 'y') ? 1 : 0;
  }
  EXPECT_GT(lost, 5);
}

Task<Result<void>> lock_and_fault(Env env, Machine& machine) {
  BLX_CO_TRY(co_await env.disk.make_directory("/var/lib/d"));
  BLX_CO_TRY(auto lock, co_await env.disk.lock("/var/lib/d"));
  const auto second = co_await env.disk.lock("/var/lib/d");
  EXPECT_EQ(second.error().reason(), "directory_in_use");
  BLX_CO_TRY(co_await env.disk.replace_file("/var/lib/d/f", "abc"));
  BLX_CO_TRY(co_await env.disk.set_mode("/var/lib/d/f", 0640, env::Owner{7, 8}));
  EXPECT_EQ(machine.mode("/var/lib/d/f"), 0640u);
  EXPECT_EQ(machine.owner("/var/lib/d/f")->gid, 8u);
  machine.corrupt("/var/lib/d/f", 1);
  BLX_CO_TRY(const std::string damaged, co_await env.disk.read_file("/var/lib/d/f", 10));
  EXPECT_EQ(damaged, "a\"c");
  machine.disk_faults().io_error_below = "/var/lib/d";
  const auto refused = co_await env.disk.read_file("/var/lib/d/f", 10);
  EXPECT_EQ(refused.error().reason(), "io_error");
  machine.disk_faults().io_error_below.clear();
  // The lock is still held when the daemon is killed, and free for the next one.
  machine.crash_daemon();
  machine.restart();
  co_return Result<void>();
}

Task<Result<void>> lock_again(Env env) {
  BLX_CO_TRY(auto lock, co_await env.disk.lock("/var/lib/d"));
  co_return Result<void>();
}

TEST_F(DiskTest, LockModeCorruptionAndErrors) {
  const auto result = run(lock_and_fault(machine.env(), machine));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(run(lock_again(machine.env())));
}

Task<Result<void>> write_forever(Env env, int& done) {
  BLX_CO_TRY(auto file, co_await env.disk.open("/var/lib/f", OpenMode::kCreate));
  const std::string block(1000, 'z');
  const std::array<std::string_view, 1> parts{block};
  while (true) {
    BLX_CO_TRY(co_await file->write_at(static_cast<std::uint64_t>(done) * 1000, parts));
    ++done;
  }
}

Task<void> forget(Task<Result<void>> task) {
  ignore(co_await std::move(task), "the crash ends it");
}

// kill -9 loses nothing that was written, and of the write under way a first part is there.
TEST(DiskSeeds, CrashOfTheDaemonKeepsUnsyncedData) {
  int partial = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    int done = 0;
    World world(seed);
    Machine& machine = world.add_machine("a");
    machine.start(forget(write_forever(machine.env(), done)));
    Result<void> slept;
    ASSERT_TRUE(world.run(keep(slept, machine.env().clock.sleep(5ms))));
    machine.crash_daemon();
    const int before = done;
    const std::string left = machine.content("/var/lib/f").value();
    EXPECT_EQ(left.find_first_not_of('z'), std::string::npos);
    EXPECT_GE(left.size(), static_cast<std::size_t>(before) * 1000);
    EXPECT_LE(left.size(), static_cast<std::size_t>(before + 1) * 1000);
    partial += left.size() % 1000 != 0 ? 1 : 0;
    machine.restart();
    ASSERT_TRUE(world.run(keep(slept, machine.env().clock.sleep(1s))));
    EXPECT_EQ(machine.content("/var/lib/f"), left);
    EXPECT_EQ(done, before);
  }
  EXPECT_GT(partial, 20);
}

TEST(Content, SparseReadsWritesAndTruncation) {
  Content content;
  content.write(10'000, "abc");
  EXPECT_EQ(content.size(), 10'003u);
  EXPECT_EQ(content.pages(), 1u);
  std::array<char, 4> buffer{};
  EXPECT_EQ(content.read(9'999, buffer), 4u);
  EXPECT_EQ(std::string_view(buffer.data(), 4), std::string_view("\0abc", 4));
  content.resize(10'001);
  content.resize(20'000);
  EXPECT_EQ(content.read(10'000, buffer), 4u);
  EXPECT_EQ(std::string_view(buffer.data(), 4), std::string_view("a\0\0\0", 4));
  EXPECT_EQ(content.pages_missing(8'000, 9'000), 3u);
}

}  // namespace
}  // namespace blixard::sim
