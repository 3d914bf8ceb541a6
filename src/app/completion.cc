#include "app/completion.h"

#include <functional>

#include <fmt/format.h>

namespace blixard::app {
namespace {

// Visits every command with the words that lead to it: "", "vm", "vm create".
using Visit = std::function<void(const std::string& path, const CompletionNode& node)>;

void walk(const CompletionNode& node, const std::string& path, const Visit& visit) {
  visit(path, node);
  for (const CompletionNode& child : node.children) {
    walk(child, path.empty() ? child.name : path + " " + child.name, visit);
  }
}

std::string words_of(const CompletionNode& node, const CompletionNode& root) {
  std::string words;
  for (const CompletionNode& child : node.children)
    words += child.name + " ";
  for (const CompletionOption& option : node.options)
    words += option.name + " ";
  if (&node != &root) {
    for (const CompletionOption& option : root.options)
      words += option.name + " ";
  }
  if (!words.empty()) words.pop_back();
  return words;
}

// Bash and zsh (which runs bash completions) share one function: it collects the command words
// typed so far and offers what the tree has below them.
std::string bash_function(const CompletionNode& root) {
  std::string cases;
  std::string paths;
  walk(root, "", [&](const std::string& path, const CompletionNode& node) {
    cases += fmt::format("    '{}') words='{}' ;;\n", path, words_of(node, root));
    paths += fmt::format("'{}'|", path);
  });
  paths.pop_back();
  return fmt::format(R"(_blixard() {{
  local path='' next word words=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    next="${{path:+$path }}$word"
    case "$next" in {}) path=$next ;; esac
  done
  case "$path" in
{}  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _blixard blixard
)",
                     paths, cases);
}

std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string fish_script(const CompletionNode& root) {
  std::string script = "complete -c blixard -f\n";
  walk(root, "", [&](const std::string& path, const CompletionNode& node) {
    const std::string condition =
        path.empty() ? "__fish_use_subcommand" : "__fish_seen_subcommand_from " + node.name;
    for (const CompletionNode& child : node.children) {
      script += fmt::format("complete -c blixard -n {} -a {} -d {}\n", fish_quoted(condition),
                            child.name, fish_quoted(child.description));
    }
    for (const CompletionOption& option : node.options) {
      const std::string only = path.empty() ? "" : " -n " + fish_quoted(condition);
      script += fmt::format("complete -c blixard{} -l {} -d {}\n", only, option.name.substr(2),
                            fish_quoted(option.description));
    }
  });
  return script;
}

}  // namespace

std::string completion_script(const CompletionNode& root, std::string_view shell) {
  if (shell == "fish") return fish_script(root);
  std::string function = bash_function(root);
  if (shell == "zsh") return "autoload -U +X bashcompinit && bashcompinit\n" + function;
  return function;
}

}  // namespace blixard::app
