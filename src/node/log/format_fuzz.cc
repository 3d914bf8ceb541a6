// Whatever bytes are on the disk, the decoders neither read beyond them nor loop.

#include "node/log/format.h"

#include <cstddef>
#include <cstdint>

#include "base/assert.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Uuid log_id = Uuid::from_random(1, 2);

  if (const auto header = log::decode_segment_header(bytes)) {
    BLX_ASSERT(log::decode_segment_header(log::encode_segment_header(*header)));
  }
  ignore(log::decode_snapshot_header(bytes), "any answer will do");
  if (const auto vote = log::decode_vote(bytes)) {
    BLX_ASSERT(log::decode_vote(log::encode_vote(*vote)));
  }
  const auto found = log::find_batch(bytes, 0, log_id);
  BLX_ASSERT(!found || log::batch_bytes(bytes.substr(*found), log_id));
  if (const auto batch = log::decode_batch(bytes, log_id)) {
    BLX_ASSERT(batch->bytes() <= size && found == 0u);
  }

  // Records as if their batch's checksum were right; the first byte says how many.
  if (size > 0) {
    const log::Batch batch{.records = data[0], .body = bytes.substr(1)};
    const auto each = [&](const log::Record& record) -> Result<void> {
      BLX_ASSERT(record.offset + record.payload.size() <= log::kBatchHeaderBytes + size);
      return {};
    };
    ignore(log::each_record(batch, each), "any answer will do");
  }
  return 0;
}
