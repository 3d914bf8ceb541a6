#include "app/vopr/place.h"

#include <filesystem>
#include <fstream>

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/vopr/command_line.h"

namespace blixard::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::TempDir;

int refused(std::vector<const char*> words) {
  words.insert(words.begin(), {"blixard-vopr", "place"});
  testing::internal::CaptureStderr();
  const auto command = parse_vopr_command_line(static_cast<int>(words.size()), words.data());
  testing::internal::GetCapturedStderr();
  return command ? -1 : command.error();
}

std::string file_of(const std::string& name, const std::string& text) {
  const std::string path = (std::filesystem::path(TempDir()) / name).string();
  std::ofstream(path) << text;
  return path;
}

TEST(PlaceCommandLine, Bins) {
  const std::array words{"blixard-vopr", "place",     "--bins", "--capacity", "150",
                         "--strategy",   "first-fit", "--json", "sizes.txt"};
  const auto command = parse_vopr_command_line(words.size(), words.data());
  ASSERT_TRUE(command);
  const auto& bins = std::get<PlaceBins>(std::get<PlaceCommand>(*command));
  EXPECT_EQ(bins.capacity, 150);
  EXPECT_EQ(bins.strategy, sched::BinStrategy::kFirstFit);
  EXPECT_EQ(bins.output, OutputFormat::kJson);
  EXPECT_EQ(bins.file, "sizes.txt");
}

TEST(PlaceCommandLine, WhatIsWrongIsRefused) {
  EXPECT_EQ(refused({}), kExitUsage);
  EXPECT_EQ(refused({"--bins", "f"}), kExitUsage);
  EXPECT_EQ(refused({"--capacity", "9", "f"}), kExitUsage);
  EXPECT_EQ(refused({"--bins", "--capacity", "9"}), kExitUsage);
  for (const char* capacity : {"0", "-1", "2147483649", "1.5", "", "x"})
    EXPECT_EQ(refused({"--bins", "--capacity", capacity, "f"}), kExitUsage) << capacity;
  EXPECT_EQ(refused({"--bins", "--capacity", "9", "--strategy", "BestFit", "f"}), kExitUsage);
}

TEST(PlaceBins, SizesAreLines) {
  std::vector<std::int64_t> sizes;
  const auto take = [&](std::int64_t size) -> Result<void> {
    sizes.push_back(size);
    return {};
  };
  EXPECT_TRUE(read_sizes("7\n\n 10 \r\n\t\n1", "f", 10, take));
  EXPECT_THAT(sizes, ElementsAre(7, 10, 1));
  EXPECT_TRUE(read_sizes("", "f", 10, take));
  for (const char* wrong : {"0", "11", "-1", "+1", "1.5", "1 2", "x", "99999999999999999999"}) {
    const auto read = read_sizes("3\n\n" + std::string(wrong) + "\n", "f", 10, take);
    ASSERT_FALSE(read) << wrong;
    EXPECT_THAT(std::string(read.error().detail()), HasSubstr("f:3: '"));
    EXPECT_THAT(std::string(read.error().detail()), HasSubstr("write one whole number"));
  }
}

TEST(PlaceBins, SaysHowManyBins) {
  PlaceBins command{.capacity = 10, .file = file_of("sizes.txt", "5\n7\n3\n5\n")};
  command.strategy = sched::BinStrategy::kFirstFit;
  command.output = OutputFormat::kJson;
  testing::internal::CaptureStdout();
  EXPECT_EQ(place(command), kExitDone);
  EXPECT_EQ(boost::json::parse(testing::internal::GetCapturedStdout()),
            boost::json::parse(R"({"bins_used": 3, "items": 4, "capacity": 10, "lower_bound": 2,
                                   "strategy": "first-fit"})"));
  command.output = OutputFormat::kTable;
  testing::internal::CaptureStdout();
  EXPECT_EQ(place(command), kExitDone);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("BEST-FIT"));
  EXPECT_THAT(text, HasSubstr("first-fit"));
}

TEST(PlaceBins, BadFilesAreBadInput) {
  for (const std::string& path :
       {file_of("bad.txt", "3\n11\n"), TempDir(), TempDir() + "/there is none"}) {
    testing::internal::CaptureStderr();
    EXPECT_EQ(place(PlaceBins{.capacity = 10, .file = path}), kExitBadInput) << path;
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(TempDir()));
  }
}

}  // namespace
}  // namespace blixard::app
