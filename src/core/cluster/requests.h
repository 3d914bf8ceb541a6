#pragma once

// The answers given to the last requests, so that a retry is answered and not carried out again.
//
// Bounded and first in, first out: a retry that comes after limits::kRememberedRequests others is
// carried out anew. Being replicated state it has no clock: age is counted in requests.

#include <cstddef>
#include <cstdint>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/ids.h"
#include "base/result.h"
#include "base/ring.h"
#include "core/cluster/model.h"
#include "core/cluster/uuid_hash.h"

namespace blixard::cluster {

struct Answer {
  Uuid request_id;
  std::uint64_t fingerprint = 0;  // of the command it answered
  LogIndex index;                 // at which it was carried out
  Result<Outcome> outcome;
};

bool operator==(const Answer& a, const Answer& b);

class Requests {
 public:
  // Null if it is not (or no longer) known. Valid until the next remember().
  [[nodiscard]] const Answer* find(const Uuid& request_id) const;
  // Forgets the oldest answer when full. Precondition: the id is not known.
  void remember(Answer answer);
  [[nodiscard]] const Ring<Answer>& oldest_first() const { return answers_; }

  friend bool operator==(const Requests& a, const Requests& b) { return a.answers_ == b.answers_; }

 private:
  Ring<Answer> answers_;
  // Position of the answer, counted from the first one ever remembered. Asked and never walked: its
  // order shows nowhere.
  boost::unordered_flat_map<Uuid, std::uint64_t, UuidHash> positions_;
  std::uint64_t forgotten_ = 0;
};

}  // namespace blixard::cluster
