#include "node/vm/template_files.h"

#include "sim/world.h"

namespace blixard::vm {
namespace {

using env::Task;

constexpr const char* kFolder = "/templates/one";

// Why it failed; "none" if it did not.
template <class T>
std::string complaint(const Result<T>& result) {
  return result ? std::string("none") : result.error().message();
}

// A machine that has a template of two files, one of more than two pieces.
struct OnDisk {
  Task<Result<void>> make() {
    BLX_CO_TRY(co_await disk.make_directory(kFolder));
    BLX_CO_TRY(co_await disk.replace_file(path("ram"), ram));
    BLX_CO_TRY(co_await disk.replace_file(path("state"), "saved"));
    BLX_CO_TRY(measured, co_await measure_template(disk, "key", kFolder, {"ram", "state"}));
    co_return Result<void>();
  }

  static std::string path(std::string_view name) { return env::join_path(kFolder, name); }

  sim::World world{1};
  sim::Machine& machine = world.add_machine("a");
  env::Disk& disk = machine.env().disk;
  std::string ram = std::string((2 << 20) + 5, 'r');
  Template measured;
};

void run(Task<Result<void>> (*body)(OnDisk& test)) {
  OnDisk test;
  Result<void> result;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): it outlives the run
  const auto main = [&]() -> Task<void> {
    result = co_await test.make();
    if (result) result = co_await body(test);
  };
  EXPECT_TRUE(test.world.run(main()));
  EXPECT_TRUE(result) << result.error().message();
}

TEST(TemplateFiles, AreMeasuredAsTheyAre) {
  run([](OnDisk& test) -> Task<Result<void>> {
    EXPECT_EQ(test.measured.key, "key");
    EXPECT_EQ(test.measured.directory, kFolder);
    const std::vector<TemplateFile> expected = {
        {"ram", Bytes(test.ram.size()), image::digest_of(test.ram)},
        {"state", Bytes(5), image::digest_of("saved")}};
    EXPECT_EQ(test.measured.files, expected);
    EXPECT_EQ(complaint(co_await check_template(test.disk, test.measured)), "none");
    co_return co_await check_template_sizes(test.disk, test.measured);
  });
}

TEST(TemplateFiles, EmptyOnesAreFilesToo) {
  run([](OnDisk& test) -> Task<Result<void>> {
    BLX_CO_TRY(co_await test.disk.replace_file(OnDisk::path("state"), ""));
    BLX_CO_TRY(const Template one, co_await measure_template(test.disk, "key", kFolder, {"state"}));
    EXPECT_EQ(one.files.at(0).digest, image::digest_of(""));
    co_return co_await check_template(test.disk, one);
  });
}

TEST(TemplateFiles, AMissingOneIsNamed) {
  run([](OnDisk& test) -> Task<Result<void>> {
    BLX_CO_TRY(co_await test.disk.remove(OnDisk::path("state")));
    EXPECT_EQ(complaint(co_await check_template(test.disk, test.measured)),
              "template_damaged: state is missing");
    const auto sizes = co_await check_template_sizes(test.disk, test.measured);
    EXPECT_EQ(complaint(sizes), "template_damaged: state is missing");
    const auto again = co_await measure_template(test.disk, "key", kFolder, {"ram", "state"});
    EXPECT_EQ(complaint(again), "template_damaged: state is missing");
    co_return Result<void>();
  });
}

TEST(TemplateFiles, OneOfAnotherSizeIsNamed) {
  run([](OnDisk& test) -> Task<Result<void>> {
    for (const std::size_t size : {test.ram.size() - 1, test.ram.size() + 1}) {
      BLX_CO_TRY(co_await test.disk.replace_file(OnDisk::path("ram"), std::string(size, 'r')));
      EXPECT_EQ(complaint(co_await check_template(test.disk, test.measured)),
                "template_damaged: ram has another size");
      const auto sizes = co_await check_template_sizes(test.disk, test.measured);
      EXPECT_EQ(complaint(sizes), "template_damaged: ram has another size");
    }
    co_return Result<void>();
  });
}

TEST(TemplateFiles, AChangedByteIsFoundInEachPiece) {
  run([](OnDisk& test) -> Task<Result<void>> {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1} << 20, test.ram.size() - 1}) {
      std::string changed = test.ram;
      changed[at] = 'x';
      BLX_CO_TRY(co_await test.disk.replace_file(OnDisk::path("ram"), changed));
      EXPECT_EQ(complaint(co_await check_template(test.disk, test.measured)),
                "template_damaged: ram has another digest")
          << at;
      EXPECT_TRUE(co_await check_template_sizes(test.disk, test.measured));
    }
    co_return Result<void>();
  });
}

TEST(TemplateFiles, NamesThatNoDriverGivesAreRefused) {
  run([](OnDisk& test) -> Task<Result<void>> {
    BLX_CO_TRY(co_await test.disk.replace_file("/templates/secret", "bytes"));
    const std::vector<std::vector<std::string>> wrong = {
        {},
        {""},
        {"."},
        {".."},
        {"../secret"},
        {"/templates/secret"},
        {".making"},
        {"State"},
        {"two words"},
        {std::string("state\0", 6)},
        {std::string(33, 'a')},
        {"state", "state"},
        {"a", "b", "c", "d", "e", "f", "g", "h", "i"},
    };
    for (const std::vector<std::string>& names : wrong) {
      const auto measured = co_await measure_template(test.disk, "key", kFolder, names);
      EXPECT_TRUE(complaint(measured).starts_with("template_invalid")) << complaint(measured);
      Template read{.key = "key", .directory = kFolder, .files = {}};
      for (const std::string& name : names)
        read.files.push_back({name, Bytes(5), image::digest_of("bytes")});
      const auto checked = co_await check_template(test.disk, read);
      EXPECT_EQ(complaint(checked), complaint(measured));
    }
    const auto relative = co_await measure_template(test.disk, "key", "templates/one", {"state"});
    EXPECT_TRUE(complaint(relative).starts_with("template_invalid")) << complaint(relative);
    co_return Result<void>();
  });
}

}  // namespace
}  // namespace blixard::vm
