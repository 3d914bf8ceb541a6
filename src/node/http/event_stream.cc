#include "node/http/event_stream.h"

#include <utility>

namespace blixard::http {

std::string encode_event(const ServerEvent& event) {
  std::string text;
  if (!event.id.empty()) text += "id: " + event.id + "\n";
  if (!event.type.empty()) text += "event: " + event.type + "\n";
  std::string_view data = event.data;
  while (true) {
    const auto end = data.find('\n');
    text += "data: ";
    text += data.substr(0, end);
    text += '\n';
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  text += '\n';
  return text;
}

std::string encode_comment(std::string_view text) { return ": " + std::string(text) + "\n\n"; }

Result<std::optional<ServerEvent>> EventParser::next() {
  while (true) {
    const auto end = input_.find('\n');
    if (input_.size() + data_.size() > event_bytes_max_ && end == std::string::npos) {
      return fail(Code::kResourceExhausted, "event_too_large");
    }
    if (end == std::string::npos) return std::nullopt;
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) {
      take_line(line);
      if (data_.size() > event_bytes_max_) return fail(Code::kResourceExhausted, "event_too_large");
      continue;
    }
    ServerEvent event{last_id_, type_.empty() ? "message" : std::exchange(type_, {}),
                      std::exchange(data_, {})};
    type_.clear();
    if (std::exchange(has_data_, false)) return event;
  }
}

void EventParser::take_line(std::string_view line) {
  const auto colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "id") {
    last_id_ = value;
  } else if (name == "event") {
    type_ = value;
  } else if (name == "data") {
    if (has_data_) data_ += '\n';
    data_ += value;
    has_data_ = true;
  }
}

}  // namespace blixard::http
