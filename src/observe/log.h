#pragma once

// Log lines. A line is formatted only when its sink wants its level:
//
//   BLX_LOG(env.log, kInfo, "vm {} started, pid {}", name, pid);
//
// A line is one event in plain words, key facts as values; it ends up in the journal (linux) or
// in the run's trace (simulation), which adds time and node.

#include <cstdint>
#include <string_view>

#include <fmt/core.h>
#include <fmt/format.h>

namespace blixard::observe {

enum class Level : std::uint8_t { kDebug, kInfo, kWarn, kError };

std::string_view level_name(Level level);

class LogSink {
 public:
  virtual ~LogSink() = default;
  [[nodiscard]] virtual bool wants(Level level) const = 0;
  virtual void write(Level level, std::string_view line) = 0;

  template <class... Args>
  void format(Level level, fmt::format_string<Args...> text, Args&&... args) {
    fmt::memory_buffer line;
    fmt::format_to(std::back_inserter(line), text, std::forward<Args>(args)...);
    write(level, {line.data(), line.size()});
  }
};

}  // namespace blixard::observe

#define BLX_LOG(sink, level, ...)                                   \
  do {                                                              \
    if ((sink).wants(::blixard::observe::Level::level))             \
      (sink).format(::blixard::observe::Level::level, __VA_ARGS__); \
  } while (false)
