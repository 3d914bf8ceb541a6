#include "app/completion.h"

#include <gtest/gtest.h>

namespace blixard::app {
namespace {

CompletionNode tree() {
  return {.name = "blixard",
          .description = "",
          .options = {{"--output", "table or json"}},
          .children = {{.name = "vm",
                        .description = "VMs",
                        .options = {},
                        .children = {{.name = "create",
                                      .description = "Create it; it's quick",
                                      .options = {{"--image", "Image"}},
                                      .children = {}}}}}};
}

TEST(Completion, BashOffersWhatIsBelowTheWordsTyped) {
  const std::string script = completion_script(tree(), "bash");
  EXPECT_NE(script.find("'') words='vm --output' ;;"), std::string::npos) << script;
  EXPECT_NE(script.find("'vm create') words='--image --output' ;;"), std::string::npos) << script;
  EXPECT_NE(script.find("complete -o default -F _blixard blixard"), std::string::npos);
}

TEST(Completion, ZshRunsTheSameFunction) {
  const std::string script = completion_script(tree(), "zsh");
  EXPECT_TRUE(script.starts_with("autoload -U +X bashcompinit"));
  EXPECT_TRUE(script.ends_with(completion_script(tree(), "bash")));
}

TEST(Completion, FishQuotesDescriptions) {
  const std::string script = completion_script(tree(), "fish");
  EXPECT_NE(script.find(R"(-a create -d 'Create it; it\'s quick')"), std::string::npos) << script;
  EXPECT_NE(script.find("'__fish_seen_subcommand_from create' -l image"), std::string::npos);
}

}  // namespace
}  // namespace blixard::app
