#pragma once

// Server-sent events (HTML standard, section 9.2): how one is written, and a parser for clients.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blixard::http {

struct ServerEvent {
  std::string id;
  std::string type;  // "message" when the server names none
  std::string data;  // lines joined by \n
  friend bool operator==(const ServerEvent&, const ServerEvent&) = default;
};

std::string encode_event(const ServerEvent& event);
std::string encode_comment(std::string_view text);

class EventParser {
 public:
  explicit EventParser(std::size_t event_bytes_max = std::size_t{1} << 20)
      : event_bytes_max_(event_bytes_max) {}

  void put(std::string_view piece) { input_ += piece; }
  // The next whole event; nothing: more bytes are needed. Errors: kResourceExhausted
  // "event_too_large".
  Result<std::optional<ServerEvent>> next();

 private:
  void take_line(std::string_view line);

  std::size_t event_bytes_max_;
  std::string input_;
  std::string last_id_;
  std::string type_;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace blixard::http
