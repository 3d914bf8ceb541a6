#pragma once

// What a case of the seam's suite is: written once against env::Env, run on both sides.

#include <span>
#include <string>

#include <gtest/gtest.h>

#include "env/env.h"

namespace blixard::seam {

// Where a case runs: an empty directory for its files and sockets, and a shell that knows
// "exit N", "echo TEXT" and "sleep SECONDS".
struct Site {
  std::string directory;
  std::string shell;
};

struct Case {
  const char* name;
  env::Task<void> (*body)(env::Env env, Site site);
};

// In security_cases.cc.
std::span<const Case> security_cases();

template <class T>
std::string reason(const Result<T>& result) {
  return result ? "ok" : std::string(result.error().reason());
}

template <class T>
Code code(const Result<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? Code::kInternal : result.error().code();
}

inline Instant soon(const env::Env& env) { return env.clock.monotonic() + 10s; }

env::Task<Result<std::string>> read_to_end(env::Stream& stream);

}  // namespace blixard::seam
