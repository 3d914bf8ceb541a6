#pragma once

// Replays one file of judgements against our core.

#include <string>

#include "base/result.h"
#include "test/conformance/raft/datadriven.h"
#include "test/conformance/raft/render.h"

namespace blixard::raft::interaction {

struct Replay {
  Form form = Form::kCurrent;
  datadriven::Outcome outcome;
  [[nodiscard]] bool matches() const { return outcome.mismatches.empty(); }
  // Every difference, readable.
  [[nodiscard]] std::string text() const;
};

// Where Debian's package has the reference's files.
inline constexpr std::string_view kReferenceDirectory =
    "/usr/share/gocode/src/go.etcd.io/etcd/raft/testdata";

[[nodiscard]] std::string_view name_of(Form form);
Replay replay(const datadriven::File& file, Form form);
Result<Replay> replay(const std::string& path, Form form);
// In the series the file is of: 3.4 in the reference's package, else the current one; if that does
// not match and the other does, the other.
Result<Replay> replay(const std::string& path);

}  // namespace blixard::raft::interaction
