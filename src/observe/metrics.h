#pragma once

// The registry of a node's metrics: what can be counted, under which name, with which labels.
//
// An instrument is registered once, when its part of the node begins, and gives a handle to count
// with (instruments.h). Its whole schema is fixed then: the name and the help are texts of the
// program, checked by the compiler; a label is an enum, a list that is known by then, or a bounded
// set of names. So recording has nothing to look up or to copy, and the number of series has a
// bound. Registering the same name again gives the same series: several parts may count in one.
// What is cheaper to compute than to keep has a source that is asked when somebody reads.
//
// Names follow the Prometheus conventions: blixard_<what>[_<unit>][_total]. The unit is the one in
// the name: what is counted in `_seconds` is kept in nanoseconds, and exporters divide. Exporters
// (text.h) walk everything by visit().
//
// Registration, names, reading, and counting in a family of names: the node's one thread. All other
// counting: any thread.

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "observe/instruments.h"

namespace blixard::observe {

enum class Kind : std::uint8_t { kCounter, kGauge, kHistogram };

// Not constant: named in the compiler's message when a text of a metric is not as it must be.
void not_a_metric_name();
void not_a_help_sentence();

constexpr bool is_metric_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && !(text.front() >= '0' && text.front() <= '9') &&
         std::ranges::all_of(text, fits);
}

// Texts of the program: an owned string is no such thing.
class LabelName {
 public:
  consteval LabelName(const char* text) : text_(text) {  // NOLINT(google-explicit-constructor)
    if (!is_metric_name(text_) || text_ == "le" || text_ == "quantile") not_a_metric_name();
  }
  [[nodiscard]] constexpr std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

template <Kind kKind>
class MetricName {
 public:
  consteval MetricName(const char* text) : text_(text) {  // NOLINT(google-explicit-constructor)
    const bool is_total = text_.ends_with("_total");
    if (!is_metric_name(text_) || is_total != (kKind == Kind::kCounter)) not_a_metric_name();
    std::string_view stem = text_;
    if (is_total) stem.remove_suffix(6);
    if (stem.ends_with("_seconds")) unit_ = Unit::kSeconds;
    if (stem.ends_with("_bytes")) unit_ = Unit::kBytes;
  }
  [[nodiscard]] constexpr std::string_view text() const { return text_; }
  [[nodiscard]] constexpr Unit unit() const { return unit_; }

 private:
  std::string_view text_;
  Unit unit_ = Unit::kCount;
};

class Help {
 public:
  consteval Help(const char* text) : text_(text) {  // NOLINT(google-explicit-constructor)
    if (!text_.ends_with('.')) not_a_help_sentence();
  }
  [[nodiscard]] constexpr std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

// A label and its values; without values for an enum, which has its own.
struct Label {
  std::string_view name;
  std::span<const std::string_view> listed{};

  consteval Label(const char* label)  // NOLINT(google-explicit-constructor)
      : name(LabelName(label).text()) {}
  // `values` are of the program, too; their list is copied.
  constexpr Label(LabelName label, std::span<const std::string_view> values)
      : name(label.text()), listed(values) {}
};

// Names that come and go, such as those of nodes. The first place is that of all names for which
// there is no place of their own, and is shown as "other".
class NameSet {
 public:
  static constexpr Named kOther{0};

  // The place of a name, which it gets if it has none.
  Named place(std::string_view name);
  // The name is not told of any more. Its gauges end; what it counted stays, since a counter does
  // not fall, until another name needs the place.
  void release(Named place);

  [[nodiscard]] std::size_t size() const { return by_name_.size(); }

 private:
  friend class Metrics;
  struct Attached {
    std::unique_ptr<NamedCells> cells;
    std::uint32_t cells_of_name = 0;
    Kind kind = Kind::kCounter;
  };
  NameSet(class Metrics& metrics, LabelName label, std::size_t max)
      : metrics_(metrics), label_(label.text()), max_(max) {}
  void grow(Attached& attached) const;
  static void clear(const Attached& attached, std::size_t at);
  void forget_oldest();

  Metrics& metrics_;
  std::string_view label_;
  std::size_t max_;
  std::map<std::string, Named, std::less<>> by_name_;
  std::vector<std::string_view> names_{"other"};  // by place; empty: free
  std::vector<Named> released_;                   // the oldest first
  std::vector<Attached> attached_;
  bool is_other_used_ = false;
};

// One number, as it is kept: exact in nanoseconds, bytes or things; or computed.
struct Number {
  std::int64_t whole = 0;
  double computed = 0;
  bool is_computed = false;
};

// What a source says when it is asked: a value for one combination of labels, in the order of
// their names.
class Answer {
 public:
  virtual ~Answer() = default;
  virtual void value(std::span<const std::string_view> labels, double value) = 0;
  void operator()(double single) { value({}, single); }
  void operator()(std::initializer_list<std::string_view> labels, double of_labels) {
    value({labels.begin(), labels.size()}, of_labels);
  }
};
using Source = std::function<void(Answer&)>;

// What an exporter sees of a metric, before its series.
struct FamilyView {
  std::string_view name;
  std::string_view help;
  Kind kind = Kind::kCounter;
  Unit unit = Unit::kCount;
  HistogramShape shape{};
  std::span<const std::string_view> labels;
  bool is_computed = false;
};

class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void family(const FamilyView& family) = 0;
  virtual void value(std::span<const std::string_view> labels, Number number) = 0;
  virtual void histogram(std::span<const std::string_view> labels,
                         const HistogramReading& reading) = 0;
};

class Metrics {
 public:
  Metrics() = default;
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter counter(MetricName<Kind::kCounter> name, Help help);
  Gauge gauge(MetricName<Kind::kGauge> name, Help help);
  Histogram histogram(MetricName<Kind::kHistogram> name, Help help, HistogramShape shape);

  // With a label for each of E: counters<Operation, Outcome>(name, help, {"operation", "outcome"}).
  template <class... E>
  CounterFamily<E...> counters(MetricName<Kind::kCounter> name, Help help,
                               std::array<Label, sizeof...(E)> labels) {
    return families<Counter, E...>(Kind::kCounter, name.text(), help, name.unit(), {}, labels);
  }
  template <class... E>
  GaugeFamily<E...> gauges(MetricName<Kind::kGauge> name, Help help,
                           std::array<Label, sizeof...(E)> labels) {
    return families<Gauge, E...>(Kind::kGauge, name.text(), help, name.unit(), {}, labels);
  }
  template <class... E>
  HistogramFamily<E...> histograms(MetricName<Kind::kHistogram> name, Help help,
                                   HistogramShape shape, std::array<Label, sizeof...(E)> labels) {
    return families<Histogram, E...>(Kind::kHistogram, name.text(), help, name.unit(), shape,
                                     labels);
  }

  // As many names at most; registering the label again gives the same set.
  NameSet& names(LabelName label, std::size_t max);
  // With a label of names, then those of E.
  template <LabelEnum... E>
  CounterFamily<Named, E...> named_counters(MetricName<Kind::kCounter> name, Help help,
                                            NameSet& names,
                                            std::array<Label, sizeof...(E)> more = {}) {
    return named<Counter, E...>(Kind::kCounter, name.text(), help, name.unit(), names, more);
  }
  template <LabelEnum... E>
  GaugeFamily<Named, E...> named_gauges(MetricName<Kind::kGauge> name, Help help, NameSet& names,
                                        std::array<Label, sizeof...(E)> more = {}) {
    return named<Gauge, E...>(Kind::kGauge, name.text(), help, name.unit(), names, more);
  }

  // `source` is called whenever somebody reads, and replaces an earlier one.
  void computed_counter(MetricName<Kind::kCounter> name, Help help, Source source,
                        std::initializer_list<LabelName> labels = {});
  void computed_gauge(MetricName<Kind::kGauge> name, Help help, Source source,
                      std::initializer_list<LabelName> labels = {});

  // Called before each reading, to set gauges whose truth is kept elsewhere.
  void before_reading(std::function<void()> update) { updates_.push_back(std::move(update)); }

  // Families by name; series in the order of their labels' values. Of a histogram with labels
  // only series that have counted, of a gauge only those that were set.
  void visit(Visitor& visitor) const;
  // What is registered, by name, without asking for any value.
  void describe(const std::function<void(const FamilyView&)>& tell) const;

  // Series that were refused, because there would have been too many: they count into nothing.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }

 private:
  friend class NameSet;
  static constexpr std::size_t kLabels = 3;

  struct Schema {
    std::string_view name;
    std::string_view help;
    Kind kind = Kind::kCounter;
    Unit unit = Unit::kCount;
    HistogramShape shape{};
    std::uint32_t labels = 0;
    std::array<std::string_view, kLabels> label_names{};
    std::array<std::span<const std::string_view>, kLabels> values{};  // none: names, or computed
  };
  struct Registered {
    Schema schema;
    std::uint32_t cells = 0;  // of a series
    cells::Slot first = 0;
    NameSet* names = nullptr;
    std::size_t attached = 0;  // in `names`
    Source source;
  };
  struct Range {
    cells::Slot first = 0;
    std::uint32_t count = 0;
  };

  template <class T, class... E>
  Family<T, E...> families(Kind kind, std::string_view name, Help help, Unit unit,
                           HistogramShape shape, std::array<Label, sizeof...(E)> labels) {
    Schema schema{name, help.text(), kind, unit, shape};
    (add_label(schema, labels[schema.labels], values_of<E>()), ...);
    const Registered& family = registered(schema, cells_of<T>(shape));
    if (family.first == 0) return {};
    return {family.first, static_cast<std::uint32_t>(family.schema.values[0].size()), shape};
  }
  template <class T, class... E>
  Family<T, Named, E...> named(Kind kind, std::string_view name, Help help, Unit unit,
                               NameSet& names, std::array<Label, sizeof...(E)> more) {
    Schema schema{name, help.text(), kind, unit, {}};
    schema.label_names[schema.labels++] = names.label_;
    [[maybe_unused]] std::size_t next = 0;
    (add_label(schema, more[next++], values_of<E>()), ...);
    return Family<T, Named, E...>(
        registered_named(schema, names, combinations<E...>() * T::kCells));
  }
  template <class E>
  static std::span<const std::string_view> values_of() {
    if constexpr (LabelEnum<E>) {
      return kLabelValues<E>;
    } else {
      return {};
    }
  }
  void add_label(Schema& schema, const Label& label, std::span<const std::string_view> values);

  Registered& family(const Schema& schema, bool& is_new);
  const Registered& registered(const Schema& schema, std::uint32_t cells);
  const NamedCells* registered_named(const Schema& schema, NameSet& names,
                                     std::uint32_t cells_of_name);
  void add_source(const Schema& schema, Source source, std::initializer_list<LabelName> labels);
  // Cells for so many series; 0: refused.
  cells::Slot reserve(std::uint32_t series, std::uint32_t cells);

  [[nodiscard]] const std::vector<std::uint32_t>& by_name() const;
  static FamilyView view_of(const Registered& family);
  void visit_family(const Registered& family, Visitor& visitor, HistogramReading& reading) const;
  static void visit_series(const Registered& family, std::size_t label, cells::Slot& first,
                           std::span<std::string_view> values, Visitor& visitor,
                           HistogramReading& reading);

  std::vector<Registered> families_;
  std::vector<std::uint32_t> by_hash_;          // places in families_ plus 1; 0: free
  mutable std::vector<std::uint32_t> by_name_;  // places in families_, once somebody read
  std::vector<std::function<void()>> updates_;
  std::vector<std::unique_ptr<NameSet>> name_sets_;
  std::vector<std::unique_ptr<std::vector<std::string_view>>> lists_;
  std::vector<Range> ranges_;
  Range unused_{};  // the rest of the newest of them
  std::uint32_t series_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace blixard::observe
