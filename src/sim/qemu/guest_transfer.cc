// How a guest gets out of a process and into another one: the part of QemuGuest that saves and
// loads, and what its memory means afterwards.

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "sim/qemu/guest.h"

namespace blixard::sim {
namespace {

constexpr Duration kCrash = 1s;  // until a guest without its memory has noticed, and boots
constexpr int kSignalBus = 7;

bool is_empty(std::string_view page) { return page.find_first_not_of('\0') == page.npos; }

}  // namespace

Soul QemuGuest::be_born() {
  const auto random = env_.random.fork("guest");
  Soul soul;
  soul.host_name = line_.host_name;
  soul.mac = line_.mac;
  soul.machine_id = random->hex(16);
  soul.random.seed = random->next();
  soul.clock = GuestClock(env_.clock.wall(), {});
  return soul;
}

bool QemuGuest::memory_holds() {
  if (memory_.is_cut()) {
    process_.die(kSignalBus);
    return false;
  }
  if (loaded_.empty()) return true;
  // What is beyond the last line nobody uses.
  const std::size_t used = std::min(loaded_.find('\0'), loaded_.size());
  if (memory_.page().starts_with(std::string_view(loaded_).substr(0, used))) return true;
  is_dead_ = true;
  return false;
}

std::optional<SavedState> QemuGuest::begin_save(bool ignores_shared) {
  before_save_ = state_;
  being_saved_ = 0;
  if (state_ == QemuState::kRunning) {
    stand_still(QemuState::kFinishMigrate);
  } else {
    set_state(QemuState::kFinishMigrate);
  }
  SavedState saved{.ignores_shared = ignores_shared,
                   .has_memory = !(ignores_shared && memory_.is_shared()),
                   .memory_size = line_.memory,
                   .state = before_save_};
  saved.page.assign(kSoulBytes, '?');
  if (soul_) {
    Soul soul = *soul_;
    soul.save = being_saved_ = env_.random.next() | 1U;
    const bool is_lost = is_dead_ || (!is_booted_ && boots_at_ == Instant::never());
    soul.boot_left = is_booted_ ? Duration{} : boot_left_;
    if (is_lost) soul.boot_left.reset();
    saved.page = encode_soul(soul, now());
  }
  saved.page_checksum = checksum(saved.page);
  if (memory_.is_shared() && !memory_.store(saved.page)) {
    process_.die(kSignalBus);
    return std::nullopt;
  }
  return saved;
}

void QemuGuest::end_save(bool is_saved) {
  if (!is_saved && before_save_ == QemuState::kRunning) return run_on();
  set_state(QemuState::kPostMigrate);
  if (is_saved && being_saved_ != 0 && hooks_.is_saved) hooks_.is_saved(being_saved_);
}

void QemuGuest::take_in(const SavedState& saved) {
  BLX_ASSERT(state_ == QemuState::kInMigrate);
  if (memory_.in_file() && !saved.has_memory) loaded_ = memory_.page();
  const std::string& page = saved.has_memory ? saved.page : loaded_;
  is_damaged_ = !saved.devices_are_right || checksum(page) != saved.page_checksum;
  boots_at_ = Instant::never();
  if (is_empty(page)) {
    boot_after_crash();
  } else if (auto soul = decode_soul(page)) {
    wake_up(*std::move(soul));
  }
  const bool runs = saved.state == QemuState::kRunning;
  if (!runs) return set_state(saved.state);
  set_state(QemuState::kPaused);
  if (runs_after_load_) run_on();
}

// Nothing of what it was is there: what its processors were about makes no sense any more.
void QemuGuest::boot_after_crash() {
  soul_ = be_born();
  boot_left_ = kCrash + draw(faults_.boot);
  boots_at_ = now() + boot_left_;
  print("booting\n");
}

void QemuGuest::wake_up(Soul soul) {
  soul_ = std::move(soul);
  soul_->clock.fall_behind(faults_.clock_behind);
  const Duration wakes = draw(faults_.wake);
  if (!soul_->boot_left) return;
  boot_left_ = std::max(wakes, *soul_->boot_left);
  boots_at_ = now() + boot_left_;
}

}  // namespace blixard::sim
