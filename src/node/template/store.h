#pragma once

// The templates of this node: saved guests, from which others are cloned in a tenth of the time
// that a boot takes. Kept as
//
//   ROOT/<first 16 hex digits of the key>/manifest.json   what the files are
//   ROOT/<...>/...                                        files of the driver's own
//
// made beside under a name that begins with ".making-" and renamed when they are whole; what a
// making that was cut short left goes at the next open(). Memory is not synced: after a loss of
// power the digests say what is damaged.
//
// Invariants:
// * A template is only given out after all its files were read and found to be what they were when
//   they were made, once in the life of the process, and if this host still fits.
// * Nothing of a template that a clone runs from is written or shortened. Removing it harms no
//   clone: what is mapped stays.
// * One template is made at a time, and none while a VM of the node is being started.
//
// Who clones may find a template wrong all the same (refuse()): it is then removed and made anew.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "env/env.h"
#include "env/sync.h"
#include "env/task.h"
#include "node/template/manifest.h"
#include "node/template/pool.h"
#include "node/vm/driver.h"
#include "observe/metrics.h"

namespace blixard::templates {

// Why a guest boots although it might have been cloned, in words for people.
inline constexpr char kNone[] = "template_none";            // there is none yet
inline constexpr char kOff[] = "template_off";              // none are kept
inline constexpr char kUnchecked[] = "template_unchecked";  // found, and not read through yet
inline constexpr char kUnfit[] = "template_unfit";          // saved on a host with another TSC

struct Listed {
  Manifest manifest;
  Bytes size;  // of the files, as they are listed
  bool is_checked = false;
  std::size_t clones = 0;
  WallTime used;  // last, by this process; as it was made, before
};

// What the store asks of who starts guests.
struct Host {
  std::function<std::map<std::string, std::size_t>()> clones;  // by key, of this node
  std::function<bool()> is_starting;                           // a VM, right now
  // Told of each making that was tried.
  std::function<void(const Result<Manifest>& made, Duration took)> tried;
};

class Store {
 public:
  // `most`: bytes of all files together; 0: no templates are kept. `standbys`: see Pool.
  static env::Task<Result<std::unique_ptr<Store>>> open(env::Env env, std::string root,
                                                        vm::Driver& driver, Bytes most,
                                                        std::size_t standbys = 0);

  // From what such a guest, which is to be started, can be cloned. Errors: kNotFound with one of
  // the reasons above, those of Driver::template_key().
  env::Task<Result<vm::Template>> find(vm::GuestSpec spec);

  // Such a guest was booted: a template will be made, if there is none and it was not tried in
  // vain lately. `image`: its name, for people.
  void want(vm::GuestSpec spec, std::string image);

  // Makes one now, or finds it made. Errors: those of Driver::make_template(), kResourceExhausted
  // "template_too_large", "disk_full".
  env::Task<Result<Manifest>> make(vm::GuestSpec spec, std::string image);

  // A clone of it could not be loaded, or was not what it should be.
  env::Task<void> refuse(std::string key, std::string why);
  // A clone of it ended before it was ready, whosever fault that was: it is read through once more
  // before it is given out again.
  void doubt(const std::string& key);

  // Errors: kNotFound "template_not_found", kFailedPrecondition "template_in_use".
  env::Task<Result<void>> remove(std::string key);

  // By image, then by key.
  [[nodiscard]] std::vector<Listed> list() const;

  // Reads through what open() found, then makes what is wanted, and keeps hypervisors that stand
  // by; until cancelled.
  env::Task<void> run(Host host);
  // None: the metrics are only declared. It outlives the readings.
  static void register_metrics(observe::Metrics& metrics, const Store* of);

 private:
  struct Kept {
    Manifest manifest;
    std::string directory;
    bool is_checked = false;
    WallTime used;
  };
  struct Wanted {
    vm::GuestSpec spec;
    std::string image;
  };

  Store(env::Env env, std::string root, vm::Driver& driver, Bytes most, std::size_t standbys);
  env::Task<void> make_wanted();
  env::Task<Result<void>> load();
  env::Task<Result<Kept>> read(std::string directory);
  env::Task<void> check_found();
  env::Task<Result<void>> wait_for_quiet();
  env::Task<Result<Manifest>> make_into(vm::GuestSpec spec, std::string image, std::string key,
                                        std::string making);
  env::Task<Result<void>> make_room(Bytes needed);
  env::Task<Result<void>> drop(std::string key);
  [[nodiscard]] std::map<std::string, std::size_t> clones() const;
  [[nodiscard]] std::uint64_t bytes() const;

  env::Env env_;
  std::string root_;
  vm::Driver& driver_;
  Bytes most_;
  Host host_;
  std::map<std::string, Kept> kept_;  // by key
  std::deque<Wanted> wanted_;
  std::map<std::string, Instant> failed_;  // by key: when making one failed
  bool is_making_ = false;
  bool has_doubts_ = false;
  env::Signal changed_;  // of wanted_, is_making_ and has_doubts_
  Pool pool_;
};

}  // namespace blixard::templates
