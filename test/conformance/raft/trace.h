#pragma once

// The text that a script's command answers with: what its handler writes and what the nodes log,
// in the order it happens, indented where the reference indents.

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "test/conformance/raft/render.h"

namespace blixard::raft::interaction {

class Trace {
 public:
  explicit Trace(Form form) : form_(form) {}

  [[nodiscard]] Form form() const { return form_; }
  [[nodiscard]] Level level() const { return level_; }
  void set_level(Level level) { level_ = level; }
  // Level "none" silences the handlers too.
  [[nodiscard]] bool is_quiet() const { return level_ == Level::kNone; }

  void write(std::string_view text) {
    if (is_quiet())
      quiet_ = quiet_ || !text.empty();
    else
      text_ += text;
  }
  void end_line() {
    if (!text_.empty() && text_.back() != '\n') text_ += '\n';
  }
  void log(const LogLine& line) {
    if (line.level < level_) return;
    write(kLevelNames[static_cast<std::size_t>(line.level)]);
    write(" " + line.text + "\n");
  }
  // Every line that `inner` writes is indented.
  void indented(const std::function<void()>& inner);
  // What was written, and begins anew. `error`: what the command failed with.
  std::string take(const std::string& error);

 private:
  Form form_;
  Level level_ = Level::kDebug;
  std::string text_;
  bool quiet_ = false;  // something was silenced
};

}  // namespace blixard::raft::interaction
