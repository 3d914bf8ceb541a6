#include "app/listing.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace blixard::app {
namespace {

namespace json = boost::json;

const char* const kSaved =
    R"({"bytes":66000000,"node":"n1","saved":"2026-01-31T08:05:00.250Z","used_by":0})";

TEST(Listing, SavedGuests) {
  EXPECT_EQ(saved_text(json::parse(kSaved)), "63 MiB on n1, saved 2026-01-31T08:05:00.250Z");
  json::value used = json::parse(kSaved);
  used.as_object()["used_by"] = 3;
  used.as_object()["node"] = "";
  EXPECT_EQ(saved_text(used),
            "63 MiB on a node that was removed, saved 2026-01-31T08:05:00.250Z, used by "
            "generation 3");
  EXPECT_EQ(saved_text(json::parse(R"({"bytes":"many"})")),
            "0 MiB on a node that was removed, saved ");
  EXPECT_EQ(saved_text(nullptr), "");
}

TEST(Listing, SnapshotsOfAVm) {
  EXPECT_EQ(snapshot_text(nullptr), "none");
  json::object snapshot{{"under_way", true}, {"error", ""}};
  EXPECT_EQ(snapshot_text(snapshot), "under way");
  snapshot["under_way"] = false;
  snapshot["error"] = "the disk is full";
  EXPECT_EQ(snapshot_text(snapshot), "none; the last one was not made: the disk is full");
  snapshot["guest"] = json::parse(kSaved);
  snapshot["error"] = "";
  EXPECT_EQ(snapshot_text(snapshot), "63 MiB on n1, saved 2026-01-31T08:05:00.250Z");
}

}  // namespace
}  // namespace blixard::app
