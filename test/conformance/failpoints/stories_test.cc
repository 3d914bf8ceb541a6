// Plays the story of each failpoint, one test for each.

#include "test/conformance/failpoints/stories.h"

namespace blixard {
namespace {

class Failpoints : public testing::TestWithParam<Story> {};

TEST_P(Failpoints, DoWhatTheFaultDoes) {
  Cluster cluster(7, GetParam().machines);
  cluster.run(GetParam().play);
  EXPECT_GT(observe::failpoint(GetParam().site)->fired, 0u) << "nothing happened there";
  for (const observe::FailpointStatus& status : observe::failpoints())
    EXPECT_EQ(status.actions, "") << status.name << " is still armed";
}

std::string test_name(const testing::TestParamInfo<Story>& info) {
  std::string name(info.param.site);
  std::ranges::replace(name, ':', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Failpoints, testing::ValuesIn(all_stories()), test_name);

}  // namespace
}  // namespace blixard
