#pragma once

// How far a fuzz run is: which seeds are done, what they came to, what failed. Kept in a file if
// asked, so that a soak of hours can be stopped and gone on with.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/vopr/run_result.h"
#include "base/result.h"
#include "vopr/report.h"

namespace blixard::app {

struct Failure {
  std::uint64_t seed = 0;
  std::string checker;
  std::string text;
  std::string file;  // the saved plan
  friend bool operator==(const Failure&, const Failure&) = default;
};

struct FuzzState {
  std::vector<std::string> scenarios;  // their names; another run's state is refused
  bool guided = false;
  std::uint64_t from = 0;
  std::uint64_t next = 0;           // below it everything was begun
  std::set<std::uint64_t> running;  // of those, what is not done
  std::uint64_t done = 0;
  Duration virtual_time{};
  Duration real_time{};
  vopr::Counts counts;
  vopr::Coverage coverage;
  std::uint64_t hash = 0;  // of all seeds and their trace hashes, in whatever order
  std::uint64_t failed = 0;
  std::vector<Failure> failures;  // the first ones

  void take(std::uint64_t seed, const RunResult& result);
};

std::string state_text(const FuzzState& state);
Result<FuzzState> parse_state(std::string_view text);

// "  412 seeds  1 failed   2.1 days virtual  80211 operations   8.2 seeds/s  912 virtual s/s core"
std::string progress_text(const FuzzState& state, Duration real_now, std::uint64_t done_now,
                          Duration virtual_now, std::uint64_t jobs);

}  // namespace blixard::app
