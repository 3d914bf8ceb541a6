#include "app/cli_vm.h"

#include <optional>

#include <gtest/gtest.h>

namespace blixard::app {
namespace {

using Kind = VmAction::Kind;

// What these words after `vm` are taken for; nothing: they are refused.
std::optional<VmAction> taken(const std::string& words) {
  std::optional<VmAction> chosen;
  bool waits = false;
  CLI::App vm{"vm"};
  vm.require_subcommand(1);
  const auto add = [&](CLI::App& parent, const char* name, const char* what,
                       std::function<Action()> action) {
    CLI::App* sub = parent.add_subcommand(name, what);
    sub->callback([&chosen, action] { chosen = std::get<VmAction>(action()); });
    return sub;
  };
  VmWords added(add,
                [&](CLI::App* sub, const char* what) { sub->add_flag("--wait", waits, what); });
  added.add_to_vm(vm);
  try {
    vm.parse(words);
  } catch (const CLI::ParseError&) {
    return std::nullopt;
  }
  return chosen;
}

TEST(VmWords, EachIsItsOwnAction) {
  const std::pair<const char*, Kind> words[] = {
      {"start", Kind::kStart},       {"stop", Kind::kStop},       {"delete", Kind::kDelete},
      {"pause", Kind::kPause},       {"resume", Kind::kResume},   {"suspend", Kind::kSuspend},
      {"snapshot", Kind::kSnapshot}, {"restore", Kind::kRestore},
  };
  for (const auto& [word, kind] : words) {
    const auto action = taken(std::string(word) + " web db --wait");
    ASSERT_TRUE(action) << word;
    EXPECT_EQ(action->kind, kind) << word;
    EXPECT_EQ(action->names, (std::vector<std::string>{"web", "db"})) << word;
    EXPECT_FALSE(taken(word)) << word;
  }
  EXPECT_EQ(taken("status web")->kind, Kind::kStatus);
  EXPECT_FALSE(taken("status web --wait"));
}

TEST(VmWords, ASnapshotIsAlsoDeleted) {
  EXPECT_EQ(taken("snapshot web --delete")->kind, Kind::kDeleteSnapshot);
  EXPECT_EQ(taken("snapshot --delete web")->kind, Kind::kDeleteSnapshot);
  EXPECT_FALSE(taken("snapshot web --delete --wait"));
  EXPECT_FALSE(taken("restore web --delete"));
}

}  // namespace
}  // namespace blixard::app
