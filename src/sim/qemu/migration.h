#pragma once

// The monitor's words for saving and loading a guest, and the two transfers. A stream that somebody
// handed over is where the state goes to or comes from; at most one transfer is under way.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "env/network.h"
#include "env/task.h"
#include "sim/qemu/qmp_outcome.h"
#include "sim/qemu/saved_state.h"

namespace blixard::sim {

class QemuGuest;

class QemuMigration {
 public:
  explicit QemuMigration(QemuGuest& guest) : guest_(guest) {}

  // None: it is no command of this kind. Of `streams` it takes the one that it is told to use.
  std::optional<QmpOutcome> obey(std::string_view command, const boost::json::object* arguments,
                                 QmpStreams& streams);

 private:
  enum class Progress : std::uint8_t { kNone, kActive, kCompleted, kFailed };

  QmpOutcome list_capabilities() const;
  QmpOutcome set_capabilities(const boost::json::object* arguments);
  QmpOutcome set_parameters(const boost::json::object* arguments) const;
  QmpOutcome progress() const;
  QmpOutcome begin_save(const boost::json::object* arguments, QmpStreams& streams);
  QmpOutcome begin_load(const boost::json::object* arguments, QmpStreams& streams);

  env::Task<void> save(std::unique_ptr<env::Stream> stream);
  env::Task<void> load(std::unique_ptr<env::Stream> stream);
  // Until it has so many bytes or the other end has no more. Errors: kCancelled and the like.
  static env::Task<Result<void>> read_up_to(env::Stream& stream, std::size_t size,
                                            std::string& bytes);
  // What a fault wants half way. False: it does not go on.
  env::Task<bool> pass_half_way();
  [[nodiscard]] std::optional<std::string> unfit(const SavedState& state) const;
  void fail_load(std::string_view why);

  QemuGuest& guest_;
  bool ignores_shared_ = false;
  bool is_saving_ = false;
  bool was_told_to_load_ = false;
  Progress progress_ = Progress::kNone;
};

}  // namespace blixard::sim
