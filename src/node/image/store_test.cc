#include "node/image/store.h"

#include <zstd.h>

#include <memory>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/image/digest.h"
#include "sim/world.h"

namespace blixard::image {
namespace {

using env::Env;
using env::Task;

constexpr const char* kRoot = "/data/images";

std::string packed(const std::string& content) {
  std::string out(ZSTD_compressBound(content.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), content.data(), content.size(), 3));
  return out;
}

// A folder as tools/guest makes it; fields are changed by tests.
struct Folder {
  std::string kernel = std::string(3'000'000, 'k') + "end";
  std::string initrd = std::string(1'500'000, 'i') + "end";
  std::string zst = packed(kernel);
  std::uint64_t unpacked = kernel.size();
  std::string format = "1";
  std::string name = "tiny";

  [[nodiscard]] std::string about() const {
    return fmt::format(
        R"({{"format":{},"name":"{}","architecture":"x86_64","kernel_version":"6.1","cmdline":"",)"
        R"("files":{{"initrd":{{"bytes":{},"sha256":"x"}},)"
        R"("vmlinux.zst":{{"bytes":{},"sha256":"y","unpacked_bytes":{}}}}}}})",
        format, name, initrd.size(), zst.size(), unpacked);
  }
  Task<void> write(Env env, std::string path = "/src") const {
    EXPECT_TRUE(co_await env.disk.make_directory(path));
    EXPECT_TRUE(co_await env.disk.replace_file(path + "/image.json", about()));
    EXPECT_TRUE(co_await env.disk.replace_file(path + "/initrd", initrd));
    EXPECT_TRUE(co_await env.disk.replace_file(path + "/vmlinux.zst", zst));
  }
};

using Body = std::function<Task<void>(sim::Machine&, Env)>;

// The data directory, which the node makes before the store.
Task<void> make_data(Env env) {
  EXPECT_TRUE(co_await env.disk.make_directory("/data"));
  EXPECT_TRUE(co_await env.disk.sync_directory("/"));
}

Task<void> finishing(sim::Machine& machine, Body body, bool& done) {
  co_await make_data(machine.env());
  co_await body(machine, machine.env());
  done = true;
}

void run(Body body) {
  sim::World world(5);
  auto& machine = world.add_machine("a");
  bool done = false;
  EXPECT_TRUE(world.run(finishing(machine, std::move(body), done)));
  EXPECT_TRUE(done);
}

Task<std::size_t> count_entries(Env env) {
  const auto entries = co_await env.disk.list(kRoot);
  co_return entries ? entries->size() : 999;
}

TEST(Store, ImportsUnpacksAndGivesPaths) {
  run([](sim::Machine& machine, Env env) -> Task<void> {
    const Folder folder;
    co_await folder.write(env);
    auto store = co_await Store::open(env, kRoot);
    const auto image = co_await (*store)->import("/src", "");
    EXPECT_TRUE(image) << image.error().message();
    if (!image) co_return;
    EXPECT_EQ(image->name, "tiny");
    EXPECT_EQ(image->files.size(), 2u);
    EXPECT_EQ(image->files[0].name, "initrd");
    EXPECT_EQ(image->files[1].digest, digest_of(folder.kernel));
    const auto paths = co_await (*store)->paths(*image);
    EXPECT_TRUE(paths.has_value());
    EXPECT_TRUE(machine.content(paths->kernel) == folder.kernel);
    EXPECT_TRUE(machine.durable_content(paths->initrd) == folder.initrd);
    EXPECT_EQ(machine.mode(paths->kernel), 0444u);
    EXPECT_EQ(machine.mode(env::parent_path(paths->kernel)), 0755u);
    // Again, and under another name.
    EXPECT_TRUE(co_await (*store)->import("/src", ""));
    EXPECT_EQ(co_await count_entries(env), 1u);
    EXPECT_TRUE(co_await (*store)->import("/src", "other"));
    EXPECT_EQ(co_await count_entries(env), 2u);
    EXPECT_TRUE(co_await (*store)->remove(*image));
    EXPECT_TRUE(co_await (*store)->remove(*image));
    const auto gone = co_await (*store)->paths(*image);
    EXPECT_TRUE(!gone && gone.error().reason() == "image_file_missing");
  });
}

TEST(Store, SurvivesALossOfPowerWholeOrNotAtAll) {
  sim::World world(5);
  auto& machine = world.add_machine("a");
  cluster::Image image;
  const Folder folder;
  EXPECT_TRUE(world.run([](Env env, const Folder& f, cluster::Image& into) -> Task<void> {
    co_await make_data(env);
    co_await f.write(env);
    auto store = co_await Store::open(env, kRoot);
    auto imported = co_await (*store)->import("/src", "");
    EXPECT_TRUE(imported.has_value());
    if (imported) into = *imported;
  }(machine.env(), folder, image)));
  machine.lose_power();
  machine.restart();
  EXPECT_TRUE(world.run([](Env env, const cluster::Image& from) -> Task<void> {
    auto store = co_await Store::open(env, kRoot);
    EXPECT_TRUE(co_await (*store)->paths(from));
  }(machine.env(), image)));
}

struct Bad {
  const char* name;
  std::function<void(Folder&)> spoil;
  const char* reason;
};

TEST(Store, RefusesBadFoldersAndLeavesNothing) {
  const std::vector<Bad> all = {
      {"newer format", [](Folder& f) { f.format = "2"; }, "image_format_unknown"},
      {"text for a number", [](Folder& f) { f.format = "\"1\""; }, "image_json_invalid"},
      {"no json", [](Folder& f) { f.format = "1,,"; }, "image_json_invalid"},
      {"name", [](Folder& f) { f.name = "../evil"; }, "name_invalid"},
      {"bit flip", [](Folder& f) { f.zst[f.zst.size() / 2] ^= 0x40; }, "image_damaged"},
      {"cut", [](Folder& f) { f.zst.resize(f.zst.size() - 3); }, "image_damaged"},
      {"tail", [](Folder& f) { f.zst += "tail"; }, "image_damaged"},
      {"not zstd", [](Folder& f) { f.zst = "hello"; }, "image_damaged"},
      {"grows more", [](Folder& f) { f.unpacked -= 1; }, "image_damaged"},
      {"grows less", [](Folder& f) { f.unpacked += 1; }, "image_damaged"},
      {"bomb", [](Folder& f) { f.unpacked = std::uint64_t{1} << 40; }, "image_too_large"},
      {"empty", [](Folder& f) { f.unpacked = 0; }, "image_json_invalid"},
  };
  run([&](sim::Machine&, Env env) -> Task<void> {
    auto store = co_await Store::open(env, kRoot);
    for (const Bad& bad : all) {
      Folder folder;
      bad.spoil(folder);
      co_await folder.write(env);
      const auto image = co_await (*store)->import("/src", "");
      EXPECT_FALSE(image) << bad.name;
      if (!image) EXPECT_EQ(image.error().reason(), bad.reason) << bad.name;
      EXPECT_EQ(co_await count_entries(env), 0u) << bad.name;
    }
    const Folder folder;
    co_await folder.write(env);
    EXPECT_TRUE(co_await env.disk.replace_file("/src/initrd", "short"));
    EXPECT_EQ((co_await (*store)->import("/src", "")).error().reason(), "image_damaged");
    EXPECT_TRUE(co_await env.disk.remove("/src/initrd"));
    EXPECT_EQ((co_await (*store)->import("/src", "")).error().reason(), "image_incomplete");
    EXPECT_EQ((co_await (*store)->import("/no", "")).error().reason(), "image_json_missing");
    EXPECT_EQ((co_await (*store)->import("src", "")).error().reason(), "image_path_invalid");
    EXPECT_EQ(co_await count_entries(env), 0u);
  });
}

TEST(Store, AFullDiskLeavesNothing) {
  run([](sim::Machine& machine, Env env) -> Task<void> {
    const Folder folder;
    co_await folder.write(env);
    auto store = co_await Store::open(env, kRoot);
    machine.set_disk_capacity(mib(4));
    const auto image = co_await (*store)->import("/src", "");
    EXPECT_FALSE(image);
    if (!image) EXPECT_EQ(image.error().reason(), "disk_full");
    EXPECT_EQ(co_await count_entries(env), 0u);
    machine.set_disk_capacity(gib(1));
    EXPECT_TRUE(co_await (*store)->import("/src", ""));
  });
}

TEST(Store, SweepsWhatACrashLeft) {
  run([](sim::Machine&, Env env) -> Task<void> {
    const std::string left = std::string(kRoot) + "/.import-0011";
    EXPECT_TRUE(co_await env.disk.make_directory(left));
    EXPECT_TRUE(co_await env.disk.replace_file(left + "/vmlinux", "half"));
    EXPECT_TRUE(co_await Store::open(env, kRoot));
    EXPECT_EQ(co_await count_entries(env), 0u);
  });
}

TEST(Store, SeesDamageBeforeABootAndMendsItByImport) {
  run([](sim::Machine& machine, Env env) -> Task<void> {
    const Folder folder;
    co_await folder.write(env);
    auto store = co_await Store::open(env, kRoot);
    const auto image = co_await (*store)->import("/src", "");
    const auto paths = co_await (*store)->paths(*image);
    machine.corrupt(paths->kernel, 2'000'000);
    auto later = co_await Store::open(env, kRoot);  // as after a restart
    const auto damaged = co_await (*later)->paths(*image);
    EXPECT_TRUE(!damaged && damaged.error().reason() == "image_damaged");
    EXPECT_TRUE(co_await (*later)->import("/src", ""));
    EXPECT_TRUE(co_await (*later)->paths(*image));
    EXPECT_TRUE(machine.content(paths->kernel) == folder.kernel);
  });
}

}  // namespace
}  // namespace blixard::image
