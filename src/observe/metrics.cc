#include "observe/metrics.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/assert.h"

namespace blixard::observe {
namespace {

bool is_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && !(text.front() >= '0' && text.front() <= '9') &&
         std::ranges::all_of(text, fits);
}

void escape(std::string& out, std::string_view text, bool with_quote) {
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && with_quote) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

// "{a="1",b="2"}" with `more` as the last label; "" when there is none at all.
std::string label_text(const Labels& labels, std::string_view more = "") {
  std::size_t bytes = more.size() + 2;
  for (const auto& [name, value] : labels)
    bytes += name.size() + value.size() + 4;
  std::string out;
  if (bytes == 2) return out;
  out.reserve(bytes);
  for (const auto& [name, value] : labels) {
    out += out.empty() ? '{' : ',';
    out += name;
    out += "=\"";
    escape(out, value, true);
    out += '"';
  }
  if (!more.empty()) {
    out += out.empty() ? '{' : ',';
    out += more;
  }
  out += '}';
  return out;
}

std::string seconds_text(Duration duration) {
  return fmt::format("{}", std::chrono::duration<double>(duration).count());
}

std::string_view kind_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "untyped";
}

template <class... Args>
void add_line(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

void write_histogram(std::string& out, std::string_view name, const Labels& labels,
                     const Histogram& histogram) {
  const auto reading = histogram.read();
  for (std::size_t i = 0; i < reading.cumulative.size(); ++i) {
    const bool is_last = i == histogram.bounds().size();
    const std::string bound = is_last ? "+Inf" : seconds_text(histogram.bounds()[i]);
    add_line(out, "{}_bucket{} {}\n", name, label_text(labels, "le=\"" + bound + "\""),
             reading.cumulative[i]);
  }
  const std::string label = label_text(labels);
  add_line(out, "{}_sum{} {}\n", name, label, seconds_text(reading.sum));
  add_line(out, "{}_count{} {}\n", name, label, reading.cumulative.back());
}

}  // namespace

Histogram::Histogram(std::vector<Duration> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
  BLX_ASSERT(!bounds_.empty() && std::ranges::is_sorted(bounds_, std::ranges::less_equal()));
}

void Histogram::observe(Duration duration) {
  const auto bucket = std::ranges::lower_bound(bounds_, duration) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(duration.count(), std::memory_order_relaxed);
}

Histogram::Reading Histogram::read() const {
  Reading reading;
  std::uint64_t total = 0;
  for (const auto& count : counts_) {
    total += count.load(std::memory_order_relaxed);
    reading.cumulative.push_back(total);
  }
  reading.sum = Duration(sum_ns_.load(std::memory_order_relaxed));
  return reading;
}

Metrics::Family& Metrics::family(std::string_view name, std::string_view help, MetricKind kind) {
  BLX_ASSERT(is_name(name) && !help.empty());
  auto found = families_.lower_bound(name);
  if (found == families_.end() || found->first != name) {
    found = families_.try_emplace(found, std::string(name));
    found->second.help = help;
    found->second.kind = kind;
  }
  Family& family = found->second;
  BLX_ASSERT(family.kind == kind && family.help == help);
  return family;
}

template <class T, class... Args>
T& Metrics::registered(std::string_view name, std::string_view help, MetricKind kind, Labels labels,
                       Args&&... args) {
  for (const auto& [label, value] : labels)
    BLX_ASSERT(is_name(label));
  Family& of_name = family(name, help, kind);
  BLX_ASSERT(!of_name.source);
  const auto [found, is_new] = of_name.series.try_emplace(label_text(labels));
  if (is_new) {
    found->second.labels = std::move(labels);
    found->second.metric = std::make_unique<T>(std::forward<Args>(args)...);
  }
  return *std::get<std::unique_ptr<T>>(found->second.metric);
}

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  BLX_ASSERT(name.ends_with("_total"));
  return registered<Counter>(name, help, MetricKind::kCounter, std::move(labels));
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  return registered<Gauge>(name, help, MetricKind::kGauge, std::move(labels));
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help,
                              std::vector<Duration> bounds, Labels labels) {
  return registered<Histogram>(name, help, MetricKind::kHistogram, std::move(labels),
                               std::move(bounds));
}

void Metrics::computed(std::string_view name, std::string_view help, MetricKind kind,
                       std::function<std::vector<Sample>()> source) {
  BLX_ASSERT(kind != MetricKind::kHistogram);
  Family& of_name = family(name, help, kind);
  BLX_ASSERT(of_name.series.empty());
  of_name.source = std::move(source);
}

std::string Metrics::text() const {
  std::string out;
  for (const auto& [name, family] : families_) {
    add_line(out, "# HELP {} ", name);
    escape(out, family.help, false);
    add_line(out, "\n# TYPE {} {}\n", name, kind_name(family.kind));
    if (family.source) {
      for (const Sample& sample : family.source()) {
        add_line(out, "{}{} {}\n", name, label_text(sample.labels), sample.value);
      }
    }
    for (const auto& [key, series] : family.series) {
      if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&series.metric)) {
        add_line(out, "{}{} {}\n", name, key, (*counter)->value());
      } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&series.metric)) {
        add_line(out, "{}{} {}\n", name, key, (*gauge)->value());
      } else {
        write_histogram(out, name, series.labels,
                        *std::get<std::unique_ptr<Histogram>>(series.metric));
      }
    }
  }
  return out;
}

}  // namespace blixard::observe
