#include "node/replica/driver.h"

#include <algorithm>
#include <utility>

#include "core/raft/configuration.h"
#include "env/failpoint.h"
#include "observe/allocations.h"

namespace blixard::replica {
namespace {

// Of failpoints.
[[maybe_unused]] constexpr Duration kThrottledFor = 100ms;    // before each turn of the pump
[[maybe_unused]] constexpr std::uint64_t kForgedTerms = 100;  // ahead of the true one

}  // namespace

Driver::Driver(env::Env env, Duration tick, log::Log& log, peer::Peers& peers, Owner& owner)
    : env_(env),
      tick_(tick),
      log_(log),
      peers_(peers),
      owner_(owner),
      view_(log),
      ticked_(env.executor),
      wrote_(env.executor),
      scope_(env.executor, nullptr) {}

Result<void> Driver::start(const raft::Config& config, const raft::Initial& initial) {
  BLX_TRY(core_, raft::Core::make(config, view_, initial, nullptr));
  durable_commit_ = initial.hard_state.commit;
  handed_out_ = initial.applied;
  scope_.spawn(pump());
  scope_.spawn(tick());
  wake();
  return {};
}

void Driver::halt() {
  halted_ = true;
  wake();
  ticked_.notify_all();
  wrote_.notify_all();
  scope_.cancel();
}

env::Task<void> Driver::stop() {
  halt();
  co_await scope_.join();
  if (!core_ || log_.failed() || !appends_.empty()) co_return;
  if (lazy_hard_state_) {
    ignore(co_await log_.append({}, lazy_hard_state_),
           "the commit index is found again by the leader; it only saves work at the next start");
  }
}

void Driver::step(raft::Message message) {
  if (!running()) return;
  const observe::AllocationTag tag(observe::Subsystem::kRaft);
  ignore(core_->step(std::move(message)), "a message may be late, or not be for us");
  wake();
}

void Driver::wake() {
  awake_ = true;
  if (sleeper_ != nullptr) std::exchange(sleeper_, nullptr)->complete(true);
}

env::Task<void> Driver::pump() {
  while (running()) {
    if (!awake_) {
      env::Parked<bool> woken(env_.executor);
      sleeper_ = &woken;
      co_await woken;
    }
    awake_ = false;
    if (!running()) co_return;
    if (BLX_FAILPOINT_FIRES("system::cpu_throttled")) {
      if (!co_await env_.clock.sleep(kThrottledFor) || !running()) co_return;
    }
    owner_.feed(*core_);
    while (running() && !held_ && core_->has_output())
      co_await carry_out(take_output());
    load_missing();
    if (may_put_off_ && !put_off_.empty()) {
      // Whoever was answered just now may have more for the same message.
      may_put_off_ = false;
      co_await env::Turn{env_.executor};
      if (awake_) continue;
    }
    may_put_off_ = true;
    if (running() && !put_off_.empty()) post(std::exchange(put_off_, {}));
  }
}

raft::Output Driver::take_output() {
  const observe::AllocationTag tag(observe::Subsystem::kRaft);
  return core_->take_output();
}

env::Task<void> Driver::tick() {
  Instant next = env_.clock.monotonic() + tick_;
  while (running()) {
    const auto slept = co_await env_.clock.sleep_until(next);
    if (!running()) co_return;
    if (!slept) {
      // Without time nothing here would ever end.
      owner_.on_log_failed(slept.error());
      co_return;
    }
    next = std::max(next + tick_, env_.clock.monotonic());
    if (!waits_for_own_vote()) core_->tick();
    if (!core_->is_leader() && BLX_FAILPOINT_FIRES("raft::fake_leader")) post(claim_to_lead());
    owner_.on_tick();
    ticked_.notify_all();
    wake();
  }
}

// A disk that is slower than an election would be asked for one vote after the other.
bool Driver::waits_for_own_vote() const {
  const raft::Role role = core_->role();
  return !appends_.empty() && (role == raft::Role::kCandidate || role == raft::Role::kPreCandidate);
}

env::Task<void> Driver::carry_out(raft::Output output) {
  const bool held = holds_back(output);
  owner_.snapshot_decided(output.append && output.append->snapshot);
  const bool writes = output.append.has_value();
  if (writes) enqueue(*std::exchange(output.append, std::nullopt));
  if (held) {
    held_ = std::move(output);
    co_return;
  }
  put_off(output.messages);
  send(std::exchange(output.messages, {}));
  // The disk begins first and works while the state machine does.
  if (writes && !output.committed.empty()) co_await env::Turn{env_.executor};
  if (running()) carry_on(std::move(output));
}

// Whether everything but the append has to wait: a change of members was committed, and the append
// says so durably.
bool Driver::holds_back(raft::Output& output) {
  LogIndex change;
  for (const raft::Entry& entry : output.committed) {
    handed_out_ = entry.index;
    if (entry.kind != raft::EntryKind::kNormal) change = entry.index;
  }
  if (output.append && output.append->snapshot) handed_out_ = output.append->snapshot->index;
  // A leader's messages tell of all that is committed, and a change may be in the rest.
  if (core_->is_leader() && handed_out_ < core_->commit()) change = core_->commit();
  if (change <= durable_commit_) return false;
  held_for_ = change;
  if (!output.append) output.append.emplace();
  output.append->must_sync = true;
  output.append->hard_state = core_->status().hard_state;
  return true;
}

void Driver::carry_on(raft::Output output) {
  if (!output.messages.empty()) send(std::move(output.messages));
  if (output.soft_state) owner_.on_role(*output.soft_state);
  // A snapshot that the core took meanwhile covers them, and its members are the core's already:
  // they must not be changed by what came before.
  if (!output.committed.empty() && !core_->installs_snapshot()) {
    owner_.on_committed(output.committed);
  }
  for (const raft::ReadState& read : output.reads)
    owner_.on_read(read);
  core_->recycle(std::move(output));
}

void Driver::send(std::vector<raft::Message> messages) {
  const auto is_snapshot = [](const raft::Message& message) {
    return message.type == raft::MessageType::kSnapshot;
  };
  for (raft::Message& message : messages) {
    if (is_snapshot(message)) owner_.send_snapshot(std::move(message));
  }
  std::erase_if(messages, is_snapshot);
  if (!messages.empty()) post(std::move(messages));
}

void Driver::post(std::vector<raft::Message> messages) {
  meet_failpoints(messages);
  peers_.send(std::move(messages));
}

// What a faulty network or a faulty node would make of them.
void Driver::meet_failpoints([[maybe_unused]] std::vector<raft::Message>& messages) {
#ifdef BLX_FAILPOINTS
  std::vector<raft::Message> again;
  for (raft::Message& message : messages) {
    const bool votes = message.type == raft::MessageType::kVoteResponse ||
                       message.type == raft::MessageType::kPreVoteResponse;
    if (votes && BLX_FAILPOINT_FIRES("raft::duplicate_vote")) again.push_back(message);
    // Not of what carries entries: those would come to stand under a term that nobody won.
    const bool beats = message.type == raft::MessageType::kHeartbeat;
    if (beats && BLX_FAILPOINT_FIRES("raft::forge_term")) message.term.value += kForgedTerms;
  }
  std::ranges::move(again, std::back_inserter(messages));
  std::erase_if(messages, [](const raft::Message& message) {
    if (message.type != raft::MessageType::kHeartbeat) {
      return BLX_FAILPOINT_FIRES("raft::send_message");
    }
    return BLX_FAILPOINT_FIRES("raft::heartbeat");
  });
#endif
}

// What a node sends that takes itself for the leader of its term.
std::vector<raft::Message> Driver::claim_to_lead() const {
  const raft::Status status = core_->status();
  std::vector<raft::Message> beats;
  for (const NodeId to : raft::all_voters(status.configuration)) {
    if (to == core_->id()) continue;
    beats.push_back({.type = raft::MessageType::kHeartbeat,
                     .from = core_->id(),
                     .to = to,
                     .term = status.hard_state.term});
  }
  return beats;
}

// Keeps back, for one more turn, what only says how far the log is committed: under load entries
// follow at once, and say so too. An append that is lost, or overtaken by a later one, does no
// harm.
void Driver::put_off(std::vector<raft::Message>& messages) {
  for (raft::Message& message : messages) {
    if (message.type != raft::MessageType::kAppend) continue;
    std::erase_if(put_off_, [&](const raft::Message& older) { return older.to == message.to; });
    if (message.entries.empty()) put_off_.push_back(std::move(message));
  }
  std::erase_if(messages, [](const raft::Message& message) {
    return message.type == raft::MessageType::kAppend && message.entries.empty();
  });
}

// Appends.

void Driver::enqueue(raft::Append append) {
  if (append.hard_state) {
    // Nothing waits for a commit index alone. One that waits still when a term or vote comes must
    // not be written behind it: an older term would be the last one that a start finds.
    lazy_hard_state_.reset();
    if (!append.must_sync) lazy_hard_state_.swap(append.hard_state);
  }
  if (appends_.empty() && append.entries.empty() && !append.snapshot && !append.hard_state) {
    finish(std::move(append));
    return;
  }
  appends_.push_back({.append = std::move(append)});
  submit();
  if (writing_) return;
  writing_ = true;
  scope_.spawn(write());
}

// Hands to the log what may follow what it has. A snapshot, and entries that overwrite others, wait
// until they are the first: the log may still refuse what is in front of them, and everything
// behind what was refused is handed over once more.
void Driver::submit() {
  LogIndex last;
  for (Writing& next : appends_) {
    if (next.append.snapshot) return;
    if (const auto& entries = next.append.entries; !entries.empty()) {
      if (last && entries.front().index <= last) return;
      last = entries.back().index;
    }
    if (next.handed_over) continue;
    // The answer of what was refused may still be on its way.
    if (log_.refusals() != refusals_) return;
    hand_over(next);
  }
}

void Driver::hand_over(Writing& next) {
  if (&next == &appends_.back() && lazy_hard_state_) {
    // Behind every entry it speaks of, or a start would find a commit beyond the log.
    if (!next.append.hard_state) next.append.hard_state = lazy_hard_state_;
    lazy_hard_state_.reset();
  }
  // The entries stay here, in case that the disk is full: an entry is a reference to its payload.
  next.written = log_.append(next.append.entries, next.append.hard_state);
  next.handed_over = true;
}

env::Task<void> Driver::write() {
  while (!appends_.empty() && running()) {
    const auto written = co_await write_first();
    if (written) {
      Writing done = std::move(appends_.front());
      appends_.pop_front();
      if (const auto& state = done.append.hard_state) {
        durable_commit_ = std::max(durable_commit_, state->commit);
      }
      finish(std::move(done.append));
      if (held_ && held_for_ <= durable_commit_) carry_on(*std::exchange(held_, std::nullopt));
      wrote_.notify_all();
      continue;
    }
    if (log_.failed() || written.error().code() != Code::kResourceExhausted) {
      owner_.on_log_failed(written.error());
      break;
    }
    BLX_LOG(env_.log, kWarn, "replica: the log cannot be written, tried again soon: {}",
            written.error().message());
    disk_full_ = true;
    co_await withdraw();
    const auto ticked = co_await ticked_.wait();
    disk_full_ = false;
    if (!ticked) break;
  }
  co_await withdraw();
  writing_ = false;
}

env::Task<Result<void>> Driver::write_first() {
  Writing& first = appends_.front();
  if (first.append.snapshot) {
    BLX_CO_TRY(co_await owner_.install(*first.append.snapshot));
    first.append.snapshot.reset();
  }
  if (!first.handed_over) {
    drop_written(first.append.entries);
    refusals_ = log_.refusals();  // nothing is in front of it, nothing was handed over behind it
    hand_over(first);
    submit();
  }
  Result<void> written = co_await std::move(first.written);
  first.handed_over = false;
  co_return written;
}

// Of an append that was too large for one batch, a part may have been written before the disk was
// full, and may be behind a snapshot by now.
void Driver::drop_written(std::vector<raft::Entry>& entries) const {
  entries.erase(entries.begin(), std::ranges::find_if_not(entries, [&](const raft::Entry& entry) {
                  return entry.index < log_.first() || log_.term(entry.index) == entry.term;
                }));
}

// Takes back what the log refused together with the first.
env::Task<void> Driver::withdraw() {
  for (std::size_t i = 0; i < appends_.size(); ++i) {
    if (!appends_[i].handed_over) continue;
    ignore(co_await std::move(appends_[i].written), "it is handed over once more, in its turn");
    appends_[i].handed_over = false;
  }
}

void Driver::finish(raft::Append append) {
  if (!running()) return;
  const auto ours = [&](const raft::Message& message) { return message.to == core_->id(); };
  for (raft::Message& message : append.responses) {
    if (!ours(message)) continue;
    ignore(core_->step(std::move(message)), "it may be of a term that has passed");
  }
  std::erase_if(append.responses, ours);
  if (!append.responses.empty()) post(std::move(append.responses));
  core_->appended(append.mark);
  core_->recycle({.append = std::move(append)});
  wake();
}

// Another leader's entry may be in its place until it is overwritten.
env::Task<Result<void>> Driver::durable(LogIndex index, Term term) {
  while (running() && index >= log_.first() && log_.term(index) != term)
    BLX_CO_TRY(co_await wrote_.wait());
  if (!running()) co_return fail(Code::kUnavailable, "stopped");
  co_return Result<void>();
}

// Entries from disk.

void Driver::load_missing() {
  if (loading_) return;
  const auto missing = view_.take_missing();
  if (!missing) return;
  loading_ = true;
  scope_.spawn(load(*missing));
}

env::Task<void> Driver::load(LogView::Missing missing) {
  auto entries = co_await log_.read(missing.from, missing.to, missing.bytes_max);
  if (!running()) co_return;
  if (entries) {
    view_.put(std::move(*entries));
  } else if (entries.error().code() == Code::kDataLoss) {
    owner_.on_log_failed(entries.error());
    co_return;
  } else if (!co_await outlast(entries.error())) {
    co_return;
  }
  loading_ = false;
  core_->entries_loaded();
  wake();
}

// The core asks again as soon as it may, and a disk that fails must not be asked without a pause.
// What was compacted or overwritten meanwhile the core finds out by itself.
env::Task<bool> Driver::outlast(const Error& error) {
  if (error.code() == Code::kFailedPrecondition || error.code() == Code::kNotFound) co_return true;
  BLX_LOG(env_.log, kWarn, "replica: the log cannot be read, tried again soon: {}",
          error.message());
  const auto ticked = co_await ticked_.wait();
  co_return ticked.has_value() && running();
}

}  // namespace blixard::replica
