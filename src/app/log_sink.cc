#include "app/log_sink.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace blixard::app {
namespace {

spdlog::level::level_enum to_spdlog(observe::Level level) {
  switch (level) {
    case observe::Level::kDebug:
      return spdlog::level::debug;
    case observe::Level::kInfo:
      return spdlog::level::info;
    case observe::Level::kWarn:
      return spdlog::level::warn;
    case observe::Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

class SpdlogSink final : public ProgramLog {
 public:
  explicit SpdlogSink(observe::Level least)
      : logger_("blixard", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    set_least(least);
    logger_.flush_on(spdlog::level::debug);
  }

  void set_least(observe::Level least) override { logger_.set_level(to_spdlog(least)); }

  [[nodiscard]] bool wants(observe::Level level) const override {
    return logger_.should_log(to_spdlog(level));
  }
  void write(observe::Level level, std::string_view line) override {
    logger_.log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  spdlog::logger logger_;
};

}  // namespace

std::unique_ptr<ProgramLog> make_log_sink(observe::Level least) {
  return std::make_unique<SpdlogSink>(least);
}

}  // namespace blixard::app
