#include "node/template/pool.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "env/scope.h"
#include "observe/allocations.h"

namespace blixard::templates {
namespace {

constexpr Duration kLookAgain = 5s;  // which have died, and for how many there is still a reason
constexpr Duration kQuietAgain = 50ms;
constexpr Duration kTryAgain = 1min;

}  // namespace

Pool::Pool(env::Env env, vm::Driver& driver, std::size_t most)
    : env_(env), driver_(driver), most_(most), changed_(env.executor) {}

void Pool::started(vm::GuestSpec spec) {
  if (most_ == 0) return;
  const Instant now = env_.clock.monotonic();
  Kind& kind = kinds_[spec.clone_of->key];
  kind.spec = std::move(spec);
  kind.last = now;
  kind.is_gone = false;
  if (kind.kept > 0) --kind.kept;  // it takes one
  kind.starts.push_back(now);
  if (kind.starts.size() > most_) kind.starts.pop_front();
  has_news_ = true;
  changed_.notify_all();
}

void Pool::forget(const std::string& key) {
  const auto found = kinds_.find(key);
  if (found == kinds_.end()) return;
  found->second.is_gone = true;
  has_news_ = true;
  changed_.notify_all();
}

std::size_t Pool::count() const {
  std::size_t sum = 0;
  for (const auto& [key, kind] : kinds_)
    sum += kind.kept;
  return sum;
}

env::Task<void> Pool::run(std::function<bool()> is_starting) {
  const observe::AllocationTag tag(observe::Subsystem::kVm);
  is_starting_ = std::move(is_starting);
  while (co_await wait_for_work())
    co_await keep_all();
}

// False: it was cancelled.
env::Task<bool> Pool::wait_for_work() {
  while (!has_news_) {
    const Instant again = kinds_.empty() ? Instant::never() : env_.clock.monotonic() + kLookAgain;
    const auto waited =
        co_await env::with_deadline(env_.executor, env_.clock, again, changed_.wait());
    if (waited) continue;
    if (waited.error().code() == Code::kCancelled) co_return false;
    break;
  }
  while (is_starting_ && is_starting_()) {
    if (!co_await env_.clock.sleep(kQuietAgain)) co_return false;
  }
  has_news_ = false;
  co_return true;
}

env::Task<void> Pool::keep_all() {
  std::vector<std::pair<Instant, std::string>> by_use;
  by_use.reserve(kinds_.size());
  for (const auto& [key, kind] : kinds_)
    by_use.emplace_back(kind.last, key);
  std::ranges::sort(by_use, std::greater<>());
  std::size_t left = affordable();
  for (const auto& [last, key] : by_use) {
    const auto found = kinds_.find(key);
    if (found == kinds_.end()) continue;
    const std::size_t count = wanted(found->second, left);
    left -= count;
    const auto kept = co_await keep(key, count);
    if (!kept && kept.error().code() == Code::kCancelled) co_return;
  }
}

std::size_t Pool::wanted(Kind& kind, std::size_t left) const {
  const Instant now = env_.clock.monotonic();
  while (!kind.starts.empty() && kind.starts.front() + kWindow < now)
    kind.starts.pop_front();
  if (kind.is_gone || now < kind.not_before || kind.last + kIdle < now) return 0;
  return std::min(left, std::max<std::size_t>(kind.starts.size(), 1));
}

// Those that stand by already have their memory.
std::size_t Pool::affordable() const {
  const std::uint64_t available = env_.machine.memory_available().value;
  const std::uint64_t spare = available - std::min(available, kSpareMemory.value);
  return std::min<std::size_t>(most_, count() + spare / kStandbyMemory.value);
}

env::Task<Result<void>> Pool::keep(std::string key, std::size_t wanted) {
  const vm::GuestSpec spec = kinds_.at(key).spec;
  const auto kept = co_await driver_.keep_standbys(
      spec, wanted, env_.clock.monotonic() + limits::kMonitorTimeout);
  const auto found = kinds_.find(key);
  if (found == kinds_.end()) co_return Result<void>();
  Kind& kind = found->second;
  kind.kept = kept ? *kept : 0;
  const bool is_over = kind.is_gone || kind.last + kIdle < env_.clock.monotonic();
  if (kept && kind.kept == 0 && is_over) kinds_.erase(found);
  if (kept) co_return Result<void>();
  if (kept.error().code() != Code::kCancelled) {
    kind.not_before = env_.clock.monotonic() + kTryAgain;
    BLX_LOG(env_.log, kWarn, "nothing stands by for clones of template {}: {}", key.substr(0, 16),
            kept.error().message());
  }
  co_return std::unexpected(kept.error());
}

}  // namespace blixard::templates
