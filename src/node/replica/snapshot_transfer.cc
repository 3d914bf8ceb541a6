#include "node/replica/snapshot_transfer.h"

#include <utility>

namespace blixard::replica {
namespace {

class Sink final : public peer::SnapshotSink {
 public:
  Sink(raft::Message message, std::uint64_t bytes, std::unique_ptr<log::SnapshotWriter> file,
       SnapshotReceiver& receiver)
      : message_(std::move(message)), bytes_(bytes), file_(std::move(file)), receiver_(receiver) {}
  ~Sink() override { receiver_.snapshot_ended(); }

  env::Task<Result<void>> write(Payload chunk) override {
    if (chunk.size() > bytes_ - content_.size()) {
      co_return fail(Code::kInvalidArgument, "snapshot_invalid", "longer than announced");
    }
    content_ += chunk.view();
    co_return co_await file_->write(std::move(chunk));
  }

  env::Task<Result<void>> finish() override {
    if (content_.size() != bytes_) {
      co_return fail(Code::kInvalidArgument, "snapshot_invalid", "shorter than announced");
    }
    BLX_CO_TRY(cluster::State state, cluster::State::decode(content_));
    content_ = {};
    if (state.configuration() != message_.snapshot->configuration) {
      co_return fail(Code::kDataLoss, "snapshot_invalid", "its configuration is another one");
    }
    BLX_CO_TRY(co_await file_->finish(std::nullopt));
    raft::SnapshotMeta meta = *message_.snapshot;
    co_return receiver_.snapshot_received({std::move(meta), std::move(state), std::move(file_)},
                                          std::move(message_));
  }

 private:
  raft::Message message_;
  std::uint64_t bytes_;
  std::unique_ptr<log::SnapshotWriter> file_;
  SnapshotReceiver& receiver_;
  std::string content_;  // decoding needs it whole
};

class Source final : public peer::SnapshotSource {
 public:
  explicit Source(std::unique_ptr<log::SnapshotReader> file) : file_(std::move(file)) {}

  [[nodiscard]] std::uint64_t bytes() const override { return file_->bytes(); }
  env::Task<Result<Payload>> read() override { return file_->read(); }

 private:
  std::unique_ptr<log::SnapshotReader> file_;
};

}  // namespace

std::unique_ptr<peer::SnapshotSink> make_snapshot_sink(raft::Message message, std::uint64_t bytes,
                                                       std::unique_ptr<log::SnapshotWriter> file,
                                                       SnapshotReceiver& receiver) {
  return std::make_unique<Sink>(std::move(message), bytes, std::move(file), receiver);
}

std::unique_ptr<peer::SnapshotSource> make_snapshot_source(
    std::unique_ptr<log::SnapshotReader> file) {
  return std::make_unique<Source>(std::move(file));
}

}  // namespace blixard::replica
