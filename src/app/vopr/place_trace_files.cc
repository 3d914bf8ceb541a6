// Lists of nodes and requests: comma separated, the columns named by the first line.

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/output.h"
#include "app/vopr/place_trace.h"
#include "base/limits.h"

namespace blixard::app {
namespace {

constexpr std::size_t kRows = 10'000'000;
constexpr std::size_t kShown = 40;  // bytes of a wrong value
constexpr const char* kGpu = "gpu";

// One row at a time, with the values of the columns that were asked for.
class Rows {
 public:
  Rows(std::string_view text, std::string path) : text_(text), path_(std::move(path)) {}

  Result<void> read_header(std::span<const std::string_view> wanted) {
    const auto header = next_line();
    if (!header) return fault("is empty; the first line names the columns");
    const auto names = split(*header);
    for (const std::string_view name : wanted) {
      const auto found = std::ranges::find(names, name);
      if (found == names.end()) {
        return fault(fmt::format("no column '{}'; it has {}", name,
                                 printable(fmt::format("{}", fmt::join(names, ",")))));
      }
      columns_.push_back(static_cast<std::size_t>(found - names.begin()));
    }
    count_ = names.size();
    return {};
  }

  // False: there are no more.
  Result<bool> next() {
    const auto line = next_line();
    if (!line) return false;
    if (++rows_ > kRows) return fault(fmt::format("more than {} rows; split the file", kRows));
    values_ = split(*line);
    if (values_.size() == count_) return true;
    return fault(fmt::format("{} values, the header has {} columns", values_.size(), count_));
  }

  [[nodiscard]] std::string_view text(std::size_t column) const {
    return values_[columns_[column]];
  }
  [[nodiscard]] Result<std::int64_t> number(std::size_t column, std::string_view name,
                                            std::int64_t least, std::int64_t most) const {
    const std::string_view value = text(column);
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < least ||
        number > most) {
      return fault(fmt::format("{} '{}' is not a whole number from {} to {}", name,
                               printable(std::string(value.substr(0, kShown))), least, most));
    }
    return number;
  }
  [[nodiscard]] std::unexpected<Error> fault(const std::string& what) const {
    return fail(Code::kInvalidArgument, "file_invalid",
                fmt::format("{}:{}: {}", path_, line_, what));
  }

 private:
  // Blank lines are passed over.
  std::optional<std::string_view> next_line() {
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = text_.find('\n');
      std::string_view line = text_.substr(0, end);
      text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty()) return line;
    }
    return std::nullopt;
  }
  static std::vector<std::string_view> split(std::string_view line) {
    std::vector<std::string_view> values;
    while (true) {
      const std::size_t end = line.find(',');
      std::string_view value = line.substr(0, end);
      while (value.starts_with(' '))
        value.remove_prefix(1);
      while (value.ends_with(' '))
        value.remove_suffix(1);
      if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"'))
        value = value.substr(1, value.size() - 2);
      values.push_back(value);
      if (end == std::string_view::npos) return values;
      line.remove_prefix(end + 1);
    }
  }

  std::string_view text_;
  std::string path_;
  std::size_t line_ = 0;
  std::size_t rows_ = 0;
  std::vector<std::size_t> columns_;
  std::size_t count_ = 0;
  std::vector<std::string_view> values_;
};

// As a node has it, over what VMs may ask for: traces are of machines of all sizes.
constexpr std::int64_t kCpuMilliMost = 100'000'000;
constexpr std::int64_t kMemoryMibMost = std::int64_t{1} << 30;

}  // namespace

Result<std::vector<sched::FleetNode>> read_nodes(std::string_view text, const std::string& path) {
  static constexpr std::array<std::string_view, 5> kColumns = {"sn", "cpu_milli", "memory_mib",
                                                               "gpu", "model"};
  Rows rows(text, path);
  BLX_TRY(rows.read_header(kColumns));
  std::vector<sched::FleetNode> nodes;
  std::set<std::string_view> names;
  while (true) {
    BLX_TRY(const bool is_row, rows.next());
    if (!is_row) break;
    if (!names.insert(rows.text(0)).second)
      return rows.fault(
          fmt::format("two nodes are named '{}'", printable(std::string(rows.text(0)))));
    BLX_TRY(const std::int64_t cpu, rows.number(1, "cpu_milli", 0, kCpuMilliMost));
    BLX_TRY(const std::int64_t memory, rows.number(2, "memory_mib", 0, kMemoryMibMost));
    BLX_TRY(const std::int64_t gpus, rows.number(3, "gpu", 0, limits::kNodeDevices));
    sched::FleetNode node;
    node.id = NodeId(nodes.size() + 1);
    node.name = Name(rows.text(0));
    node.supply.amounts = {.cpu_milli = cpu, .memory_mib = memory};
    if (gpus != 0) {
      node.supply.devices.push_back({.kind = Name(kGpu),
                                     .model = Name(rows.text(4)),
                                     .count = static_cast<std::uint32_t>(gpus)});
    }
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return rows.fault("no node");
  return nodes;
}

Result<std::vector<sched::Request>> read_requests(std::string_view text, const std::string& path) {
  static constexpr std::array<std::string_view, 6> kColumns = {"name",    "cpu_milli", "memory_mib",
                                                               "num_gpu", "gpu_milli", "gpu_spec"};
  Rows rows(text, path);
  BLX_TRY(rows.read_header(kColumns));
  std::vector<sched::Request> requests;
  while (true) {
    BLX_TRY(const bool is_row, rows.next());
    if (!is_row) break;
    BLX_TRY(const std::int64_t cpu, rows.number(1, "cpu_milli", 0, kCpuMilliMost));
    BLX_TRY(const std::int64_t memory, rows.number(2, "memory_mib", 0, kMemoryMibMost));
    BLX_TRY(const std::int64_t gpus, rows.number(3, "num_gpu", 0, limits::kNodeDevices));
    BLX_TRY(const std::int64_t milli,
            rows.number(4, "gpu_milli", gpus == 0 ? 0 : 1, resources::kWholeDevice));
    if (gpus > 1 && milli < resources::kWholeDevice)
      return rows.fault(
          fmt::format("{} GPUs of {} thousandths: a part is of one GPU", gpus, milli));
    sched::Request request;
    request.name = Name(rows.text(0));
    request.demand.amounts = {.cpu_milli = cpu, .memory_mib = memory};
    if (gpus != 0) {
      resources::DeviceNeed need{.kind = Name(kGpu),
                                 .count = static_cast<std::uint32_t>(gpus),
                                 .milli = static_cast<std::int32_t>(milli),
                                 .models = {}};
      std::string_view models = rows.text(5);
      while (!models.empty()) {
        const std::size_t end = models.find('|');
        if (end != 0) need.models.emplace_back(models.substr(0, end));
        models.remove_prefix(end == std::string_view::npos ? models.size() : end + 1);
      }
      std::ranges::sort(need.models);
      request.demand.devices.push_back(std::move(need));
    }
    requests.push_back(std::move(request));
  }
  if (requests.empty()) return rows.fault("no request");
  return requests;
}

}  // namespace blixard::app
