#include "node/log/vote_guard.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "node/log/advice.h"
#include "node/log/segment.h"

namespace blixard::log {
namespace {

constexpr std::size_t kVoteFileBytesMax = 4096;

std::unexpected<Error> refuse(const char* reason, const std::string& path,
                              const std::string& what) {
  return fail(Code::kDataLoss, reason,
              fmt::format("{}: {}; the node could vote twice in one term. In a cluster, remove it "
                          "on another node with {}",
                          path, what, kEnterAgain));
}

bool same(const Vote& file, const HardState& state) {
  return file.term == state.term && file.vote == state.vote;
}

bool newer(const Vote& file, const HardState& state) {
  return file.term > state.term || (file.term == state.term && file.vote && !state.vote);
}

std::string describe(Term term, NodeId vote) {
  return fmt::format("term {}, vote {}", term.value, vote.value);
}

}  // namespace

VoteFile::VoteFile(env::Disk& disk, const std::string& directory)
    : disk_(disk), path_(env::join_path(directory, "vote")) {}

env::Task<Result<std::optional<Vote>>> VoteFile::read() {
  const auto bytes = co_await disk_.read_file(path_, kVoteFileBytesMax);
  if (!bytes) {
    if (bytes.error().code() == Code::kNotFound) co_return std::optional<Vote>();
    if (bytes.error().reason() == "file_too_large") {
      co_return refuse("vote_damaged", path_, "it is larger than it can be");
    }
    co_return std::unexpected(bytes.error());
  }
  const auto vote = decode_vote(*bytes);
  if (vote) co_return std::optional(*vote);
  if (vote.error().code() == Code::kDataLoss) {
    co_return refuse("vote_damaged", path_, "the record of the last vote is damaged");
  }
  co_return fail(vote.error().code(), "log_too_new",
                 path_ + ": " + std::string(vote.error().detail()));
}

env::Task<Result<void>> VoteFile::prepare(Vote vote) {
  const std::string bytes = encode_vote(vote);
  BLX_CO_TRY(auto file,
             co_await disk_.open(path_ + std::string(kUnfinished), env::OpenMode::kCreate));
  BLX_CO_TRY(co_await file->resize(0));
  const std::array<std::string_view, 1> parts{bytes};
  co_return co_await file->write_and_sync(0, parts);
}

env::Task<Result<void>> VoteFile::publish() {
  BLX_CO_TRY(co_await disk_.rename(path_ + std::string(kUnfinished), path_));
  co_return co_await disk_.sync_directory(std::string(env::parent_path(path_)));
}

Result<bool> check_vote(const std::string& path, const std::optional<Vote>& file,
                        const LoggedVote& log) {
  const Vote known = file.value_or(Vote{.log_id = log.log_id});
  if (known.log_id != log.log_id) {
    return refuse("vote_damaged", path, "it belongs to another log");
  }
  if (known.batch >= log.next_batch || newer(known, log.now)) {
    return refuse("log_corrupt", path,
                  fmt::format("{} was durable in batch {}, but the log ends before batch {} with "
                              "{}: its end was lost",
                              describe(known.term, known.vote), known.batch, log.next_batch,
                              describe(log.now.term, log.now.vote)));
  }
  if (same(known, log.now)) return false;
  if (same(known, log.before_last_batch)) return true;
  return refuse(
      "vote_damaged", path,
      fmt::format("{} {}, older than any crash leaves it behind the log's {}",
                  file ? "it says" : "it is missing, which means", describe(known.term, known.vote),
                  describe(log.now.term, log.now.vote)));
}

}  // namespace blixard::log
