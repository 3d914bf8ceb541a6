#pragma once

// What the core may look at of the durable log: a view that answers at once, from memory.
//
// The core never waits. When a slow follower needs entries that are only on disk, entries()
// answers kNotInMemory; the owner fetches them and tells the core (Core::entries_loaded), which
// tries again.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/raft/types.h"

namespace blixard::raft {

class Storage {
 public:
  enum class Fetch : std::uint8_t { kFound, kCompacted, kNotInMemory };

  virtual ~Storage() = default;

  // The first entry that is kept: the one behind the snapshot or later; last() + 1 if none is.
  [[nodiscard]] virtual LogIndex first() const = 0;
  [[nodiscard]] virtual LogIndex last() const = 0;
  // Of an entry in [first() - 1, last()]; none elsewhere.
  [[nodiscard]] virtual std::optional<Term> term(LogIndex index) const = 0;
  // Appends the entries [from, to] to `out`, as many as bytes_max allows but at least one.
  // Precondition: from <= to <= last().
  virtual Fetch entries(LogIndex from, LogIndex to, std::size_t bytes_max,
                        std::vector<Entry>& out) const = 0;
  // The newest durable snapshot; none while it cannot be sent (it is tried again).
  [[nodiscard]] virtual std::optional<SnapshotMeta> snapshot() const = 0;
};

}  // namespace blixard::raft
