#pragma once

// The words that are said of VMs by their names: start, stop, pause, suspend and so on.

#include <functional>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include "app/cli.h"
#include "app/cli_placement.h"

namespace blixard::app {

// What is posted behind a VM's path for an action, and the state that is waited for then; empty
// where nothing is posted.
struct PostedWord {
  std::string_view path;
  std::string_view state;
};
PostedWord posted_for(VmAction::Kind kind);

class VmWords {
 public:
  using Add = PlacementWords::Add;
  // Adds --wait with this explanation, and --timeout.
  using AddWait = std::function<void(CLI::App* sub, const char* what)>;

  VmWords(Add add, AddWait add_wait) : add_(std::move(add)), add_wait_(std::move(add_wait)) {}

  void add_to_vm(CLI::App& vm);

 private:
  // `wait`: null where nothing is waited for.
  CLI::App* add(CLI::App& vm, const char* name, const char* what, VmAction& action,
                VmAction::Kind kind, const char* wait);
  void add_saving(CLI::App& vm);

  Add add_;
  AddWait add_wait_;
  VmAction start_, stop_, delete_, show_;
  VmAction pause_, resume_, suspend_, snapshot_, restore_;
};

}  // namespace blixard::app
