#pragma once

// What a hypervisor must do for us. One class per hypervisor, one conformance suite for all
// (driver_suite.h): the real QEMU driver and the simulated one pass the same tests.
//
// Invariants, which the suite checks:
//   * start() twice with one VmId gives one process;
//   * release() after any failure leaves nothing: no process, socket, group or file of the VM;
//   * every wait has a deadline; every ended VM has a reason;
//   * no process is signalled whose uuid and start time were not checked.
//
// The Record is the caller's to keep: written before the process is started (without a process)
// and again after (with it). It is all that adopt() needs after a restart of the daemon.
//
// Calls for several VMs may run at once, and next_change() beside any other call for its VM. Every
// call must have ended before close() is called, and close() before the driver goes away.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "core/image/digest.h"
#include "env/process.h"
#include "env/task.h"

namespace blixard::vm {

enum class Accelerator : std::uint8_t { kTcg, kKvm, kSimulated };
std::string_view accelerator_name(Accelerator accelerator);  // "tcg", "kvm", "simulated"

// Facts of this host and driver; shown by `blixard doctor`, used by placement.
struct Capabilities {
  Accelerator accelerator = Accelerator::kTcg;
  std::string accelerator_reason;  // one line: which one and why
  std::string hypervisor;          // "qemu", "simulated"
  std::string version;             // of the hypervisor
  std::uint64_t tsc_khz = 0;
  bool pause = false;
  bool templates = false;  // make_template() may work, and start() from what it made
  bool snapshot = false;
  bool move = false;
  bool power_button = false;
  bool end_reason_survives_daemon = false;
};

struct Publish {
  std::uint16_t host_port = 0;   // 0: a free one is chosen by prepare()
  std::uint16_t guest_port = 0;  // TCP
  friend bool operator==(const Publish&, const Publish&) = default;
};

struct TemplateFile {
  std::string name;  // in the template's folder
  Bytes size;
  image::Digest digest;
  friend bool operator==(const TemplateFile&, const TemplateFile&) = default;
};

// A booted guest that was saved, to be cloned. Its files are the driver's own, and must not change
// while a clone lives: clones read them on.
struct Template {
  std::string key;        // of all that a clone has to agree in: 64 hex digits
  std::string directory;  // absolute
  std::vector<TemplateFile> files;
};

// The guest that becomes a template has no number of the cluster's. What is left of it is a
// leftover as any other.
inline constexpr VmId kTemplateVm{std::numeric_limits<std::uint64_t>::max() - 1};

// Nor have processes that stand by: hypervisors that were started and wait for a guest to be
// loaded, so that a clone costs no more than the load. They are numbered from 0 on.
inline constexpr std::uint64_t kStandbysMost = 65'536;
constexpr VmId standby_vm(std::uint64_t number) { return VmId(kTemplateVm.value - 1 - number); }
constexpr bool is_standby(VmId id) {
  return id < kTemplateVm && id.value >= kTemplateVm.value - kStandbysMost;
}

// Where a guest that is saved goes, piece by piece, in order.
class StateSink {
 public:
  virtual ~StateSink() = default;
  // The piece must live until it returns.
  virtual env::Task<Result<void>> write(std::string_view piece) = 0;
};

// Where a saved guest comes from. It is read once.
class StateSource {
 public:
  virtual ~StateSource() = default;
  // At least one byte, at most the buffer; 0 at the end, which is only said when all that came is
  // what was saved. Errors: kDataLoss when it is not; of where it is kept.
  virtual env::Task<Result<std::size_t>> read(std::span<char> buffer) = 0;
};

// Everything a guest is made of, with files that exist on this host.
struct GuestSpec {
  VmId id;
  Generation generation;
  Uuid uuid;
  std::string name;
  std::string kernel_path;
  std::string initrd_path;
  std::string cmdline;  // extra kernel arguments
  std::uint32_t vcpus = 1;
  Bytes memory = mib(128);
  std::vector<Publish> published;
  // Of the kernel and the initrd. None: not known, and such a guest has no templates.
  std::optional<image::Digest> kernel_digest;
  std::optional<image::Digest> initrd_digest;
  std::optional<Template> clone_of;  // none: it boots, or goes on
  // The saved guest that goes on in it. None: it boots, or is a clone; never both.
  std::shared_ptr<StateSource> resumes;
};
// Bounds that hold whatever the hypervisor is. Errors: kInvalidArgument "spec_invalid".
Result<void> check_guest_spec(const GuestSpec& spec);

struct Record {
  VmId id;
  Generation generation;
  Uuid uuid;
  std::string name;
  std::string directory;  // of this VM's sockets, console and output
  std::string group;      // of its processes
  std::vector<Publish> published;
  Accelerator accelerator = Accelerator::kTcg;
  env::ProcessId process;    // pid 0: not started yet
  std::string template_key;  // of the template it is a clone of; empty: it is none
  bool is_resumed = false;   // it is a saved guest that goes on
  // Under which uuid its process was started, when that stood by; nil: under that of the VM.
  Uuid standby;

  [[nodiscard]] std::string encode() const;              // JSON
  static Result<Record> decode(std::string_view bytes);  // errors: kDataLoss "record_invalid"
};

enum class Phase : std::uint8_t {
  kStarting,
  kRunning,
  kPaused,
  kEnded,     // the guest shut down, or the hypervisor said goodbye
  kPanicked,  // the guest's kernel
  kGone,      // the process is not there any more
};
std::string_view phase_name(Phase phase);  // "running"
bool has_ended(Phase phase);
// kStarting and kRunning are one to whoever waits for a change: they differ for who waits for the
// guest.
Phase without_readiness(Phase phase);

enum class EndReason : std::uint8_t {
  kNone,
  kGuestShutdown,
  kGuestPanic,
  kStoppedByAgent,  // rungs of the stop ladder, in order
  kStoppedByButton,
  kStoppedByQuit,
  kStoppedByKill,
  kProcessDied,  // killed from outside or crashed
  kStartFailed,
};
std::string_view end_reason_name(EndReason reason);  // "guest_shutdown"

struct Status {
  Phase phase = Phase::kStarting;
  EndReason end = EndReason::kNone;
  std::string detail;  // for people: exit status and the last lines of output; bounded
};

// Bounded waits of the rungs: agent shutdown, power button, quit, then SIGKILL.
struct StopLadder {
  Duration agent = 5s;
  Duration button = 10s;
  Duration quit = 2s;
};

class Driver {
 public:
  virtual ~Driver() = default;

  // At most 10 s the first time, then cached; the first start() may find out better which
  // accelerator works. Errors: kNotFound "hypervisor_missing",
  // kFailedPrecondition "accelerator_unusable" when one was forced.
  virtual env::Task<Result<Capabilities>> probe() = 0;

  // Directory, group, ports; idempotent by VmId. Errors: kAlreadyExists "port_in_use",
  // kNotFound "image_file_missing", kResourceExhausted.
  virtual env::Task<Result<Record>> prepare(GuestSpec spec) = 0;

  // Starts the process and returns its record when the monitor answers; the guest boots on. If
  // the record's process still runs, that one is returned. A saved guest is loaded when it returns,
  // and has not run: resume() lets it. A clone or saved guest that was never let run is ended and
  // started anew. Errors: kInternal "start_failed" with the last lines of output,
  // kDeadlineExceeded, kFailedPrecondition "accelerator_unusable", kDataLoss "template_unusable":
  // the template is of other guests or could not be loaded, nothing of the clone runs, and it can
  // be prepared and started again without clone_of; kDataLoss "saved_state_unusable": the same of
  // what is resumed; those of the source that are not kDataLoss.
  virtual env::Task<Result<Record>> start(GuestSpec spec, Record prepared, Instant deadline) = 0;

  // Returns when the guest's agent answered a nonce; that of a clone when it proved to be its
  // template's guest and became this VM: with its name, MAC, machine id, the time, and a random
  // generator that shares nothing with another clone; that of a saved guest when it proved to be
  // this VM's, and has the time and such a generator. Errors: kDeadlineExceeded with the console's
  // tail, kFailedPrecondition "guest_ended" when it ended instead, kDataLoss "template_unusable" or
  // "saved_state_unusable" when it is another guest or refuses.
  virtual env::Task<Result<void>> wait_ready(Record record, Instant deadline) = 0;

  // Takes a running VM over after a restart of the daemon. Errors: kNotFound "process_gone",
  // kFailedPrecondition "not_ours" when what runs there is somebody else's, kAborted
  // "start_unfinished" when it is a clone or a saved guest that was never let run: release it.
  virtual env::Task<Result<Status>> adopt(Record record) = 0;

  virtual env::Task<Result<Status>> inspect(Record record) = 0;

  // Returns at the next end, panic, pause or resume since start(), adopt() or the last call; at
  // once when the guest has ended. Errors: kCancelled.
  virtual env::Task<Result<Status>> next_change(Record record) = 0;

  // Returns when the process has ended, with the rung that did it or why it had ended before.
  virtual env::Task<Result<EndReason>> stop(Record record, StopLadder ladder) = 0;
  virtual env::Task<Result<void>> pause(Record record) = 0;
  // The guest goes on, from a pause, after a save, or for the first time since it was loaded. It is
  // told the time, since its clock stood still: its agent may fail to hear that. One that has to
  // prove yet who it is hears it from wait_ready(). Errors: kFailedPrecondition "guest_ended".
  virtual env::Task<Result<void>> resume(Record record) = 0;

  // Stops the guest and writes all of its state. It stays stopped, whatever the error, and resume()
  // lets it go on. A save that is given up ends by itself. Errors: those of the sink,
  // kResourceExhausted "state_too_large" beyond its memory and limits::kSavedOverheadBytes,
  // kInternal "save_failed", kDeadlineExceeded, kFailedPrecondition "guest_ended", and
  // "guest_not_ready" of a clone that has not become its VM yet.
  virtual env::Task<Result<void>> save(Record record, std::shared_ptr<StateSink> sink,
                                       Instant deadline) = 0;
  // What a saved guest has to agree in with the one that it goes on in, on whatever host: 64 hex
  // digits over everything that the state depends on, but for the frequency of the time stamp
  // counter. Neither name, uuid, number nor ports. Errors: kFailedPrecondition "saves_unsupported"
  // without digests of the image.
  virtual env::Task<Result<std::string>> saved_key(GuestSpec spec) = 0;

  // The newest `size_max` bytes of the guest's console, at most.
  virtual env::Task<Result<std::string>> console(Record record, std::size_t size_max) = 0;

  // Idempotent: ends the process if it still runs and removes all that prepare() and start() made.
  // Errors: kFailedPrecondition "not_ours", and then nothing was touched.
  virtual env::Task<Result<void>> release(Record record) = 0;

  // What a template for such a guest has to agree in: everything that the saved state depends on,
  // and neither name, uuid, number nor ports. Errors: kFailedPrecondition "templates_unsupported".
  virtual env::Task<Result<std::string>> template_key(GuestSpec spec) = 0;
  // Boots such a guest under nobody's name, saves it into `directory`, which is there and empty,
  // and ends it; returns the names of the files made. One at a time; the others wait. What is left
  // of one that was cut short is among leftovers(), its files are the caller's to remove. Errors:
  // those of prepare(), start() and wait_ready(), kFailedPrecondition "templates_unsupported".
  virtual env::Task<Result<std::vector<std::string>>> make_template(GuestSpec spec,
                                                                    std::string directory,
                                                                    Instant deadline) = 0;

  // Sees to it that so many processes stand by for clones of spec.clone_of: starts those that are
  // missing, ends those that are too many. start() of a clone takes one, if there is one, and needs
  // none. Returns how many there are. close() ends them; what is left of one that nobody took is a
  // leftover. Errors: those of start().
  virtual env::Task<Result<std::size_t>> keep_standbys(GuestSpec spec, std::size_t count,
                                                       Instant deadline) = 0;

  // VMs of which something is left on this host, whether or not anybody has their record.
  virtual env::Task<Result<std::vector<VmId>>> leftovers() = 0;
  // release() for one of them without a record.
  virtual env::Task<Result<void>> release_leftover(VmId id) = 0;

  // Lets go of every VM; they run on. What stands by ends.
  virtual env::Task<void> close() = 0;
};

}  // namespace blixard::vm
