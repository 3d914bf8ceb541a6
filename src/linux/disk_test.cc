#include "linux/disk.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <array>
#include <fstream>

#include <gtest/gtest.h>

#include "linux/test_runtime.h"

namespace blixard::linux_side {
namespace {

using env::OpenMode;
using DiskTest = RuntimeTest;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(DiskTest, WritesReadsAndGrows) {
  run([this](env::Env env) -> env::Task<void> {
    auto file = co_await env.disk.open(path("f"), OpenMode::kCreateNew);
    BLX_CO_ASSERT(file);
    const std::array<std::string_view, 4> parts{"ab", "", "cde", "f"};
    EXPECT_EQ(reason_of(co_await (*file)->write_at(3, parts)), "ok");
    EXPECT_EQ((co_await (*file)->size()).value(), 9u);
    EXPECT_EQ(reason_of(co_await (*file)->sync()), "ok");
    std::string buffer(20, '?');
    EXPECT_EQ((co_await (*file)->read_at(0, buffer)).value(), 9u);
    EXPECT_EQ(buffer.substr(0, 9), std::string("\0\0\0abcdef", 9));
    EXPECT_EQ((co_await (*file)->read_at(100, buffer)).value(), 0u);
    EXPECT_EQ(reason_of(co_await (*file)->resize(4)), "ok");
    EXPECT_EQ(content_of(path("f")), std::string("\0\0\0a", 4));
    EXPECT_EQ(reason_of(co_await (*file)->write_at(0, {})), "ok");
    struct stat status{};
    EXPECT_EQ(stat(path("f").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
  });
}

TEST_F(DiskTest, PreallocatedSpaceIsWrittenAndWhatWasThereStays) {
  run([this](env::Env env) -> env::Task<void> {
    auto file = co_await env.disk.open(path("f"), OpenMode::kCreate);
    BLX_CO_ASSERT(file);
    const std::array<std::string_view, 2> parts{"abc", "def"};
    EXPECT_EQ(reason_of(co_await (*file)->write_and_sync(4, parts)), "ok");
    EXPECT_EQ(reason_of(co_await (*file)->preallocate(3'000'000)), "ok");
    EXPECT_EQ(reason_of(co_await (*file)->preallocate(1000)), "ok");  // it has that already
    EXPECT_EQ(reason_of(co_await (*file)->sync()), "ok");
    std::string expected(3'000'000, '\0');
    expected.replace(4, 6, "abcdef");
    EXPECT_EQ(content_of(path("f")) == expected, true);
    struct stat status{};
    EXPECT_EQ(stat(path("f").c_str(), &status), 0);
    EXPECT_GE(status.st_blocks * 512, 3'000'000);
  });
}

TEST_F(DiskTest, ManyPartsAndLongReads) {
  run([this](env::Env env) -> env::Task<void> {
    auto file = co_await env.disk.open(path("f"), OpenMode::kCreate);
    BLX_CO_ASSERT(file);
    std::string all;
    for (int i = 0; i < 300'000; ++i)
      all += static_cast<char>(i * 7 % 251);
    std::vector<std::string_view> parts;
    for (std::size_t at = 0, size = 1; at < all.size(); at += size, size = size % 997 + 1)
      parts.push_back(std::string_view(all).substr(at, size));
    EXPECT_GT(parts.size(), 300u);
    EXPECT_EQ(reason_of(co_await (*file)->write_at(0, parts)), "ok");
    for (const std::size_t size : {std::size_t{1}, std::size_t{65'536}, all.size() + 10}) {
      std::string buffer(size, '?');
      EXPECT_EQ((co_await (*file)->read_at(5, buffer)).value(), std::min(size, all.size() - 5));
      EXPECT_TRUE(buffer.starts_with(std::string_view(all).substr(5, size)));
    }
  });
}

TEST_F(DiskTest, OpenModes) {
  run([this](env::Env env) -> env::Task<void> {
    const auto open = [&](OpenMode mode) { return env.disk.open(path("f"), mode); };
    EXPECT_EQ(reason_of(co_await open(OpenMode::kRead)), "file_missing");
    EXPECT_EQ(reason_of(co_await open(OpenMode::kReadWrite)), "file_missing");
    EXPECT_EQ(reason_of(co_await open(OpenMode::kCreateNew)), "ok");
    EXPECT_EQ((co_await open(OpenMode::kCreateNew)).error().code(), Code::kAlreadyExists);
    EXPECT_EQ(reason_of(co_await open(OpenMode::kCreate)), "ok");
    auto reader = co_await open(OpenMode::kRead);
    BLX_CO_ASSERT(reader);
    const std::array<std::string_view, 1> parts{"x"};
    EXPECT_FALSE((co_await (*reader)->write_at(0, parts)).has_value());
    EXPECT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_EQ(reason_of(co_await env.disk.open(path("pipe"), OpenMode::kRead)), "path_invalid");
    EXPECT_FALSE((co_await env.disk.open("/tmp", OpenMode::kRead)).has_value());
    const auto missing = co_await env.disk.open(path("no/f"), OpenMode::kCreate);
    EXPECT_EQ(missing.error().code(), Code::kNotFound);
    EXPECT_TRUE(std::string(missing.error().detail()).contains(path("no/f")));
  });
}

TEST_F(DiskTest, DirectoriesAndNames) {
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.disk.make_directory(path("a/b/c"))), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.make_directory(path("a/b/c"))), "ok");
    struct stat status{};
    EXPECT_EQ(stat(path("a/b").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u);
    EXPECT_EQ(reason_of(co_await env.disk.replace_file(path("a/two"), "22")), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.replace_file(path("a/one"), "1")), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.make_directory(path("a/one"))), "file_exists");
    EXPECT_EQ(reason_of(co_await env.disk.make_directory(path("a/one/x"))), "file_missing");
    const auto entries = (co_await env.disk.list(path("a"))).value();
    EXPECT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].name, "b");
    EXPECT_TRUE(entries[0].is_directory);
    EXPECT_EQ(entries[1].name, "one");
    EXPECT_EQ(entries[2].size, 2u);
    EXPECT_EQ(reason_of(co_await env.disk.list(path("none"))), "file_missing");
    EXPECT_EQ(reason_of(co_await env.disk.rename(path("a/one"), path("a/two"))), "ok");
    EXPECT_EQ((co_await env.disk.read_file(path("a/two"), 10)).value(), "1");
    EXPECT_EQ(reason_of(co_await env.disk.sync_directory(path("a"))), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.sync_directory(path("none"))), "file_missing");
    EXPECT_EQ(reason_of(co_await env.disk.remove(path("a"))), "directory_not_empty");
    EXPECT_EQ(reason_of(co_await env.disk.remove(path("a/two"))), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.remove(path("a/two"))), "file_missing");
    EXPECT_EQ(reason_of(co_await env.disk.remove(path("a/b/c"))), "ok");
  });
}

TEST_F(DiskTest, RemoveTreeStaysInside) {
  run([this](env::Env env) -> env::Task<void> {
    std::filesystem::create_directories(path("tree/x/y"));
    std::filesystem::create_directories(path("outside"));
    std::ofstream(path("outside/precious")) << "1";
    std::ofstream(path("tree/x/f")) << "1";
    std::filesystem::create_symlink(path("outside"), path("tree/x/link"));
    EXPECT_EQ(reason_of(co_await env.disk.remove_tree(path("tree"))), "ok");
    EXPECT_FALSE(std::filesystem::exists(path("tree")));
    EXPECT_TRUE(std::filesystem::exists(path("outside/precious")));
    EXPECT_EQ(reason_of(co_await env.disk.remove_tree(path("tree"))), "ok");
  });
}

TEST_F(DiskTest, ReadFileIsBounded) {
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.disk.replace_file(path("f"), "12345")), "ok");
    EXPECT_EQ((co_await env.disk.read_file(path("f"), 5)).value(), "12345");
    EXPECT_EQ(reason_of(co_await env.disk.read_file(path("f"), 4)), "file_too_large");
  });
}

TEST_F(DiskTest, SpaceIsMeasured) {
  run([this](env::Env env) -> env::Task<void> {
    const auto space = (co_await env.disk.space(path(""))).value();
    EXPECT_GT(space.total, space.available);
    EXPECT_GT(space.available, Bytes(0));
  });
}

TEST_F(DiskTest, ModesAndOwners) {
  run([this](env::Env env) -> env::Task<void> {
    EXPECT_EQ(reason_of(co_await env.disk.replace_file(path("f"), "x")), "ok");
    EXPECT_EQ(reason_of(co_await env.disk.set_mode(path("f"), 0640, std::nullopt)), "ok");
    struct stat status{};
    EXPECT_EQ(stat(path("f").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0640u);
    std::filesystem::create_symlink("/etc/passwd", path("link"));
    EXPECT_EQ(reason_of(co_await env.disk.set_mode(path("link"), 0666, std::nullopt)),
              "path_invalid");
    if (geteuid() != 0) co_return;
    EXPECT_EQ(reason_of(co_await env.disk.set_mode(path("f"), 0600,
                                                   env::Owner{.uid = 65534, .gid = 65534})),
              "ok");
    EXPECT_EQ(stat(path("f").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 65534u);
  });
}

TEST_F(DiskTest, ALockHasOneHolderAndEndsWithIt) {
  run([this](env::Env env) -> env::Task<void> {
    auto lock = co_await env.disk.lock(path(""));
    BLX_CO_ASSERT(lock);
    auto second = co_await env.disk.lock(path(""));
    EXPECT_EQ(reason_of(second), "directory_in_use");
    EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
    // A child does not inherit it.
    auto child = co_await env.process.spawn({.executable = "/bin/sleep", .arguments = {"1000"}});
    BLX_CO_ASSERT(child);
    lock->reset();
    EXPECT_EQ(reason_of(co_await env.disk.lock(path(""))), "ok");
    EXPECT_TRUE((*child)->kill(env::Kill::kNow).has_value());
    EXPECT_TRUE((co_await (*child)->wait()).has_value());
  });
}

TEST_F(DiskTest, AFullDiskIsToldApart) {
  std::filesystem::create_directory(path("small"));
  if (mount("tmpfs", path("small").c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "needs root, to mount a small file system";
  }
  run([this](env::Env env) -> env::Task<void> {
    auto file = co_await env.disk.open(path("small/f"), OpenMode::kCreate);
    BLX_CO_ASSERT(file);
    EXPECT_EQ(reason_of(co_await (*file)->preallocate(128 << 10)), "ok");
    EXPECT_EQ((co_await (*file)->size()).value(), 128u << 10);
    const auto too_much = co_await (*file)->preallocate(1 << 20);
    EXPECT_EQ(reason_of(too_much), "disk_full");
    EXPECT_EQ(too_much.error().code(), Code::kResourceExhausted);
    const std::string text(1 << 20, 'x');
    const std::array<std::string_view, 1> parts{text};
    EXPECT_EQ(reason_of(co_await (*file)->write_at(0, parts)), "disk_full");
    EXPECT_EQ(reason_of(co_await (*file)->write_and_sync(0, parts)), "disk_full");
    EXPECT_EQ(reason_of(co_await env.disk.replace_file(path("small/g"), text)), "disk_full");
  });
  EXPECT_EQ(umount(path("small").c_str()), 0);
}

TEST_F(DiskTest, TheLimitOfAFileIsAFullDiskToo) {
  run([this](env::Env env) -> env::Task<void> {
    auto file = co_await env.disk.open(path("f"), OpenMode::kCreate);
    BLX_CO_ASSERT(file);
    rlimit before{};
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small{.rlim_cur = 4096, .rlim_max = before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::array<std::string_view, 1> parts{"x"};
    const auto written = co_await (*file)->write_at(8192, parts);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(reason_of(written), "disk_full");
  });
}

TEST_F(DiskTest, ACancelledOperationStillGivesItsResult) {
  run([this](env::Env env) -> env::Task<void> {
    std::string reason;
    const auto body = [&]() -> env::Task<void> {
      reason = reason_of(co_await env.disk.replace_file(path("f"), "x"));
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(body());
    scope.cancel();
    co_await scope.join();
    EXPECT_EQ(reason, "ok");
    EXPECT_EQ(content_of(path("f")), "x");
  });
}

TEST_F(DiskTest, ManyOperationsAtOnce) {
  run([this](env::Env env) -> env::Task<void> {
    int good = 0;
    const auto body = [&](int number) -> env::Task<void> {
      const std::string name = path("f" + std::to_string(number));
      if (!co_await env.disk.replace_file(name, std::to_string(number))) co_return;
      const auto content = co_await env.disk.read_file(name, 10);
      if (content && *content == std::to_string(number)) ++good;
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    for (int i = 0; i < 100; ++i)
      scope.spawn(body(i));
    co_await scope.join();
    EXPECT_EQ(good, 100);
  });
}

}  // namespace
}  // namespace blixard::linux_side
