#include "node/log/instruments.h"

namespace blixard::log {

using observe::HistogramShape;

Instruments::Instruments(observe::Metrics& metrics)
    : writes(metrics.counters<WriteOutcome>(
          "blixard_log_writes_total",
          "Batches for the replicated log: written, each with one sync; or not, since the disk was "
          "full (refused) or the log failed.",
          {"outcome"})),
      write_duration(metrics.histogram("blixard_log_write_duration_seconds",
                                       "Time to write and sync one batch of the replicated log.",
                                       HistogramShape::seconds(16us, 4s))),
      written_bytes(metrics.counter("blixard_log_written_bytes_total",
                                    "Bytes written to the replicated log.")),
      written_entries(metrics.counter("blixard_log_written_entries_total",
                                      "Entries written to the replicated log.")),
      batch_entries(metrics.histogram("blixard_log_batch_entries",
                                      "Entries that shared one write and one sync.",
                                      HistogramShape::counts(1, 4096))),
      read_entries(metrics.counters<ReadFrom>(
          "blixard_log_read_entries_total",
          "Entries read back, for peers that lag and at the start.", {"from"})),
      read_duration(metrics.histogram("blixard_log_read_duration_seconds",
                                      "Time to read entries back from the disk.",
                                      HistogramShape::seconds(16us, 4s))),
      snapshots(metrics.counter("blixard_log_snapshots_total",
                                "Snapshots of the state that were put into their place.")) {}

}  // namespace blixard::log
