#include "observe/metrics.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/assert.h"

namespace blixard::observe {
namespace {

// A registry takes its slots in pieces of this size, to be done with a few of them.
constexpr std::uint32_t kRangeSlots = 4096;

constexpr std::size_t kFamiliesAtFirst = 128;

bool same_texts(std::span<const std::string_view> a, std::span<const std::string_view> b) {
  return a.data() == b.data() ? a.size() == b.size() : std::ranges::equal(a, b);
}

// Gives the visitor what a source says, if it says it of the labels it was registered with.
class Relay final : public Answer {
 public:
  Relay(Visitor& visitor, std::size_t labels) : visitor_(visitor), labels_(labels) {}
  void value(std::span<const std::string_view> labels, double value) override {
    BLX_ASSERT(labels.size() == labels_);
    if (++series_ > limits::kMetricSeriesOfFamily) return;
    visitor_.value(labels, {.computed = value, .is_computed = true});
  }

 private:
  Visitor& visitor_;
  std::size_t labels_;
  std::size_t series_ = 0;
};

}  // namespace

void Histogram::read(HistogramReading& into) const {
  into.shape = shape_;
  into.sum = cells::sum(slot_);
  into.count = 0;
  into.counts.resize(shape_.buckets() + 1);
  for (std::uint32_t i = 0; i < into.counts.size(); ++i) {
    into.counts[i] = cells::sum(slot_ + 1 + i);
    into.count += into.counts[i];
  }
}

HistogramReading Histogram::read() const {
  HistogramReading reading;
  read(reading);
  return reading;
}

Metrics::~Metrics() {
  for (const Range& range : ranges_)
    cells::give_back(range.first, range.count);
}

void Metrics::add_label(Schema& schema, const Label& label,
                        std::span<const std::string_view> values) {
  BLX_ASSERT(schema.labels < kLabels && (values.empty() || label.listed.empty()));
  schema.label_names[schema.labels] = label.name;
  if (values.empty()) {
    lists_.push_back(
        std::make_unique<std::vector<std::string_view>>(label.listed.begin(), label.listed.end()));
    values = *lists_.back();
  }
  schema.values[schema.labels++] = values;
}

// The one of this name; one name has one schema.
Metrics::Registered& Metrics::family(const Schema& schema, bool& is_new) {
  if (families_.size() * 2 >= by_hash_.size()) {
    families_.reserve(std::max(families_.size() * 2, kFamiliesAtFirst));
    by_hash_.assign(families_.capacity() * 2, 0);
    for (std::uint32_t i = 0; i < families_.size(); ++i) {
      std::size_t at = std::hash<std::string_view>()(families_[i].schema.name) % by_hash_.size();
      while (by_hash_[at] != 0)
        at = (at + 1) % by_hash_.size();
      by_hash_[at] = i + 1;
    }
  }
  std::size_t at = std::hash<std::string_view>()(schema.name) % by_hash_.size();
  for (; by_hash_[at] != 0; at = (at + 1) % by_hash_.size()) {
    Registered& found = families_[by_hash_[at] - 1];
    if (found.schema.name != schema.name) continue;
    const Schema& has = found.schema;
    BLX_ASSERT(has.kind == schema.kind && has.help == schema.help && has.shape == schema.shape);
    BLX_ASSERT(has.labels == schema.labels && has.label_names == schema.label_names);
    for (std::size_t i = 0; i < schema.labels; ++i)
      BLX_ASSERT(same_texts(has.values[i], schema.values[i]));
    is_new = false;
    return found;
  }
  is_new = true;
  families_.push_back({.schema = schema});
  by_hash_[at] = static_cast<std::uint32_t>(families_.size());
  by_name_.clear();
  return families_.back();
}

cells::Slot Metrics::reserve(std::uint32_t series, std::uint32_t cells) {
  const std::uint32_t count = series * cells;
  if (series > limits::kMetricSeriesOfFamily || series_ + series > limits::kMetricSeries) {
    refused_ += series;
    return 0;
  }
  if (unused_.count < count) {
    Range range{0, std::max(count, kRangeSlots)};
    range.first = cells::take(range.count);
    if (range.first == 0) {
      refused_ += series;
      return 0;
    }
    ranges_.push_back(range);
    unused_ = range;
  }
  series_ += series;
  const cells::Slot first = unused_.first;
  unused_.first += count;
  unused_.count -= count;
  return first;
}

const Metrics::Registered& Metrics::registered(const Schema& schema, std::uint32_t cells) {
  BLX_ASSERT(schema.kind != Kind::kHistogram ||
             (schema.shape.buckets() > 0 && schema.shape.unit() == schema.unit));
  bool is_new = false;
  Registered& family = this->family(schema, is_new);
  BLX_ASSERT(!family.source && family.names == nullptr);
  if (!is_new) return family;
  std::size_t series = 1;
  for (std::size_t i = 0; i < schema.labels; ++i)
    series *= schema.values[i].size();
  family.cells = cells;
  family.first = reserve(static_cast<std::uint32_t>(series), cells);
  return family;
}

const NamedCells* Metrics::registered_named(const Schema& schema, NameSet& names,
                                            std::uint32_t cells_of_name) {
  BLX_ASSERT(&names.metrics_ == this);
  bool is_new = false;
  Registered& family = this->family(schema, is_new);
  BLX_ASSERT(!family.source && family.first == 0 && (is_new || family.names == &names));
  if (is_new) {
    family.cells = 1;
    family.names = &names;
    family.attached = names.attached_.size();
    names.attached_.push_back({std::make_unique<NamedCells>(), cells_of_name, schema.kind});
    NameSet::Attached& attached = names.attached_.back();
    while (attached.cells->chunks.size() * kNamesOfChunk < names.names_.size())
      names.grow(attached);
  }
  return names.attached_[family.attached].cells.get();
}

Counter Metrics::counter(MetricName<Kind::kCounter> name, Help help) {
  return {registered({name.text(), help.text(), Kind::kCounter, name.unit()}, 1).first, {}};
}

Gauge Metrics::gauge(MetricName<Kind::kGauge> name, Help help) {
  return {registered({name.text(), help.text(), Kind::kGauge, name.unit()}, 1).first, {}};
}

Histogram Metrics::histogram(MetricName<Kind::kHistogram> name, Help help, HistogramShape shape) {
  const Schema schema{name.text(), help.text(), Kind::kHistogram, name.unit(), shape};
  const cells::Slot first = registered(schema, Histogram::cells_of(shape)).first;
  return first == 0 ? Histogram() : Histogram(first, shape);
}

void Metrics::add_source(const Schema& schema, Source source,
                         std::initializer_list<LabelName> labels) {
  Schema with_labels = schema;
  BLX_ASSERT(labels.size() <= kLabels);
  for (const LabelName& label : labels)
    with_labels.label_names[with_labels.labels++] = label.text();
  bool is_new = false;
  Registered& family = this->family(with_labels, is_new);
  BLX_ASSERT(is_new || family.source);
  family.source = std::move(source);
}

void Metrics::computed_counter(MetricName<Kind::kCounter> name, Help help, Source source,
                               std::initializer_list<LabelName> labels) {
  add_source({name.text(), help.text(), Kind::kCounter, name.unit()}, std::move(source), labels);
}

void Metrics::computed_gauge(MetricName<Kind::kGauge> name, Help help, Source source,
                             std::initializer_list<LabelName> labels) {
  add_source({name.text(), help.text(), Kind::kGauge, name.unit()}, std::move(source), labels);
}

NameSet& Metrics::names(LabelName label, std::size_t max) {
  for (const auto& set : name_sets_)
    if (set->label_ == label.text()) return *set;
  name_sets_.push_back(std::unique_ptr<NameSet>(new NameSet(*this, label, max)));
  return *name_sets_.back();
}

// A chunk that was refused is empty: its names count into nothing.
void NameSet::grow(Attached& attached) const {
  attached.cells->chunks.push_back(metrics_.reserve(kNamesOfChunk * attached.cells_of_name, 1));
}

void NameSet::clear(const Attached& attached, std::size_t at) {
  const cells::Slot first = attached.cells->chunks[at / kNamesOfChunk];
  const auto skipped = static_cast<std::uint32_t>(at % kNamesOfChunk) * attached.cells_of_name;
  if (first != 0) cells::clear(first + skipped, attached.cells_of_name);
}

Named NameSet::place(std::string_view name) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    std::erase(released_, found->second);
    return found->second;
  }
  if (by_name_.size() >= max_ && !released_.empty()) forget_oldest();
  if (by_name_.size() >= max_ || name.empty()) {
    is_other_used_ = true;
    return kOther;
  }
  auto at =
      static_cast<std::size_t>(std::ranges::find(names_, std::string_view()) - names_.begin());
  if (at == names_.size()) names_.emplace_back();
  const auto added = by_name_.try_emplace(std::string(name), Named{static_cast<std::uint32_t>(at)});
  names_[at] = added.first->first;
  for (Attached& attached : attached_)
    if (attached.cells->chunks.size() * kNamesOfChunk <= at) grow(attached);
  return added.first->second;
}

void NameSet::release(Named place) {
  const auto at = static_cast<std::size_t>(place);
  if (at == 0 || at >= names_.size() || names_[at].empty()) return;
  if (std::ranges::find(released_, place) != released_.end()) return;
  for (const Attached& attached : attached_)
    if (attached.kind == Kind::kGauge) clear(attached, at);
  released_.push_back(place);
}

void NameSet::forget_oldest() {
  const auto at = static_cast<std::size_t>(released_.front());
  released_.erase(released_.begin());
  for (const Attached& attached : attached_)
    clear(attached, at);
  by_name_.erase(by_name_.find(names_[at]));
  names_[at] = {};
}

// All combinations of the values of the labels from `label` on; `first` is moved past them.
void Metrics::visit_series(const Registered& family, std::size_t label, cells::Slot& first,
                           std::span<std::string_view> values, Visitor& visitor,
                           HistogramReading& reading) {
  const Schema& schema = family.schema;
  if (label < schema.labels) {
    for (const std::string_view value : schema.values[label]) {
      values[label] = value;
      visit_series(family, label + 1, first, values, visitor, reading);
    }
    return;
  }
  const auto labels = values.first(schema.labels);
  switch (schema.kind) {
    case Kind::kCounter:
      visitor.value(labels, {.whole = static_cast<std::int64_t>(Counter(first, {}).value())});
      break;
    case Kind::kGauge:
      if (const Gauge gauge(first, {}); gauge.is_set())
        visitor.value(labels, {.whole = gauge.value()});
      break;
    case Kind::kHistogram:
      Histogram(first, schema.shape).read(reading);
      if (reading.count > 0 || schema.labels == 0) visitor.histogram(labels, reading);
      break;
  }
  first += family.cells;
}

void Metrics::visit_family(const Registered& family, Visitor& visitor,
                           HistogramReading& reading) const {
  const Schema& schema = family.schema;
  visitor.family(view_of(family));
  std::array<std::string_view, kLabels> values{};
  if (family.source) {
    Relay relay(visitor, schema.labels);
    family.source(relay);
  } else if (family.names != nullptr) {
    const NameSet::Attached& attached = family.names->attached_[family.attached];
    const auto visit_name = [&](Named name) {
      const auto at = static_cast<std::uint32_t>(name);
      cells::Slot first = attached.cells->chunks[at / kNamesOfChunk];
      if (first == 0) return;
      first += (at % kNamesOfChunk) * attached.cells_of_name;
      values[0] = family.names->names_[at];
      visit_series(family, 1, first, values, visitor, reading);
    };
    for (const auto& [text, name] : family.names->by_name_)
      visit_name(name);
    if (family.names->is_other_used_) visit_name(NameSet::kOther);
  } else if (family.first != 0) {
    cells::Slot first = family.first;
    visit_series(family, 0, first, values, visitor, reading);
  }
}

FamilyView Metrics::view_of(const Registered& family) {
  const Schema& schema = family.schema;
  return {.name = schema.name,
          .help = schema.help,
          .kind = schema.kind,
          .unit = schema.unit,
          .shape = schema.shape,
          .labels = std::span(schema.label_names).first(schema.labels),
          .is_computed = static_cast<bool>(family.source)};
}

const std::vector<std::uint32_t>& Metrics::by_name() const {
  if (by_name_.size() != families_.size()) {
    by_name_.resize(families_.size());
    for (std::uint32_t i = 0; i < by_name_.size(); ++i)
      by_name_[i] = i;
    std::ranges::sort(by_name_, {}, [this](std::uint32_t i) { return families_[i].schema.name; });
  }
  return by_name_;
}

void Metrics::visit(Visitor& visitor) const {
  for (const auto& update : updates_)
    update();
  HistogramReading reading;
  for (const std::uint32_t i : by_name())
    visit_family(families_[i], visitor, reading);
}

void Metrics::describe(const std::function<void(const FamilyView&)>& tell) const {
  for (const std::uint32_t i : by_name())
    tell(view_of(families_[i]));
}

}  // namespace blixard::observe
