#pragma once

// What waits to be written to one connection: three classes, each first in first out, each bounded
// in frames and bytes. A write takes the urgent ones first, so a heartbeat never waits behind
// appends that are not yet with the transport; snapshot chunks go when nothing else does, and now
// and then (every kBulkTurn writes) when something always does.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/ring.h"
#include "base/units.h"
#include "core/wire/frame.h"
#include "core/wire/message.h"
#include "node/peer/peers.h"

namespace blixard::peer {

[[nodiscard]] Urgency urgency_of(const wire::Content& content);

class SendQueue {
 public:
  static constexpr std::uint32_t kBulkTurn = 16;

  // False: that class is full and the message is dropped.
  [[nodiscard]] bool push(wire::Message message, Instant now);

  // Encodes what one write should carry. The messages move to `held`, which keeps their payloads
  // for the writer. Those that are too large to be sent are dropped and added to `dropped`.
  void take(wire::FrameWriter& writer, std::vector<wire::Message>& held,
            std::array<std::uint64_t, kUrgencies>& dropped);

  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::size_t frames() const;
  [[nodiscard]] std::size_t bytes() const;
  // When the oldest that is not a snapshot's was pushed.
  [[nodiscard]] std::optional<Instant> oldest() const;

 private:
  struct Item {
    wire::Message message;
    std::size_t bytes = 0;
    Instant since;
  };

  class Lane {
   public:
    [[nodiscard]] bool empty() const { return items_.empty(); }
    [[nodiscard]] std::size_t frames() const { return items_.size(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    [[nodiscard]] const Item& front() const { return items_.front(); }
    void push(Item item);
    Item pop();

   private:
    Ring<Item> items_;
    std::size_t bytes_ = 0;
  };

  bool take_one(Lane& lane, wire::FrameWriter& writer, std::vector<wire::Message>& held);
  [[nodiscard]] Lane& lane(Urgency urgency) { return lanes_[static_cast<std::size_t>(urgency)]; }

  std::array<Lane, kUrgencies> lanes_;
  std::uint32_t writes_without_bulk_ = 0;
};

}  // namespace blixard::peer
