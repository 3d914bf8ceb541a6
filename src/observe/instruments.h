#pragma once

// Handles to count with: a slot number each, to be copied freely and kept where one counts.
//
// Counting is an addition to a cell of this thread (cells.h), setting is a store: no lock, no
// locked instruction, no look-up and no allocation, so it may happen anywhere, on any thread. One
// that was never registered counts into nothing. Labels are values of enums, whose names stand in
// kLabelValues; a family keeps the series of all combinations side by side, so choosing one is
// arithmetic.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/units.h"
#include "observe/cells.h"
#include "observe/histogram_shape.h"

namespace blixard::observe {

class Counter {
 public:
  static constexpr std::uint32_t kCells = 1;

  constexpr Counter() = default;
  constexpr Counter(cells::Slot slot, HistogramShape /*unused*/) : slot_(slot) {}

  void add(std::uint64_t count = 1) const { cells::add(slot_, count); }
  void add(Duration time) const {
    add(static_cast<std::uint64_t>(std::max<Duration>(time, 0ns).count()));
  }

  // Over all threads; costs a look at each.
  [[nodiscard]] std::uint64_t value() const { return cells::sum(slot_); }

 private:
  cells::Slot slot_ = 0;
};
static_assert(sizeof(Counter) == 4);

// Shown once it was set.
class Gauge {
 public:
  static constexpr std::uint32_t kCells = 1;

  constexpr Gauge() = default;
  constexpr Gauge(cells::Slot slot, HistogramShape /*unused*/) : slot_(slot) {}

  void set(std::int64_t value) const {
    cell().store(static_cast<std::uint64_t>(value) + kZero, std::memory_order_relaxed);
  }
  void set(Duration time) const { set(time.count()); }
  void set(Bytes bytes) const { set(static_cast<std::int64_t>(bytes.value)); }

  // Of what several threads raise and lower; the only instrument that takes a locked instruction.
  void add(std::int64_t change) const {
    std::uint64_t unset = 0;
    if (cell().load(std::memory_order_relaxed) == unset)
      cell().compare_exchange_strong(unset, kZero, std::memory_order_relaxed);
    cell().fetch_add(static_cast<std::uint64_t>(change), std::memory_order_relaxed);
  }

  [[nodiscard]] bool is_set() const { return cell().load(std::memory_order_relaxed) != 0; }
  [[nodiscard]] std::int64_t value() const {
    const std::uint64_t kept = cell().load(std::memory_order_relaxed);
    return kept == 0 ? 0 : static_cast<std::int64_t>(kept - kZero);
  }

 private:
  // What stands for 0 in a cell, so that an empty one means "not set".
  static constexpr std::uint64_t kZero = std::uint64_t{1} << 63;
  [[nodiscard]] std::atomic_ref<std::uint64_t> cell() const {
    return std::atomic_ref(cells::shared[slot_]);
  }

  cells::Slot slot_ = 0;
};
static_assert(sizeof(Gauge) == 4);

// One moment of a histogram.
struct HistogramReading {
  HistogramShape shape;
  std::vector<std::uint64_t> counts;  // of each bucket, not cumulative; the last is beyond all
  std::uint64_t sum = 0;              // in the unit of the shape
  std::uint64_t count = 0;
};

class Histogram {
 public:
  constexpr Histogram() = default;
  constexpr Histogram(cells::Slot slot, HistogramShape shape) : slot_(slot), shape_(shape) {}

  void observe(std::uint64_t value) const {
    cells::add(slot_, value);
    cells::add(slot_ + 1 + shape_.bucket_of(value), 1);
  }
  void observe(Duration time) const {
    observe(static_cast<std::uint64_t>(std::max<Duration>(time, 0ns).count()));
  }
  void observe(Bytes bytes) const { observe(bytes.value); }

  void read(HistogramReading& into) const;  // reuses its memory
  [[nodiscard]] HistogramReading read() const;

  // The sum, the buckets, and what is beyond them.
  static constexpr std::uint32_t cells_of(HistogramShape shape) { return shape.buckets() + 2; }

 private:
  cells::Slot slot_ = 0;
  HistogramShape shape_;
};
static_assert(sizeof(Histogram) <= 12);

// Specialised for each enum that is a label: the texts of its values, from the first on.
template <class E>
inline constexpr std::array<std::string_view, 0> kLabelValues{};

template <class E>
concept LabelEnum = std::is_enum_v<E> && (kLabelValues<E>.size() > 0);

// A place in a list that is known when the family is registered, such as the routes of the API.
// Only the first label of a family may be one.
enum class Listed : std::uint32_t {};
constexpr Listed listed(std::size_t place) { return Listed(static_cast<std::uint32_t>(place)); }

// A place in a set of names that come and go (NameSet).
enum class Named : std::uint32_t {};

template <class T>
constexpr std::uint32_t cells_of([[maybe_unused]] HistogramShape shape) {
  if constexpr (requires { T::kCells; }) {
    return T::kCells;
  } else {
    return T::cells_of(shape);
  }
}

template <LabelEnum... E>
constexpr std::uint32_t combinations() {
  return static_cast<std::uint32_t>((std::size_t{1} * ... * kLabelValues<E>.size()));
}

// Where among all combinations of their values these are; the last one varies fastest.
template <LabelEnum... E>
constexpr std::uint32_t combination(E... values) {
  std::uint32_t at = 0;
  ((at = at * static_cast<std::uint32_t>(kLabelValues<E>.size()) +
         static_cast<std::uint32_t>(values)),
   ...);
  return at;
}

// Series of one name, one for each combination of labels.
template <class T, class... E>
class Family {
 public:
  constexpr Family() = default;
  constexpr Family(cells::Slot first, std::uint32_t /*listed*/, HistogramShape shape)
      : first_(first), shape_(shape) {
    static_assert(combinations<E...>() <= cells::kSinkSlots / 2);
  }

  T operator[](E... values) const {
    return T(first_ + combination(values...) * cells_of<T>(shape_), shape_);
  }

 private:
  cells::Slot first_ = 0;
  HistogramShape shape_;
};

template <class T, class... E>
class Family<T, Listed, E...> {
 public:
  constexpr Family() = default;
  constexpr Family(cells::Slot first, std::uint32_t listed, HistogramShape shape)
      : first_(first), listed_(listed), shape_(shape) {}

  // A place behind the list counts into nothing.
  T operator[](Listed place, E... values) const {
    const auto at = static_cast<std::uint32_t>(place);
    if (at >= listed_) return T();
    return T(first_ + (at * combinations<E...>() + combination(values...)) * cells_of<T>(shape_),
             shape_);
  }

 private:
  cells::Slot first_ = 0;
  std::uint32_t listed_ = 0;
  HistogramShape shape_;
};

// Cells of a family over a NameSet: of kNamesOfChunk names each, as names come.
inline constexpr std::uint32_t kNamesOfChunk = 16;
struct NamedCells {
  std::vector<cells::Slot> chunks;
};

// Counters or gauges.
template <class T, class... E>
class Family<T, Named, E...> {
 public:
  constexpr Family() = default;
  constexpr explicit Family(const NamedCells* named) : named_(named) {}

  T operator[](Named name, E... values) const {
    const auto at = static_cast<std::uint32_t>(name);
    if (named_ == nullptr || at / kNamesOfChunk >= named_->chunks.size()) return T();
    const cells::Slot first = named_->chunks[at / kNamesOfChunk];
    if (first == 0) return T();
    const std::uint32_t series = (at % kNamesOfChunk) * combinations<E...>();
    return T(first + (series + combination(values...)) * T::kCells, {});
  }

 private:
  const NamedCells* named_ = nullptr;
};

template <class... E>
using CounterFamily = Family<Counter, E...>;
template <class... E>
using GaugeFamily = Family<Gauge, E...>;
template <class... E>
using HistogramFamily = Family<Histogram, E...>;

}  // namespace blixard::observe
