#include "node/otlp/metrics_json.h"

#include <utility>

#include <boost/json.hpp>

#include "node/trace/otlp_attributes.h"

namespace blixard::otlp {
namespace {

namespace json = boost::json;
using observe::Kind;
using observe::Unit;

constexpr int kCumulative = 2;  // AggregationTemporality

std::string_view unit_name(Unit unit) {
  switch (unit) {
    case Unit::kSeconds:
      return "s";
    case Unit::kBytes:
      return "By";
    case Unit::kCount:
      break;
  }
  return "";  // of "1" a collector that hands on to Prometheus makes a name that ends in _ratio
}

double in_unit(Unit unit, std::uint64_t kept) {
  const auto number = static_cast<double>(kept);
  return unit == Unit::kSeconds ? number / 1e9 : number;
}

class Writer final : public observe::Visitor {
 public:
  Writer(std::int64_t start_unix_ns, std::int64_t now_unix_ns)
      : start_(std::to_string(start_unix_ns)), now_(std::to_string(now_unix_ns)) {}

  void family(const observe::FamilyView& family) override {
    finish();
    family_ = family;
    is_open_ = true;
  }

  void value(std::span<const std::string_view> labels, observe::Number number) override {
    json::object point = begin_point(labels);
    if (number.is_computed) {
      point["asDouble"] = number.computed;
    } else if (family_.unit == Unit::kSeconds) {
      point["asDouble"] = static_cast<double>(number.whole) / 1e9;
    } else {
      point["asInt"] = std::to_string(number.whole);
    }
    points_.push_back(std::move(point));
  }

  void histogram(std::span<const std::string_view> labels,
                 const observe::HistogramReading& reading) override {
    json::object point = begin_point(labels);
    point["count"] = std::to_string(reading.count);
    point["sum"] = in_unit(family_.unit, reading.sum);
    json::array counts;
    json::array bounds;
    for (std::uint32_t i = 0; i < reading.counts.size(); ++i) {
      counts.push_back(json::string(std::to_string(reading.counts[i])));
      if (i < reading.shape.buckets()) {
        bounds.push_back(in_unit(reading.shape.unit(), reading.shape.bound(i)));
      }
    }
    point["bucketCounts"] = std::move(counts);
    point["explicitBounds"] = std::move(bounds);
    points_.push_back(std::move(point));
  }

  json::array take() {
    finish();
    return std::move(metrics_);
  }

 private:
  json::object begin_point(std::span<const std::string_view> labels) const {
    trace::Attributes attributes;
    for (std::size_t i = 0; i < labels.size(); ++i)
      attributes.emplace_back(family_.labels[i], std::string(labels[i]));
    json::object point{{"attributes", trace::attributes_json(attributes)}};
    if (family_.kind != Kind::kGauge) point["startTimeUnixNano"] = start_;
    point["timeUnixNano"] = now_;
    return point;
  }

  // A metric without points says nothing.
  void finish() {
    if (!std::exchange(is_open_, false) || points_.empty()) return;
    json::object metric{
        {"name", family_.name}, {"description", family_.help}, {"unit", unit_name(family_.unit)}};
    json::object data{{"dataPoints", std::exchange(points_, {})}};
    if (family_.kind != Kind::kGauge) data["aggregationTemporality"] = kCumulative;
    if (family_.kind == Kind::kCounter) data["isMonotonic"] = true;
    const std::string_view kind = family_.kind == Kind::kCounter ? "sum"
                                  : family_.kind == Kind::kGauge ? "gauge"
                                                                 : "histogram";
    metric[kind] = std::move(data);
    metrics_.push_back(std::move(metric));
  }

  std::string start_;
  std::string now_;
  observe::FamilyView family_;
  bool is_open_ = false;
  json::array points_;
  json::array metrics_;
};

}  // namespace

std::string metrics_json(const observe::Metrics& metrics, const trace::Resource& resource,
                         std::int64_t start_unix_ns, std::int64_t now_unix_ns) {
  Writer writer(start_unix_ns, now_unix_ns);
  metrics.visit(writer);
  const json::object document{
      {"resourceMetrics",
       json::array{json::object{
           {"resource",
            json::object{{"attributes", trace::attributes_json(trace::attributes_of(resource))}}},
           {"scopeMetrics", json::array{json::object{{"scope", json::object{{"name", "blixard"}}},
                                                     {"metrics", writer.take()}}}}}}}};
  return json::serialize(document);
}

}  // namespace blixard::otlp
