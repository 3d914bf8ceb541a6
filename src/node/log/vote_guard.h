#pragma once

// The file `vote`: term and vote once more, beside the log.
//
// Why. Damage to the log's last batch cannot be told from a write that a power loss tore, and is
// cut. If that batch held a vote that was sent, the node would vote again in the same term. So
// every change of term or vote is also in this file, checksummed and replaced atomically.
//
// The order, for a batch n that changes term or vote:
//   1. the new file is written under another name and synced (a full disk is met here);
//   2. the batch is written and synced;
//   3. the file is renamed into place and the directory synced;
//   4. the append is answered; batch n + 1 may be written.
// What the file says is thus never ahead of the log: 3 comes after 2. And it is behind by the last
// batch at most: 4 comes after 3. A crash can leave, besides both the same, only the log's last
// batch with the change and the file without it. So when a log is opened:
//   * the file names a batch that the log does not have, or a newer vote: a durable batch is lost;
//   * the file says what the log says: sound;
//   * it says what the log said before its last batch: sound, and brought up to date before
//     anything is done with that vote;
//   * anything else, a damaged or a missing one among it, cannot come from a crash.
// No file is the same as one with term 0 and no vote.

#include <optional>
#include <string>

#include "base/result.h"
#include "env/disk.h"
#include "env/task.h"
#include "node/log/format.h"

namespace blixard::log {

class VoteFile {
 public:
  VoteFile(env::Disk& disk, const std::string& directory);

  // None: there is no file. Errors: kDataLoss "vote_damaged", kFailedPrecondition "log_too_new";
  // disk errors.
  env::Task<Result<std::optional<Vote>>> read();
  env::Task<Result<void>> prepare(Vote vote);  // step 1
  env::Task<Result<void>> publish();           // step 3

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  env::Disk& disk_;
  std::string path_;
};

// What the log says, when it is opened, for comparison.
struct LoggedVote {
  Uuid log_id;
  std::uint64_t next_batch = 1;
  HardState now;
  HardState before_last_batch;
};

// True: the file is to be brought up to date. Errors: kDataLoss "log_corrupt", "vote_damaged" with
// what happened and what to do.
Result<bool> check_vote(const std::string& path, const std::optional<Vote>& file,
                        const LoggedVote& log);

}  // namespace blixard::log
