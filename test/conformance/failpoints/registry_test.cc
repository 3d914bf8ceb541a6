// What is in the program, what is tested and what is documented are the same.

#include <set>

#include "linux/runtime.h"
#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

using Names = std::set<std::string, std::less<>>;

std::string read_source(std::string path) {
  linux_side::Runtime runtime({});
  std::string content;
  const auto read = [](env::Env env, std::string name, std::string& to) -> env::Task<void> {
    auto text = co_await env.disk.read_file(std::move(name), std::size_t{1} << 20);
    EXPECT_TRUE(text);
    if (text) to = std::move(*text);
  };
  runtime.run(read(runtime.env(), std::string(BLX_SOURCE_DIR) + "/" + path, content));
  return content;
}

Names built() {
  Names names;
  for (const observe::FailpointStatus& status : observe::failpoints())
    EXPECT_TRUE(names.emplace(status.name).second) << status.name << " is the name of two sites";
  return names;
}

// Names in quotes behind ScopedFailpoint, of tests that stand beside their source.
Names armed_in(const std::string& path) {
  Names names;
  const std::string text = read_source(path);
  for (auto at = text.find("ScopedFailpoint"); at != std::string::npos;
       at = text.find("ScopedFailpoint", at + 1)) {
    const auto begin = text.find('"', at);
    if (begin == std::string::npos) break;
    const std::string name = text.substr(begin + 1, text.find('"', begin + 1) - begin - 1);
    if (name.contains("::")) names.insert(name);
  }
  return names;
}

TEST(FailpointRegistry, EverySiteHasAStoryAndEveryStoryASite) {
  const Names sites = built();
  Names told = armed_in("src/node/vm/qemu/failpoint_test.cc");
  for (const Story& story : all_stories())
    EXPECT_TRUE(told.emplace(story.site).second) << story.site << " is told twice";
  EXPECT_EQ(sites, told);
  EXPECT_GE(sites.size(), 40u);
}

TEST(FailpointRegistry, TheTableOfTheDocumentationIsTheProgramsOwn) {
  Names rows;
  const std::string text = read_source("docs/failpoints.md");
  constexpr std::string_view kRow = "\n| `";
  for (auto at = text.find(kRow); at != std::string::npos; at = text.find(kRow, at + 1)) {
    const auto begin = at + kRow.size();
    const std::string name = text.substr(begin, text.find('`', begin) - begin);
    if (!name.contains("::")) continue;
    EXPECT_TRUE(rows.insert(name).second) << name;
    const auto site = observe::failpoint(name);
    EXPECT_TRUE(site) << name << " is documented, and there is no such site";
    const std::string line = text.substr(begin, text.find('\n', begin) - begin);
    if (site) {
      EXPECT_TRUE(line.contains(fmt::format("| {} |", observe::failpoint_kind_name(site->kind))))
          << line;
    }
  }
  EXPECT_EQ(rows, built());
}

// The names that the original's tests and demonstrations arm, most of them without any site.
TEST(FailpointRegistry, HasEveryNameOfTheOriginal) {
  const Names sites = built();
  for (const char* name : {
           "vm::create",
           "vm::start",
           "vm::stop",
           "vm::health_check",
           "network::send_message",
           "network::connect",
           "network::recv_at_leader",
           "raft::apply_entry",
           "raft::propose",
           "raft::send_message",
           "raft::heartbeat",
           "raft::forge_term",
           "raft::duplicate_vote",
           "raft::fake_leader",
           "raft::corrupt_entries",
           "storage::append_entries",
           "storage::create_snapshot",
           "storage::commit_transaction",
           "storage::write",
           "storage::write_entry",
           "storage::write_snapshot",
           "storage::read",
           "storage::read_state",
           "storage::sync_to_disk",
           "system::disk_full",
           "system::out_of_memory",
           "system::too_many_files",
           "system::cpu_throttled",
           "worker::register",
       }) {
    EXPECT_TRUE(sites.contains(name)) << name;
  }
}

}  // namespace
}  // namespace blixard
