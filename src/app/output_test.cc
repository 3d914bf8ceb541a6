#include "app/output.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace blixard::app {
namespace {

TEST(Output, TableAlignsColumnsAndTrimsLineEnds) {
  Table table({"NAME", "STATE", "REASON"});
  table.add({"web", "running", ""});
  table.add({"database", "failed", "panic"});
  EXPECT_EQ(table.text(),
            "NAME      STATE    REASON\n"
            "web       running\n"
            "database  failed   panic\n");
}

TEST(Output, PrettyJson) {
  const auto value = boost::json::parse(R"({"a":[1,{"b":"x\ny"}],"empty":{},"none":[]})");
  EXPECT_EQ(pretty(value),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\ny\"\n    }\n  ],\n"
            "  \"empty\": {},\n  \"none\": []\n}\n");
  EXPECT_EQ(boost::json::parse(pretty(value)), value);
}

TEST(Output, AGuestCannotDriveTheTerminal) {
  EXPECT_EQ(printable("ok\n\x1b[2Jgone\x07\x7f\ttab"), "ok\n?[2Jgone??\ttab");
  EXPECT_EQ(text_of(boost::json::parse(R"({"reason":"\u001b]0;x\u0007"})"), "reason"), "?]0;x?");
}

TEST(Output, MissingMembersAreEmpty) {
  const auto value = boost::json::parse(R"({"n":3,"s":"x","z":null})");
  EXPECT_EQ(text_of(value, "n"), "3");
  EXPECT_EQ(text_of(value, "s"), "x");
  EXPECT_EQ(text_of(value, "z"), "");
  EXPECT_EQ(text_of(value, "absent"), "");
  EXPECT_TRUE(items_of(value, "absent").empty());
  EXPECT_TRUE(items_of(boost::json::value(1), "absent").empty());
}

TEST(Output, Age) {
  const WallTime now{1'700'000'000'000};  // 2023-11-14T22:13:20Z
  EXPECT_EQ(age_since("2023-11-14T22:13:17.250Z", now), "3s");
  EXPECT_EQ(age_since("2023-11-14T22:03:20Z", now), "10m");
  EXPECT_EQ(age_since("2023-11-14T12:13:20Z", now), "10h");
  EXPECT_EQ(age_since("2023-11-04T22:13:20Z", now), "10d");
  EXPECT_EQ(age_since("2030-01-01T00:00:00Z", now), "0s");
  EXPECT_EQ(age_since("yesterday", now), "");
}

}  // namespace
}  // namespace blixard::app
