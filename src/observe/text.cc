#include "observe/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <utility>

namespace blixard::observe {
namespace {

constexpr std::string_view kOpenMetricsType = "application/openmetrics-text";
constexpr std::uint64_t kNanosecondsOfSecond = 1'000'000'000;

void escape(std::string& out, std::string_view text, bool with_quote) {
  const auto is_special = [&](char c) {
    return c == '\\' || c == '\n' || (c == '"' && with_quote);
  };
  for (auto rest = text.begin();;) {
    const auto special = std::find_if(rest, text.end(), is_special);
    out += std::string_view(rest, special);
    if (special == text.end()) return;
    out += '\\';
    out += *special == '\n' ? 'n' : *special;
    rest = special + 1;
  }
}

template <class T>
void add_number(std::string& out, T number) {
  std::array<char, 32> text{};
  const auto done = std::to_chars(text.data(), text.data() + text.size(), number);
  out += std::string_view(text.data(), done.ptr);
}

// Nanoseconds as seconds, exactly.
void add_seconds(std::string& out, std::uint64_t nanoseconds) {
  add_number(out, nanoseconds / kNanosecondsOfSecond);
  std::uint64_t rest = nanoseconds % kNanosecondsOfSecond;
  if (rest == 0) return;
  std::array<char, 10> text{'.', '0', '0', '0', '0', '0', '0', '0', '0', '0'};
  std::size_t size = text.size();
  for (std::size_t i = text.size() - 1; i > 0; --i, rest /= 10)
    text[i] = static_cast<char>('0' + rest % 10);
  while (text[size - 1] == '0')
    --size;
  out.append(text.data(), size);
}

void add_in_unit(std::string& out, Unit unit, std::uint64_t number) {
  if (unit == Unit::kSeconds) {
    add_seconds(out, number);
  } else {
    add_number(out, number);
  }
}

class Writer final : public Visitor {
 public:
  Writer(TextFormat format, std::string& out)
      : is_open_(format == TextFormat::kOpenMetrics), out_(out) {}

  void family(const FamilyView& family) override {
    family_ = family;
    std::string_view name = family.name;
    if (is_open_ && family.kind == Kind::kCounter) name.remove_suffix(6);  // "_total"
    add("# HELP ", name, " ");
    escape(out_, family.help, is_open_);
    add("\n# TYPE ", name, " ", kind_name(family.kind), "\n");
    if (!is_open_ || family.unit == Unit::kCount) return;
    add("# UNIT ", name, family.unit == Unit::kSeconds ? " seconds\n" : " bytes\n");
  }

  void value(std::span<const std::string_view> labels, Number number) override {
    out_ += family_.name;
    add_labels(labels);
    out_ += ' ';
    if (number.is_computed) {
      add_number(out_, number.computed);
    } else {
      if (number.whole < 0) out_ += '-';
      const auto size = static_cast<std::uint64_t>(number.whole);
      add_in_unit(out_, family_.unit, number.whole < 0 ? 0 - size : size);
    }
    out_ += '\n';
  }

  void histogram(std::span<const std::string_view> labels,
                 const HistogramReading& reading) override {
    // All buckets begin with the same words.
    const std::size_t head = out_.size();
    add(family_.name, "_bucket");
    open_labels(labels);
    add(labels.empty() ? "{" : ",", "le=\"");
    const std::size_t head_bytes = out_.size() - head;
    std::uint64_t cumulative = 0;
    for (std::uint32_t i = 0; i < reading.counts.size(); ++i) {
      if (i > 0) out_.append(out_, head, head_bytes);
      add_bound(reading.shape, i);
      add("\"} ");
      cumulative += reading.counts[i];
      add_number(out_, cumulative);
      out_ += '\n';
    }
    add(family_.name, "_sum");
    add_labels(labels);
    out_ += ' ';
    add_in_unit(out_, family_.unit, reading.sum);
    add("\n", family_.name, "_count");
    add_labels(labels);
    out_ += ' ';
    add_number(out_, reading.count);
    out_ += '\n';
  }

 private:
  template <class... T>
  void add(const T&... texts) {
    (out_.append(std::string_view(texts)), ...);
  }

  void add_label(std::string_view name, std::string_view value, bool is_first) {
    add(is_first ? "{" : ",", name, "=\"");
    escape(out_, value, true);
    out_ += '"';
  }

  void open_labels(std::span<const std::string_view> labels) {
    for (std::size_t i = 0; i < labels.size(); ++i)
      add_label(family_.labels[i], labels[i], i == 0);
  }

  void add_labels(std::span<const std::string_view> labels) {
    open_labels(labels);
    if (!labels.empty()) out_ += '}';
  }

  void add_bound(const HistogramShape& shape, std::uint32_t bucket) {
    if (bucket == shape.buckets()) {
      add("+Inf");
      return;
    }
    const std::size_t begun = out_.size();
    add_in_unit(out_, shape.unit(), shape.bound(bucket));
    // OpenMetrics wants to see that it is no integer.
    if (is_open_ && !std::string_view(out_).substr(begun).contains('.')) add(".0");
  }

  bool is_open_;
  std::string& out_;
  FamilyView family_{};
};

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t'))
    text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t'))
    text.remove_suffix(1);
  return text;
}

// Up to `separator`; `text` keeps what is behind it.
std::string_view cut(std::string_view& text, char separator) {
  const std::string_view part = text.substr(0, text.find(separator));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return trimmed(part);
}

// RFC 9110, 12.4.2; what is no number counts as 0.
double quality_of(std::string_view parameters) {
  while (!parameters.empty()) {
    std::string_view value = cut(parameters, ';');
    if (!value.starts_with("q=")) continue;
    value.remove_prefix(2);
    double quality = 0;
    const auto done = std::from_chars(value.data(), value.data() + value.size(), quality);
    return done.ec == std::errc() && std::isfinite(quality) ? quality : 0;
  }
  return 1;
}

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kCounter:
      return "counter";
    case Kind::kGauge:
      return "gauge";
    case Kind::kHistogram:
      return "histogram";
  }
  return "untyped";
}

std::string_view content_type(TextFormat format) {
  return format == TextFormat::kOpenMetrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

TextFormat text_format_for(std::string_view accept) {
  double open = 0;
  double plain = 0;
  while (!accept.empty()) {
    std::string_view range = cut(accept, ',');
    const std::string_view type = cut(range, ';');
    const double quality = quality_of(range);
    if (type == kOpenMetricsType) open = std::max(open, quality);
    if (type == "text/plain") plain = std::max(plain, quality);
  }
  return open > 0 && open >= plain ? TextFormat::kOpenMetrics : TextFormat::kPrometheus;
}

void write_text(const Metrics& metrics, TextFormat format, std::string& out) {
  Writer writer(format, out);
  metrics.visit(writer);
  if (format == TextFormat::kOpenMetrics) out += "# EOF\n";
}

}  // namespace blixard::observe
