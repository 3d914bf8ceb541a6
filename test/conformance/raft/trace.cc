#include "test/conformance/raft/trace.h"

namespace blixard::raft::interaction {

void Trace::indented(const std::function<void()>& inner) {
  std::string outer = std::exchange(text_, std::string());
  inner();
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    outer += "  ";
    outer += rest.substr(0, end);
    outer += '\n';
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  text_ = std::move(outer);
}

std::string Trace::take(const std::string& error) {
  const bool silenced = std::exchange(quiet_, false);
  std::string text = std::exchange(text_, std::string());
  if (!error.empty() && is_quiet()) return error;
  text += error;
  if (!text.empty()) return text;
  return silenced && form_ == Form::k34 ? "ok (quiet)" : "ok";
}

}  // namespace blixard::raft::interaction
