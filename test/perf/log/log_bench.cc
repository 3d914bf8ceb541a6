// Appends of 128-byte entries to the durable log, against raw pwrite + fdatasync of the same
// number of bytes at once to a preallocated file on the same disk. Times of a disk mean nothing
// alone, so both are measured in turns in the same run, and the ratio is the result.
//
//   blx_node_log_bench [directory]

#include "node/log/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "env/scope.h"
#include "linux/runtime.h"
#include "node/log/format.h"

namespace blixard::log {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPayloadBytes = 128;
constexpr std::uint64_t kFileBytes = std::uint64_t{64} << 20;
constexpr int kRounds = 5;
constexpr auto kTurn = std::chrono::milliseconds(600);

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

struct Sample {
  double entries_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

Sample summarize(std::vector<double>& latencies_us, std::uint64_t entries, double seconds) {
  std::ranges::sort(latencies_us);
  const auto at = [&](double part) {
    const auto index = static_cast<std::size_t>(part * static_cast<double>(latencies_us.size()));
    return latencies_us[std::min(index, latencies_us.size() - 1)];
  };
  return {static_cast<double>(entries) / seconds, at(0.50), at(0.99)};
}

double micros_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

// One write and sync after the other, each of what `outstanding` entries take in the log.
class RawFile {
 public:
  explicit RawFile(const std::string& path) {
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file_ < 0 || posix_fallocate(file_, 0, kFileBytes) != 0 || fsync(file_) != 0) {
      die("cannot make " + path);
    }
  }
  RawFile(const RawFile&) = delete;
  RawFile& operator=(const RawFile&) = delete;
  ~RawFile() { ::close(file_); }

  Sample run(std::size_t outstanding) {
    const std::string bytes(
        kBatchHeaderBytes + outstanding * BatchEncoder::record_bytes(kPayloadBytes), 'x');
    std::vector<double> latencies_us;
    const auto begin = Clock::now();
    while (Clock::now() - begin < kTurn) {
      const auto start = Clock::now();
      if (position_ + bytes.size() > kFileBytes) position_ = 0;
      const auto count = pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(position_));
      if (count != static_cast<ssize_t>(bytes.size()) || fdatasync(file_) != 0) die("raw write");
      position_ += bytes.size();
      latencies_us.push_back(micros_since(start));
    }
    const double seconds = micros_since(begin) / 1e6;
    return summarize(latencies_us, latencies_us.size() * outstanding, seconds);
  }

 private:
  int file_ = -1;
  std::uint64_t position_ = 0;
};

struct Load {
  Log& log;
  LogIndex next;
  Clock::time_point end;
  std::vector<double> latencies_us;
};

env::Task<void> append_until_end(Load& load) {
  while (Clock::now() < load.end) {
    const auto start = Clock::now();
    std::vector<Entry> entries;
    entries.push_back(
        {.term = Term(1), .index = load.next, .payload = Payload(std::string(kPayloadBytes, 'x'))});
    load.next = load.next.next();
    const auto appended = co_await load.log.append(std::move(entries), std::nullopt);
    if (!appended) die(appended.error().message());
    load.latencies_us.push_back(micros_since(start));
  }
}

env::Task<void> run_log(env::Env env, Log& log, std::size_t outstanding, Sample& sample) {
  const auto begin = Clock::now();
  Load load{.log = log, .next = log.last().next(), .end = begin + kTurn, .latencies_us = {}};
  env::Scope scope(env.executor, co_await env::this_cancellation());
  for (std::size_t i = 0; i < outstanding; ++i)
    scope.spawn(append_until_end(load));
  co_await scope.join();
  const double seconds = micros_since(begin) / 1e6;
  sample = summarize(load.latencies_us, load.latencies_us.size(), seconds);
}

Sample median(std::vector<Sample> samples) {
  const auto middle = [&](double Sample::* field) {
    std::ranges::sort(samples, {}, field);
    return samples[samples.size() / 2].*field;
  };
  return {middle(&Sample::entries_per_second), middle(&Sample::p50_us), middle(&Sample::p99_us)};
}

env::Task<void> measure(env::Env env, std::string directory) {
  auto log = co_await Log::open(env, directory + "/log", {});
  if (!log) die(log.error().message());
  RawFile raw(directory + "/raw");
  constexpr std::array<std::size_t, 4> kOutstanding{1, 16, 64, 256};
  std::array<std::vector<Sample>, kOutstanding.size()> logs;
  std::array<std::vector<Sample>, kOutstanding.size()> raws;
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < kOutstanding.size(); ++i) {
      raws[i].push_back(raw.run(kOutstanding[i]));
      co_await run_log(env, **log, kOutstanding[i], logs[i].emplace_back());
    }
  }
  co_await (*log)->close();

  std::printf(
      "entries of %zu bytes; medians of %d interleaved rounds; raw: one pwrite + fdatasync "
      "of as many entries\n\n",
      kPayloadBytes, kRounds);
  std::printf("%11s | %12s %9s %9s | %12s %9s %9s | %10s %8s %8s\n", "outstanding", "log entry/s",
              "p50 us", "p99 us", "raw entry/s", "p50 us", "p99 us", "throughput", "p50", "p99");
  for (std::size_t i = 0; i < kOutstanding.size(); ++i) {
    const Sample ours = median(logs[i]);
    const Sample theirs = median(raws[i]);
    std::printf("%11zu | %12.0f %9.0f %9.0f | %12.0f %9.0f %9.0f | %9.2fx %7.2fx %7.2fx\n",
                kOutstanding[i], ours.entries_per_second, ours.p50_us, ours.p99_us,
                theirs.entries_per_second, theirs.p50_us, theirs.p99_us,
                ours.entries_per_second / theirs.entries_per_second, ours.p50_us / theirs.p50_us,
                ours.p99_us / theirs.p99_us);
  }
}

}  // namespace
}  // namespace blixard::log

int main(int argc, char** argv) {
  using namespace blixard;  // NOLINT(google-build-using-namespace)
  if (const int code = linux_side::run_hidden_command(argc, argv); code >= 0) return code;
  std::string directory = argc > 1 ? argv[1] : "./log_bench.XXXXXX";
  if (argc <= 1 && mkdtemp(directory.data()) == nullptr) log::die("cannot make a directory");
  directory = std::filesystem::absolute(directory).lexically_normal().string();
  linux_side::Runtime runtime({});
  runtime.run(log::measure(runtime.env(), directory));
  if (argc <= 1) std::filesystem::remove_all(directory);
  return 0;
}
