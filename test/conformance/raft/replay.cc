#include "test/conformance/raft/replay.h"

#include <utility>

#include <fmt/format.h>

#include "test/conformance/raft/environment.h"

namespace blixard::raft::interaction {

std::string Replay::text() const {
  std::string all;
  for (const datadriven::Mismatch& mismatch : outcome.mismatches)
    all += mismatch.text() + "\n";
  return all;
}

std::string_view name_of(Form form) { return form == Form::k34 ? "3.4" : "current"; }

Replay replay(const datadriven::File& file, Form form) {
  Environment environment(form);
  Replay done;
  done.form = form;
  done.outcome = datadriven::run(
      file, [&](const datadriven::Case& block) { return environment.handle(block); });
  return done;
}

Result<Replay> replay(const std::string& path, Form form) {
  BLX_TRY(const datadriven::File file, datadriven::load(path));
  return replay(file, form);
}

Result<Replay> replay(const std::string& path) {
  const bool is_reference = path.starts_with(kReferenceDirectory);
  const Form likely = is_reference ? Form::k34 : Form::kCurrent;
  BLX_TRY(Replay first, replay(path, likely));
  if (first.matches()) return first;
  BLX_TRY(Replay second, replay(path, is_reference ? Form::kCurrent : Form::k34));
  return second.matches() ? std::move(second) : std::move(first);
}

}  // namespace blixard::raft::interaction
