#include "env/places.h"

#include <gtest/gtest.h>

namespace blixard::env {
namespace {

TEST(Places, TheOldestThatGotNowhereMakesRoom) {
  Cancellation all;
  Places places(3);
  Places::Place* first = places.enter(&all);
  Places::Place* second = places.enter(&all);
  Places::Place* third = places.enter(&all);
  first->settled = true;
  Places::Place* fourth = places.enter(&all);
  ASSERT_NE(fourth, nullptr);
  EXPECT_TRUE(second->displaced);
  EXPECT_TRUE(second->cancellation.requested());
  for (const Places::Place* place : {first, third, fourth})
    EXPECT_FALSE(place->displaced || place->cancellation.requested());

  // The place of one that is told to go, and has not gone yet, is given out once.
  Places::Place* fifth = places.enter(&all);
  EXPECT_TRUE(third->displaced);
  fourth->settled = fifth->settled = true;
  EXPECT_EQ(places.enter(&all), nullptr);
  places.leave(*second);
  places.leave(*third);
  EXPECT_EQ(places.enter(&all), nullptr);
  places.leave(*first);
  Places::Place* sixth = places.enter(&all);
  ASSERT_NE(sixth, nullptr);
  EXPECT_FALSE(fourth->displaced || fifth->displaced);
  all.request();
  EXPECT_TRUE(sixth->cancellation.requested());
  EXPECT_FALSE(sixth->displaced);
  for (Places::Place* place : {fourth, fifth, sixth})
    places.leave(*place);
}

}  // namespace
}  // namespace blixard::env
