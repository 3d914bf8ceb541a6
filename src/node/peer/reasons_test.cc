#include "node/peer/reasons.h"

#include <gtest/gtest.h>

namespace blixard::peer {
namespace {

// Somebody decides by these: they must arrive as what they were.
TEST(Reasons, ArriveAsTheyWereSaid) {
  for (const char* reason : {"not_leader", "vm_exists", "saved_guest_not_here",
                             "saved_guest_not_yours", "request_malformed"}) {
    const Error error = error_of({Code::kNotFound, reason, "why"});
    EXPECT_EQ(error.reason(), reason);
    EXPECT_EQ(error.detail(), "why");
    EXPECT_EQ(error.code(), Code::kNotFound);
  }
}

TEST(Reasons, AnUnknownOneIsADetail) {
  const Error error = error_of({Code::kNotFound, "no_such_word", "why"});
  EXPECT_EQ(error.reason(), "peer_error");
  EXPECT_EQ(error.detail(), "no_such_word: why");
}

}  // namespace
}  // namespace blixard::peer
