#pragma once

// What goes wrong with a machine's QEMU, and how long things take there. Asked at each step, so it
// may be changed while processes run. The times are those measured of the tiny guest in software
// emulation.

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/units.h"

namespace blixard::sim {

struct TimeRange {
  Duration least{};
  Duration most{};  // included
};

struct QemuFaults {
  // Of processes that start from now on.
  TimeRange open{25ms, 38ms};      // from exec until the monitor can be dialled
  TimeRange boot{1380ms, 1760ms};  // from exec until the agent answers
  TimeRange kvm_boot{150ms, 300ms};
  bool kvm_boots = true;         // false: such a guest never comes up
  bool starts_fail = false;      // the last words, then exit code 1
  bool kvm_starts_fail = false;  // the same, only of those that were to use KVM
  std::string last_words = "qemu-system-x86_64: cannot set up guest memory 'ram0'";
  bool starts_hang = false;  // for good, before they open their sockets

  // Of those that run.
  bool monitor_silent = false;  // it hears nothing and says nothing; what waits is done afterwards
  TimeRange answer_delay;       // before each answer
  std::string noise;            // said once, in place of the next greeting or answer
  std::string noise_at;         // only for the answer to this command; empty: to any
  std::optional<Uuid> uuid;     // what query-uuid is told
  std::set<std::string, std::less<>> ignored;  // commands without any effect or answer
  std::string dies_at;                         // command
  bool ignores_shutdown = false;               // asked of the agent; as a guest without one
  bool ignores_button = false;                 // as a guest without a driver for it
  bool agent_is_stale = false;                 // it answers with another nonce
  bool refuses_identity = false;               // its agent is an old one
  // Of saves and loads. Whoever is to die at "migrate" or "migrate-incoming" does so half way.
  TimeRange save{3ms, 15ms};
  TimeRange load{2ms, 10ms};
  TimeRange wake{23ms, 55ms};     // from `cont` after a load until the agent answers
  bool no_ignore_shared = false;  // a QEMU without this capability
  bool save_fails = false;        // half way; the guest is where it was before
  bool load_fails = false;        // half way, with exit code 1
  bool load_stalls = false;       // half way, for good
  Duration clock_behind{};        // of a loaded guest, beside the time it did not run
};

// Wrong answers, for QemuFaults::noise. "<id>" stands for the command's id, "<answer>" for the
// right answer and "<flood>" for more than a client may take in one line.
struct MonitorNoise {
  std::string_view name;
  std::string_view text;
};
inline constexpr std::array<MonitorNoise, 14> kMonitorNoise = {{
    {"garbage", "\x7f\x01 here speaks no monitor"},
    {"cut", R"({"return": {"status": "ru)"},
    {"array", "[]"},
    {"deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["},
    {"no-id", R"({"return": {}})"},
    {"wrong-id", R"({"return": {"status": "shutdown"}, "id": 4000000000})"},
    {"error", R"({"error": {"class": "GenericError", "desc": "out of order"}, "id": <id>})"},
    {"error-of-nothing", R"({"error": "out of order"})"},
    {"flood", "<flood>"},
    {"unknown-event", R"({"event": "VISITORS", "data": {"from": "far"}})"
                      "\n<answer>"},
    {"twice", "<answer>\n<answer>"},
    {"unknown-status", R"({"return": {"status": "dreaming", "running": true}, "id": <id>})"},
    {"other-uuid", R"({"return": {"UUID": "6f1c1de4-3a8e-4b53-9a54-3d1f2a9c0b77"}, "id": <id>})"},
    {"wrong-types", R"({"return": [7, {"status": 7, "UUID": {}}], "id": <id>})"},
}};

// The lines that are said; `answer` is one without its newline.
std::string expand_noise(std::string_view noise, std::string_view id, std::string_view answer);

}  // namespace blixard::sim
