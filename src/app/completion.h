#pragma once

// Completion scripts for bash, zsh and fish, written from the tree of commands, so that they
// never lag behind it.

#include <string>
#include <string_view>
#include <vector>

namespace blixard::app {

struct CompletionOption {
  std::string name;  // "--output"
  std::string description;
};

struct CompletionNode {
  std::string name;
  std::string description;
  std::vector<CompletionOption> options;
  std::vector<CompletionNode> children;
};

// Precondition: shell is "bash", "zsh" or "fish".
std::string completion_script(const CompletionNode& root, std::string_view shell);

}  // namespace blixard::app
