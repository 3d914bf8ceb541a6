#include "linearizability/search.h"

#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "linearizability/depth_first.h"
#include "linearizability/test_histories.h"

namespace blixard::linearizability {
namespace {

// A register of four values. Kinds: 0..3 are reads, 4..7 writes, and from 8 on compare-and-set that
// matched, of 4 * (expected) + value; from 24 on such that did not match their expected value.
class Register final : public Transitions {
 public:
  std::uint32_t step(std::uint32_t state, std::uint32_t kind) override {
    if (kind < 4) return state == kind ? state : kRefused;
    if (kind < 8) return kind - 4;
    if (kind < 24) return state == (kind - 8) / 4 ? (kind - 8) % 4 : kRefused;
    return state != kind - 24 ? state : kRefused;
  }
  bool leads_to(std::uint32_t /*state*/, std::uint32_t /*kind*/) override { return true; }
  [[nodiscard]] bool knows_where_it_leads() const override { return false; }
  [[nodiscard]] std::size_t bytes() const override { return 0; }
};

// What clients of a real register see, with some answers changed late in the history.
std::vector<Event> seen(std::uint64_t seed, std::size_t count, std::size_t clients,
                        std::uint64_t lost_one_in) {
  struct Client {
    std::uint32_t operation = 0;
    int phase = 0;
  };
  Dice dice(seed);
  std::vector<Client> states(clients);
  std::vector<Event> events;
  std::uint32_t value = 0;
  std::uint64_t position = 0;
  const std::size_t sound = count - dice.below(count / 2);
  for (std::uint64_t turns = 0; turns < 20 * count; ++turns) {
    Client& client = states[dice.below(clients)];
    if (client.phase == 0 && events.size() == count) continue;
    if (client.phase == 0) {
      client.operation = static_cast<std::uint32_t>(events.size());
      events.push_back({.invoked = position++});
      Event& event = events.back();
      const std::uint64_t what = dice.below(3);
      const auto a = static_cast<std::uint32_t>(dice.below(4));
      const auto b = static_cast<std::uint32_t>(dice.below(4));
      event.kind = what == 0 ? 0 : what == 1 ? 4 + a : 8 + 4 * a + b;
      event.read_only = what == 0 || (what == 2 && a == b);
      event.overwrites = event.never_refused = what == 1;
    }
    Event& event = events[client.operation];
    if (client.phase == 1) {
      if (event.kind < 4) {
        event.kind = value;
        if (client.operation > sound && dice.one_in(8))
          event.kind = static_cast<std::uint32_t>(dice.below(4));
      } else if (event.kind < 8) {
        value = event.kind - 4;
      } else if (value == (event.kind - 8) / 4) {
        value = (event.kind - 8) % 4;
      } else {
        event.kind = 24 + (event.kind - 8) / 4;
        event.read_only = true;
      }
      if (lost_one_in != 0 && event.kind >= 4 && event.kind < 24 && dice.one_in(lost_one_in)) {
        client.phase = 0;
        continue;
      }
    }
    if (client.phase == 2) event.returned = position++;
    client.phase = (client.phase + 1) % 3;
  }
  std::erase_if(events,
                [](const Event& event) { return event.returned == kNever && event.read_only; });
  return events;
}

// What nothing gets beyond is found out from a part of the history; trying all the history says the
// same.
TEST(FindOrder, APartOfTheHistoryTellsWhatIsStuck) {
  std::size_t violations = 0;
  std::size_t sooner = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const auto events = seen(seed, 60 + seed % 60, 6 + seed % 9, seed % 2 == 0 ? 12 : 0);
    Register machine;
    const Budget budget{.steps_max = 1'000'000};
    DepthFirst all(events, machine, budget);
    ASSERT_EQ(all.advance(budget.steps_max), DepthFirst::Progress::kDecided) << "seed " << seed;
    const Found found = find_order(events, machine, budget);
    ASSERT_EQ(found.verdict, all.found().verdict) << "seed " << seed;
    ASSERT_EQ(found.stuck, all.found().stuck) << "seed " << seed;
    if (found.verdict == Verdict::kViolation) ++violations;
    if (found.steps < all.found().steps) ++sooner;
    ASSERT_LE(found.steps, 3 * all.found().steps) << "seed " << seed;
  }
  EXPECT_GT(violations, 200U);
  EXPECT_LT(violations, 1800U);
  EXPECT_GT(sooner, 0U);
}

}  // namespace
}  // namespace blixard::linearizability
