#pragma once

// The folder of one VM: "<root>/<vm id>" with its sockets, console, QEMU's output and, in
// record.json, what was last started in it. The daemon may die between starting a process and
// writing that down elsewhere; this copy is what finds the process again.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "env/env.h"
#include "env/task.h"
#include "node/vm/driver.h"

namespace blixard::qemu {

class RunDirectories {
 public:
  // `root` lies in the node's data directory; images are expected in the same.
  RunDirectories(env::Env env, std::string root);

  [[nodiscard]] std::string directory(VmId id) const;
  [[nodiscard]] std::string socket(VmId id, std::string_view name) const;
  [[nodiscard]] std::string output(VmId id) const;

  // Errors: kInvalidArgument "path_too_long": a socket's path has at most 107 bytes.
  [[nodiscard]] Result<void> check_paths(VmId id) const;

  // Makes it, owned by the user that guests' processes run as, if there is one.
  env::Task<Result<void>> make(VmId id);
  // Removes what an earlier process left that the next one would trip over. Errors: kNotFound
  // without a directory.
  env::Task<Result<void>> clear_for_start(VmId id);
  env::Task<Result<void>> remove(VmId id);

  // None: nothing was stored, or it cannot be read.
  env::Task<std::optional<vm::Record>> load(VmId id);
  env::Task<Result<void>> store(const vm::Record& record);

  // The folder of a process that stood by becomes that of this VM, which takes the process.
  // Whatever interrupts it: the folder is of the one or of the other, with this record in it.
  env::Task<Result<void>> move_in(VmId from, const vm::Record& record);

  // The file that remembers the trial's outcome, beside the directories of the VMs.
  [[nodiscard]] std::string verdict() const;

  // VMs that have a directory.
  env::Task<Result<std::vector<VmId>>> list();

  // How a process in the VM's directory names this file: where that is in our data directory by a
  // relative path, which works whoever owns the folders above.
  [[nodiscard]] std::string seen_from(VmId id, std::string path) const;
  // Opens a file that is in our data directory, and the folders on the way, to the guests' user.
  // Errors: kNotFound "image_file_missing", also for one that lies elsewhere.
  env::Task<Result<void>> expose(std::string path);
  // The same for a file that the guests' user may also write, and nobody else may see.
  env::Task<Result<void>> lend(std::string path);

  // What became of the guest of the present process: remembered for a daemon that finds it.
  enum class Note : std::uint8_t {
    kIdentified,  // one that was loaded became the VM
    kLetRun,      // a saved one was to go on, from here on
  };
  env::Task<Result<void>> note(VmId id, Note note);
  env::Task<bool> is_noted(VmId id, Note note);

 private:
  [[nodiscard]] std::string note_path(VmId id, Note note) const;
  [[nodiscard]] bool is_ours(std::string_view path) const;
  env::Task<Result<void>> open_to_guests(std::string path, std::uint32_t mode,
                                         std::optional<env::Owner> owner);

  env::Env env_;
  std::string root_;
  std::string data_directory_;
};

}  // namespace blixard::qemu
