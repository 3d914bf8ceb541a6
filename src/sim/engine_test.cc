#include "sim/engine.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "sim/random.h"

namespace blixard::sim {
namespace {

class Note final : public Event {
 public:
  Note(Engine& engine, int number, std::vector<int>& happened)
      : engine_(engine), number_(number), happened_(happened) {}
  ~Note() { engine_.cancel(*this); }
  Instant wanted;

 private:
  void happen() override { happened_.push_back(number_); }
  [[nodiscard]] Instant due() const override { return wanted; }

  Engine& engine_;
  int number_;
  std::vector<int>& happened_;
};

// The specification: a sorted set of (time, sequence number).
using Queue = std::set<std::tuple<Instant, int, int>>;

TEST(Engine, EventsHappenInTheOrderOfASortedSet) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SeededRandom random(seed);
    Engine engine;
    std::vector<int> happened;
    std::vector<int> expected;
    std::vector<std::unique_ptr<Note>> notes;
    for (int i = 0; i < 40; ++i)
      notes.push_back(std::make_unique<Note>(engine, i, happened));
    Queue queue;
    int sequence = 0;
    for (int i = 0; i < 1000; ++i) {
      const int number = static_cast<int>(random.below(notes.size()));
      Note& note = *notes[static_cast<std::size_t>(number)];
      std::erase_if(queue, [&](const auto& entry) { return std::get<2>(entry) == number; });
      engine.cancel(note);
      if (random.one_in(3)) continue;
      const Instant at = engine.now() + Duration(random.below(50));
      engine.schedule(note, at, 1);
      queue.emplace(at, ++sequence, number);
      if (!random.one_in(2)) continue;
      expected.push_back(std::get<2>(*queue.begin()));
      queue.erase(queue.begin());
      ASSERT_EQ(engine.step(Instant::never()), Engine::Step::kRan);
    }
    for (const auto& [at, order, number] : queue)
      expected.push_back(number);
    while (engine.step(Instant::never()) == Engine::Step::kRan) {
    }
    ASSERT_EQ(happened, expected) << "seed " << seed;
  }
}

TEST(Engine, EventsOfAChangedClockMove) {
  Engine engine;
  std::vector<int> happened;
  Note first(engine, 1, happened);
  Note second(engine, 2, happened);
  Note other(engine, 3, happened);
  engine.schedule(first, Instant{10ns}, 1);
  engine.schedule(second, Instant{20ns}, 1);
  engine.schedule(other, Instant{15ns}, 2);
  first.wanted = Instant{30ns};
  second.wanted = Instant{5ns};
  engine.retime(1);
  while (engine.step(Instant::never()) == Engine::Step::kRan) {
  }
  EXPECT_EQ(happened, (std::vector{2, 3, 1}));
  EXPECT_EQ(engine.now(), Instant{30ns});
  EXPECT_EQ(engine.steps(), 3u);
}

}  // namespace
}  // namespace blixard::sim
