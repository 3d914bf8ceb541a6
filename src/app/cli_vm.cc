#include "app/cli_vm.h"

namespace blixard::app {

using Kind = VmAction::Kind;

PostedWord posted_for(Kind kind) {
  switch (kind) {
    case Kind::kStart:
      return {"/start", "running"};
    case Kind::kStop:
      return {"/stop", "stopped"};
    case Kind::kPause:
      return {"/pause", "paused"};
    case Kind::kResume:
      return {"/resume", "running"};
    case Kind::kSuspend:
      return {"/suspend", "suspended"};
    case Kind::kSnapshot:
      return {"/snapshot", "snapshot"};
    case Kind::kRestore:
      return {"/restore", "running"};
    case Kind::kDelete:
    case Kind::kDeleteSnapshot:
    case Kind::kStatus:
      break;
  }
  return {};
}

CLI::App* VmWords::add(CLI::App& vm, const char* name, const char* what, VmAction& action,
                       Kind kind, const char* wait) {
  action.kind = kind;
  CLI::App* sub = add_(vm, name, what, [&action] { return action; });
  sub->add_option("name", action.names, "Names of VMs")->required();
  if (wait != nullptr) add_wait_(sub, wait);
  return sub;
}

void VmWords::add_to_vm(CLI::App& vm) {
  add(vm, "start", "Start stopped or failed VMs", start_, Kind::kStart, "Wait until they run");
  add(vm, "stop", "Stop VMs, gracefully first", stop_, Kind::kStop, "Wait until they are stopped");
  add(vm, "delete", "Stop VMs and remove all of them", delete_, Kind::kDelete,
      "Wait until they are gone");
  add(vm, "status", "Show VMs in full", show_, Kind::kStatus, nullptr);
  add_saving(vm);
}

void VmWords::add_saving(CLI::App& vm) {
  add(vm, "pause", "Let guests stand still, in the memory of their nodes", pause_, Kind::kPause,
      "Wait until they do")
      ->footer("Examples:\n  blixard vm pause web --wait\n  blixard vm resume web");
  add(vm, "resume", "Let paused or suspended VMs go on", resume_, Kind::kResume,
      "Wait until they run")
      ->footer("Examples:\n  blixard vm resume web --wait\n  blixard vm resume web db");
  add(vm, "suspend", "Save guests to disk and free their room", suspend_, Kind::kSuspend,
      "Wait until they are saved")
      ->footer(
          "A suspended VM is on no node. Resumed, it goes on where it was, on the node that has "
          "its saved\nguest or on one like it; stopped, that guest is given up.\n\n"
          "Examples:\n  blixard vm suspend web --wait\n  blixard vm resume web");
  CLI::App* snapshot = add(vm, "snapshot", "Save guests, which run on; or delete what was saved",
                           snapshot_, Kind::kSnapshot, "Wait until they are saved");
  snapshot
      ->add_flag_callback(
          "--delete", [this] { snapshot_.kind = Kind::kDeleteSnapshot; }, "Delete the snapshot")
      ->excludes("--wait");
  snapshot->footer(
      "A VM has one snapshot: the next takes its place.\n\n"
      "Examples:\n  blixard vm snapshot web --wait\n  blixard vm restore web --wait\n"
      "  blixard vm snapshot web --delete");
  add(vm, "restore", "Start VMs again from their snapshots; what they did since is lost", restore_,
      Kind::kRestore, "Wait until they run")
      ->footer("Examples:\n  blixard vm restore web --wait");
}

}  // namespace blixard::app
