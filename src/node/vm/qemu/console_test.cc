#include "node/vm/qemu/console.h"

#include "base/limits.h"
#include "node/vm/qemu/base64.h"
#include "node/vm/qemu/process_identity.h"
#include "sim/world.h"

namespace blixard::qemu {
namespace {

TEST(Console, KeepsTheNewestInTwoBoundedFiles) {
  sim::World world(1);
  sim::Machine& machine = world.add_machine("a");
  const auto main = [](sim::Machine& where) -> env::Task<void> {
    env::Env env = where.env();
    EXPECT_TRUE(co_await env.disk.make_directory("/vm"));
    ConsoleFile console(env.disk, "/vm");
    const auto nothing = co_await console.tail(10);
    EXPECT_EQ(nothing.value_or("?"), "");
    std::string all;
    for (int i = 0; i < 150; ++i) {
      const std::string chunk = std::to_string(i) + std::string(limits::kConsoleReadBytes, '.');
      all += chunk;
      EXPECT_TRUE(co_await console.append(chunk));
    }
    const std::size_t across = limits::kConsoleFileBytes;  // more than the newer file has
    const auto tail = co_await console.tail(across);
    EXPECT_TRUE(tail && *tail == all.substr(all.size() - across));
    const auto everything = co_await console.tail(all.size());
    EXPECT_LE(everything.value_or("").size(), 2 * limits::kConsoleFileBytes);
    EXPECT_TRUE(everything && all.ends_with(*everything));
    EXPECT_TRUE(co_await console.append(std::string(3 * limits::kConsoleFileBytes, 'z')));
    const auto files = co_await env.disk.list("/vm");
    EXPECT_EQ(files.value_or(std::vector<env::DirectoryEntry>{}).size(), 2u);
  };
  EXPECT_TRUE(world.run(main(machine)));
}

TEST(Console, CutsAtLinesAndShowsNoControlCharacters) {
  EXPECT_EQ(last_lines("one\ntwo\nthree\n", 100), "one\ntwo\nthree");
  EXPECT_EQ(last_lines("one\ntwo\nthree\n", 10), "two\nthree");
  EXPECT_EQ(last_lines("one\ntwo\nthree\n", 8), "three");
  EXPECT_EQ(last_lines("abcdef", 3), "def");
  EXPECT_EQ(last_lines("a\x1b[2Jb\r\nc\x80\n\n", 100), "a?[2Jb\nc?");
  EXPECT_EQ(last_lines("", 10), "");
}

TEST(Console, FindsWhyTheKernelPanicked) {
  EXPECT_EQ(panic_line("[ 1.0] Kernel panic - not syncing: out of luck\r\n[ 1.0] CPU: 0\n"),
            "Kernel panic - not syncing: out of luck");
  EXPECT_EQ(panic_line("Kernel panic - not syncing"), "Kernel panic - not syncing");
  EXPECT_EQ(panic_line("all is well"), "");
}

TEST(Base64, DecodesAndRefuses) {
  EXPECT_EQ(decode_base64("").value_or("?"), "");
  EXPECT_EQ(decode_base64("Zg==").value_or("?"), "f");
  EXPECT_EQ(decode_base64("Zm8=").value_or("?"), "fo");
  EXPECT_EQ(decode_base64("Zm9vYmFy").value_or("?"), "foobar");
  EXPECT_EQ(decode_base64("AP+/").value_or("?"), std::string("\0\xff\xbf", 3));
  for (const char* text : {"Z", "Zg=", "Z===", "====", "Zm 9", "Zm9v\n", "Zg==Zg=="}) {
    EXPECT_FALSE(decode_base64(text)) << text;
  }
}

TEST(ProcessIdentity, IsTheValueBehindUuid) {
  using namespace std::string_view_literals;
  const Uuid uuid = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff");
  EXPECT_TRUE(names_uuid("qemu\0-uuid\00000112233-4455-6677-8899-aabbccddeeff\0-m\0"sv, uuid));
  EXPECT_FALSE(names_uuid("qemu\0-uuid\00000112233-4455-6677-8899-aabbccddee00\0"sv, uuid));
  EXPECT_FALSE(names_uuid("vi\00000112233-4455-6677-8899-aabbccddeeff\0"sv, uuid));
  EXPECT_FALSE(names_uuid("qemu\0-uuid"sv, uuid));
  EXPECT_FALSE(names_uuid("", uuid));
}

}  // namespace
}  // namespace blixard::qemu
