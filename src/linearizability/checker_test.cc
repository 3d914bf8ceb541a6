#include "linearizability/checker.h"

#include <string>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "linearizability/key_value_model.h"
#include "linearizability/multi_register_model.h"
#include "linearizability/mutex_model.h"
#include "linearizability/register_model.h"
#include "linearizability/test_histories.h"
#include "linearizability/test_long_histories.h"

namespace blixard::linearizability {
namespace {

using Registers = History<RegisterModel>;
using RegisterInput = RegisterModel::Input;
using RegisterOutput = RegisterModel::Output;

RegisterInput read() { return {}; }
RegisterInput write(std::string value) {
  return {.action = RegisterModel::Action::kWrite, .key = {}, .value = std::move(value)};
}
RegisterInput cas(std::string expected, std::string value) {
  return {.action = RegisterModel::Action::kCompareAndSet,
          .key = {},
          .value = std::move(value),
          .expected = std::move(expected)};
}
RegisterOutput gives(std::string value) { return {.value = std::move(value)}; }
RegisterOutput done() { return {}; }
RegisterOutput no_match() { return {.value = {}, .matched = false}; }

// A history drawn as it happened.
class Drawn {
 public:
  std::size_t begin(RegisterInput input) {
    history_.push_back({.process = history_.size(),
                        .input = std::move(input),
                        .output = {},
                        .invoked = position_++});
    return history_.size() - 1;
  }
  void end(std::size_t operation, RegisterOutput output) {
    history_[operation].output = std::move(output);
    history_[operation].returned = position_++;
  }
  void whole(RegisterInput input, RegisterOutput output) {
    end(begin(std::move(input)), std::move(output));
  }
  [[nodiscard]] Outcome judged() const { return check(RegisterModel(), history_); }
  [[nodiscard]] Verdict verdict() const { return judged().verdict; }

 private:
  Registers history_;
  std::uint64_t position_ = 0;
};

TEST(Checker, NothingIsLinearizable) {
  EXPECT_EQ(check(RegisterModel(), {}).verdict, Verdict::kOk);
}

TEST(Checker, OneAfterTheOther) {
  Drawn right;
  right.whole(read(), gives("nil"));
  right.whole(write("1"), done());
  right.whole(read(), gives("1"));
  EXPECT_EQ(right.verdict(), Verdict::kOk);

  Drawn stale = right;
  stale.whole(write("2"), done());
  stale.whole(read(), gives("1"));
  EXPECT_EQ(stale.verdict(), Verdict::kViolation);
}

TEST(Checker, AReadDuringAWriteMaySeeEither) {
  for (const char* value : {"nil", "1"}) {
    Drawn drawn;
    const auto writing = drawn.begin(write("1"));
    drawn.whole(read(), gives(value));
    drawn.end(writing, done());
    EXPECT_EQ(drawn.verdict(), Verdict::kOk) << value;
  }
}

TEST(Checker, WhatWasSeenStays) {
  Drawn drawn;
  const auto writing = drawn.begin(write("1"));
  drawn.whole(read(), gives("1"));
  drawn.whole(read(), gives("nil"));
  drawn.end(writing, done());
  EXPECT_EQ(drawn.verdict(), Verdict::kViolation);
}

TEST(Checker, WhatHasNoEndMayHappenLateOrNever) {
  Drawn never;
  never.begin(write("1"));
  never.whole(read(), gives("nil"));
  never.whole(read(), gives("nil"));
  EXPECT_EQ(never.verdict(), Verdict::kOk);
  Drawn late = never;
  late.whole(read(), gives("1"));
  EXPECT_EQ(late.verdict(), Verdict::kOk);
  Drawn twice = late;
  twice.whole(write("2"), done());
  twice.whole(read(), gives("1"));
  EXPECT_EQ(twice.verdict(), Verdict::kViolation);
  Drawn early;
  early.whole(read(), gives("1"));
  early.begin(write("1"));
  EXPECT_EQ(early.verdict(), Verdict::kViolation);
}

TEST(Checker, AFailedCompareAndSetSaysThatTheValueWasAnother) {
  Drawn drawn;
  drawn.whole(write("1"), done());
  drawn.whole(cas("2", "3"), no_match());
  EXPECT_EQ(drawn.verdict(), Verdict::kOk);
  drawn.whole(cas("1", "2"), no_match());
  EXPECT_EQ(drawn.verdict(), Verdict::kViolation);
}

TEST(Checker, ACompareAndSetOfTheSameValueIsStillOne) {
  Drawn drawn;
  drawn.whole(write("1"), done());
  drawn.whole(cas("1", "1"), done());
  EXPECT_EQ(drawn.verdict(), Verdict::kOk);
  drawn.whole(cas("2", "2"), done());
  EXPECT_EQ(drawn.verdict(), Verdict::kViolation);
}

TEST(Checker, NamesWhatIsStuckAndTheLongestOrder) {
  Drawn drawn;
  drawn.whole(write("1"), done());
  const auto open = drawn.begin(write("2"));
  drawn.whole(read(), gives("1"));
  drawn.whole(read(), gives("3"));  // from nowhere
  drawn.end(open, done());
  drawn.whole(read(), gives("2"));
  const Outcome outcome = drawn.judged();
  EXPECT_EQ(outcome.verdict, Verdict::kViolation);
  ASSERT_EQ(outcome.parts.size(), 1U);
  EXPECT_EQ(outcome.parts[0].stuck, 3U);
  const std::vector<std::size_t> longest{0, 2, 1};
  EXPECT_EQ(outcome.parts[0].order, longest);
}

TEST(Checker, OnePartOfManyIsNamed) {
  Registers history;
  std::uint64_t position = 0;
  for (const char* key : {"a", "b", "c"}) {
    RegisterInput input;
    input.key = key;
    history.push_back({.process = 0,
                       .input = input,
                       .output = gives(std::string(key) == "b" ? "7" : "nil"),
                       .invoked = position,
                       .returned = position + 1});
    position += 2;
  }
  const Outcome outcome = check(RegisterModel(), history);
  EXPECT_EQ(outcome.verdict, Verdict::kViolation);
  ASSERT_EQ(outcome.parts.size(), 3U);
  EXPECT_EQ(outcome.parts[1].part.key, "b");
  EXPECT_EQ(outcome.parts[0].verdict, Verdict::kOk);
  EXPECT_EQ(outcome.parts[1].verdict, Verdict::kViolation);
  EXPECT_EQ(outcome.parts[1].stuck, 1U);
}

// Writes of many registers at once, and a read that no order explains: every set of them is tried.
History<MultiRegisterModel> hard_history(std::size_t writes) {
  History<MultiRegisterModel> history;
  MultiRegisterModel::Input reads;
  MultiRegisterModel::Output seen;
  for (std::size_t i = 0; i < writes; ++i) {
    const auto key = fmt::format("{}", i);
    history.push_back({.process = i,
                       .input = {{{.writes = true, .key = key, .value = "1"}}},
                       .output = MultiRegisterModel::Output{{std::nullopt}},
                       .invoked = i,
                       .returned = 10'000 + i});
    reads.accesses.push_back({.writes = false, .key = key, .value = {}});
    seen.values.emplace_back("none of them");
  }
  history.push_back({.process = writes,
                     .input = reads,
                     .output = seen,
                     .invoked = writes,
                     .returned = writes + 1});
  return history;
}

TEST(Checker, GivesUpWhenTheStepsAreSpent) {
  Budget budget;
  budget.steps_max = 1000;
  const Outcome outcome = check(MultiRegisterModel(), hard_history(20), budget);
  EXPECT_EQ(outcome.verdict, Verdict::kUnknown);
  EXPECT_LE(outcome.steps, 1001U);
}

TEST(Checker, GivesUpWhenItsCallerSaysSo) {
  Budget budget;
  int asked = 0;
  budget.is_over = [&] { return ++asked == 3; };
  EXPECT_EQ(check(MultiRegisterModel(), hard_history(20), budget).verdict, Verdict::kUnknown);
  EXPECT_EQ(asked, 3);
}

TEST(Checker, GivesUpWhenItRemembersTooMuch) {
  Budget budget;
  budget.bytes_max = 1 << 20;
  EXPECT_EQ(check(MultiRegisterModel(), hard_history(20), budget).verdict, Verdict::kUnknown);
}

TEST(Checker, TriesAllBeforeItSaysViolation) {
  EXPECT_EQ(check(MultiRegisterModel(), hard_history(7)).verdict, Verdict::kViolation);
}

// What is overwritten unseen need not be tried in every order: 40 writes at once, none of which a
// read saw.
TEST(Checker, UnseenWritesCostLittle) {
  Drawn drawn;
  std::vector<std::size_t> writes;
  for (int i = 0; i < 40; ++i)
    writes.push_back(drawn.begin(write(fmt::format("{}", i))));
  drawn.whole(read(), gives("none of them"));
  for (const std::size_t operation : writes)
    drawn.end(operation, done());
  const Outcome outcome = drawn.judged();
  EXPECT_EQ(outcome.verdict, Verdict::kViolation);
  EXPECT_LT(outcome.steps, 200U);
}

// Nobody saw what was appended, in any order: 40 texts at once, then a put.
TEST(Checker, UnseenAppendsCostLittle) {
  using enum KeyValueModel::Action;
  History<KeyValueModel> history;
  for (std::uint64_t i = 0; i < 41; ++i) {
    history.push_back({.process = i,
                       .input = {.action = kAppend, .key = {}, .value = fmt::format("{} ", i)},
                       .output = KeyValueModel::Output(),
                       .invoked = i,
                       .returned = 100 + i});
  }
  history[40].input.action = kPut;
  history[40].returned = 200;
  history.push_back({.process = 41,
                     .input = {},
                     .output = KeyValueModel::Output{"40 "},
                     .invoked = 201,
                     .returned = 202});
  Outcome outcome = check(KeyValueModel(), history);
  EXPECT_EQ(outcome.verdict, Verdict::kOk);
  EXPECT_LT(outcome.steps, 200U);
  history.back().output->value = "7 40 ";
  outcome = check(KeyValueModel(), history);
  EXPECT_EQ(outcome.verdict, Verdict::kViolation);
  EXPECT_EQ(outcome.parts[0].stuck, 41U);
  EXPECT_LT(outcome.steps, 2000U);
}

// What a model's tests need beside the model: how clients ask, what the real object does, and
// operations with answers out of the air.
struct RegisterKind {
  using M = RegisterModel;
  static M model() { return M("0"); }
  static RegisterInput ask(Dice& dice, std::uint64_t /*process*/) {
    const auto value = [&] { return fmt::format("{}", dice.below(3)); };
    switch (dice.below(3)) {
      case 0:
        return read();
      case 1:
        return write(value());
      default: {
        auto expected = value();
        return cas(std::move(expected), value());
      }
    }
  }
  static std::string begin() { return "0"; }
  static RegisterOutput act(std::string& state, const RegisterInput& input) {
    if (input.action == RegisterModel::Action::kRead) return gives(state);
    if (input.action == RegisterModel::Action::kWrite) {
      state = input.value;
      return done();
    }
    if (state != input.expected) return no_match();
    state = input.value;
    return done();
  }
  static RegisterOutput guess(Dice& dice, const RegisterInput& input) {
    if (input.action == RegisterModel::Action::kRead)
      return gives(fmt::format("{}", dice.below(3)));
    if (input.action == RegisterModel::Action::kWrite || dice.one_in(2)) return done();
    return no_match();
  }
};

struct KeyValueKind {
  using M = KeyValueModel;
  static M model() { return {}; }
  static M::Input ask(Dice& dice, std::uint64_t /*process*/) {
    M::Input input;
    input.action = static_cast<M::Action>(dice.below(3));
    input.key = "k";
    if (input.action != M::Action::kGet) input.value = std::string(1, "ab"[dice.below(2)]);
    return input;
  }
  static std::string begin() { return {}; }
  static M::Output act(std::string& state, const M::Input& input) {
    if (input.action == M::Action::kGet) return {state};
    state = input.action == M::Action::kPut ? input.value : state + input.value;
    return {};
  }
  static M::Output guess(Dice& dice, const M::Input& input) {
    if (input.action != M::Action::kGet) return {};
    constexpr std::array<const char*, 6> kTexts{"", "a", "b", "ab", "ba", "aab"};
    return {kTexts.at(dice.below(kTexts.size()))};
  }
};

struct MutexKind {
  using M = MutexModel;
  static M model() { return {}; }
  static M::Input ask(Dice& dice, std::uint64_t /*process*/) {
    return {.action = dice.one_in(2) ? M::Action::kAcquire : M::Action::kRelease, .key = {}};
  }
  static bool begin() { return false; }
  static M::Output act(bool& held, const M::Input& input) {
    const bool acquires = input.action == M::Action::kAcquire;
    if (held == acquires) return {.done = false};
    held = acquires;
    return {};
  }
  static M::Output guess(Dice& dice, const M::Input& /*input*/) {
    return {.done = !dice.one_in(3)};
  }
};

struct MultiRegisterKind {
  using M = MultiRegisterModel;
  static M model() { return M("0"); }
  static M::Input ask(Dice& dice, std::uint64_t /*process*/) {
    M::Input input;
    for (const char* key : {"x", "y"}) {
      if (dice.one_in(3)) continue;
      input.accesses.push_back({.writes = dice.one_in(2), .key = key, .value = {}});
      if (input.accesses.back().writes) input.accesses.back().value = "01"[dice.below(2)];
    }
    return input;
  }
  static std::map<std::string, std::string> begin() { return {{"x", "0"}, {"y", "0"}}; }
  static M::Output act(std::map<std::string, std::string>& state, const M::Input& input) {
    M::Output output;
    for (const auto& access : input.accesses) {
      output.values.emplace_back();
      if (access.writes) {
        state[access.key] = access.value;
      } else {
        output.values.back() = state[access.key];
      }
    }
    return output;
  }
  static M::Output guess(Dice& dice, const M::Input& input) {
    M::Output output;
    for (const auto& access : input.accesses) {
      output.values.emplace_back();
      if (!access.writes && !dice.one_in(4))
        output.values.back() = std::string(1, "01"[dice.below(2)]);
    }
    return output;
  }
};

// The prefix is the shortest: up to its end there is no order, before its end there is one.
template <Model M>
void expect_shortest(const M& model, const History<M>& history, const Outcome& outcome) {
  for (const PartOutcome& part : outcome.parts) {
    ASSERT_EQ(part.stuck.has_value(), part.verdict == Verdict::kViolation);
    if (!part.stuck) continue;
    History<M> alone;
    for (const std::size_t i : part.part.operations)
      alone.push_back(history[i]);
    const std::uint64_t end = history[*part.stuck].returned;
    EXPECT_TRUE(has_any_order(model, prefix_before<M>(alone, end)));
    EXPECT_FALSE(has_any_order(model, prefix_before<M>(alone, end + 1)));
  }
}

// Clients that mostly append, now and then put, and texts of their own: what a get was given tells
// what went before it. One or two of the gets were given what another was given, or a part of it.
TEST(Checker, AgreesWithTryingEveryOrderOfAppends) {
  using enum KeyValueModel::Action;
  const KeyValueModel model;
  std::size_t wrong = 0;
  constexpr std::uint64_t kHistories = 20'000;
  for (std::uint64_t seed = 0; seed < kHistories; ++seed) {
    std::size_t count = 0;
    const bool has_twins = seed % 4 == 0;  // some texts are appended twice
    auto history = real_history<KeyValueModel>(
        seed,
        {.operations = 8,
         .processes = 3 + seed % 5,
         .lost_one_in = seed % 3 == 0 ? 5U : 0U,
         .slow = seed % 2},
        std::string(),
        [&](Dice& dice, std::uint64_t /*process*/) {
          KeyValueModel::Input input{.action = kAppend, .key = {}, .value = {}};
          if (dice.one_in(3)) input.action = kGet;
          if (dice.one_in(5)) input.action = kPut;
          if (input.action != kGet)
            input.value = std::string(1, static_cast<char>('a' + count++ / (has_twins ? 2 : 1)));
          return input;
        },
        KeyValueKind::act);
    Dice dice(seed);
    for (std::uint64_t changes = dice.below(3); changes > 0; --changes) {
      auto& changed = history[dice.below(history.size())];
      const auto& other = history[dice.below(history.size())];
      if (!changed.output || !other.output || changed.input.action != kGet) continue;
      std::string value = other.output->value;
      if (dice.one_in(3) && !value.empty()) value.erase(dice.below(value.size()), 1);
      if (dice.one_in(3)) value += static_cast<char>('a' + dice.below(4));
      changed.output->value = value;
    }
    const bool expected = has_any_order(model, history);
    if (!expected) ++wrong;
    const Outcome outcome = check(model, history);
    ASSERT_EQ(outcome.verdict, expected ? Verdict::kOk : Verdict::kViolation) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(model, history, part)) << "seed " << seed;
    expect_shortest(model, history, outcome);
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
  EXPECT_GT(wrong, kHistories / 10);
}

// As long as histories get: clients that are many, some of them slow.
struct Long {
  std::size_t processes;
  std::size_t slow;
  std::uint64_t lost_one_in;
  std::uint64_t keys;
};
void PrintTo(const Long& kind, std::ostream* out) {
  *out << kind.processes << " clients, " << kind.slow << " slow, " << kind.keys << " keys, 1 in "
       << kind.lost_one_in << " lost";
}
class LongKeyValues : public ::testing::TestWithParam<Long> {};

TEST_P(LongKeyValues, AreJudgedInFewSteps) {
  const Long& kind = GetParam();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    auto history = key_values(seed,
                              {.operations = 10'000,
                               .processes = kind.processes,
                               .lost_one_in = kind.lost_one_in,
                               .slow = kind.slow},
                              kind.keys);
    Budget budget;
    budget.steps_max = 1'000'000;
    Outcome outcome = check(KeyValueModel(), history, budget);
    ASSERT_EQ(outcome.verdict, Verdict::kOk) << "seed " << seed;
    EXPECT_LT(outcome.steps, 40'000U) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(KeyValueModel(), history, part)) << "seed " << seed;
    spoil(history);
    outcome = check(KeyValueModel(), history, budget);
    ASSERT_EQ(outcome.verdict, Verdict::kViolation) << "seed " << seed;
    EXPECT_LT(outcome.steps, 100'000U) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(KeyValueModel(), history, part)) << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LongKeyValues,
                         ::testing::Values(Long{1, 0, 0, 10}, Long{10, 0, 0, 10},
                                           Long{50, 0, 0, 50}, Long{50, 0, 0, 10},
                                           Long{50, 25, 0, 10}, Long{50, 40, 0, 10},
                                           Long{50, 0, 100, 10}, Long{50, 25, 0, 3}));

// Where a value that was never there is read late in a long history, the end of it tells.
TEST(Checker, LongRegistersAreJudgedInFewSteps) {
  for (const std::uint64_t lost_one_in : {0U, 100U, 6U}) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const bool is_lossy = lost_one_in == 6;
      auto history = registers(seed, {.operations = is_lossy ? 170U : 10'000U,
                                      .processes = is_lossy ? 5U : 50U,
                                      .lost_one_in = lost_one_in});
      Outcome outcome = check(RegisterModel(), history);
      EXPECT_EQ(outcome.verdict, Verdict::kOk);
      EXPECT_LT(outcome.steps, is_lossy ? 500U : 400'000U) << lost_one_in << " seed " << seed;
      spoil(history);
      outcome = check(RegisterModel(), history);
      EXPECT_EQ(outcome.verdict, Verdict::kViolation);
      EXPECT_LT(outcome.steps, is_lossy ? 4000U : 600'000U) << lost_one_in << " seed " << seed;
      ASSERT_EQ(outcome.parts.size(), 1U);
      EXPECT_TRUE(is_explained(RegisterModel(), history, outcome.parts[0]));
      EXPECT_EQ(history[outcome.parts[0].stuck.value()].output->value, "9");
    }
  }
}

template <class Kind>
class EveryModel : public ::testing::Test {
 protected:
  using M = Kind::M;
  static History<M> real(std::uint64_t seed, const Schedule& schedule) {
    return real_history<M>(seed, schedule, Kind::begin(), Kind::ask, Kind::act);
  }
};

using Kinds = ::testing::Types<RegisterKind, KeyValueKind, MutexKind, MultiRegisterKind>;
TYPED_TEST_SUITE(EveryModel, Kinds);

TYPED_TEST(EveryModel, RealObjectsAreLinearizable) {
  using M = TypeParam::M;
  const M model = TypeParam::model();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const Schedule schedule{.operations = 5 + seed % 60,
                            .processes = 1 + seed % 9,
                            .lost_one_in = seed % 3 == 0 ? 8U : 0U};
    const History<M> history = this->real(seed, schedule);
    const Outcome outcome = check(model, history);
    ASSERT_EQ(outcome.verdict, Verdict::kOk) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts)
      ASSERT_TRUE(is_explained(model, history, part)) << "seed " << seed;
  }
}

TYPED_TEST(EveryModel, AgreesWithTryingEveryOrder) {
  using M = TypeParam::M;
  const M model = TypeParam::model();
  std::size_t wrong = 0;
  constexpr std::uint64_t kHistories = 20'000;
  for (std::uint64_t seed = 0; seed < kHistories; ++seed) {
    const History<M> history = random_history<M>(seed, 7, [](Dice& dice) {
      auto input = TypeParam::ask(dice, 0);
      auto output = TypeParam::guess(dice, input);
      return std::pair(std::move(input), std::move(output));
    });
    const bool expected = has_any_order(model, history);
    const Outcome outcome = check(model, history);
    ASSERT_EQ(outcome.verdict, expected ? Verdict::kOk : Verdict::kViolation) << "seed " << seed;
    for (const PartOutcome& part : outcome.parts) {
      ASSERT_TRUE(is_explained(model, history, part)) << "seed " << seed;
    }
    if (expected) continue;
    ++wrong;
    expect_shortest(model, history, outcome);
  }
  EXPECT_GT(wrong, kHistories / 10);
  EXPECT_LT(wrong, kHistories * 9 / 10);
}

TYPED_TEST(EveryModel, OneWrongAnswerIsFound) {
  using M = TypeParam::M;
  const M model = TypeParam::model();
  std::size_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    History<M> history = this->real(
        seed, {.operations = 7, .processes = 2 + seed % 3, .lost_one_in = seed % 2 ? 6U : 0U});
    Dice dice(seed);
    auto& changed = history[dice.below(history.size())];
    if (!changed.output) continue;
    changed.output = TypeParam::guess(dice, changed.input);
    const bool expected = has_any_order(model, history);
    if (!expected) ++wrong;
    ASSERT_EQ(check(model, history).verdict, expected ? Verdict::kOk : Verdict::kViolation)
        << "seed " << seed;
  }
  EXPECT_GT(wrong, 100U);
}

TYPED_TEST(EveryModel, TheSameTwiceIsTheSame) {
  using M = TypeParam::M;
  const auto history = this->real(7, {.operations = 60, .processes = 8, .lost_one_in = 5});
  const M model = TypeParam::model();
  const Outcome first = check(model, history);
  const Outcome second = check(model, history);
  EXPECT_EQ(first.steps, second.steps);
  ASSERT_EQ(first.parts.size(), second.parts.size());
  for (std::size_t i = 0; i < first.parts.size(); ++i)
    EXPECT_EQ(first.parts[i].order, second.parts[i].order);
}

}  // namespace
}  // namespace blixard::linearizability
