#include "app/template_commands.h"

#include <cstdio>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/argument_values.h"
#include "app/output.h"
#include "node/http/target.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

constexpr Duration kMakingPatience = 3min;
constexpr std::size_t kKeyShown = 16;

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::string line_of(const json::value& kept) {
  return fmt::format("template {} of image {}, {} vCPUs, {} MiB",
                     text_of(kept, "key").substr(0, kKeyShown), text_of(kept, "image"),
                     text_of(kept, "vcpus"), text_of(kept, "memory_mib"));
}

}  // namespace

std::string templates_table(const json::value& answer, WallTime now) {
  Table table({"KEY", "IMAGE", "VCPUS", "MEMORY", "ACCELERATOR", "CLONES", "AGE", "STATE"});
  for (const auto& kept : items_of(answer, "templates")) {
    table.add({text_of(kept, "key").substr(0, kKeyShown), text_of(kept, "image"),
               text_of(kept, "vcpus"), text_of(kept, "memory_mib") + "MiB",
               text_of(kept, "accelerator"), text_of(kept, "clones"),
               age_since(text_of(kept, "made"), now),
               text_of(kept, "checked") == "true" ? "ready" : "being checked"});
  }
  return table.text();
}

std::string start_text(const json::value& vm) {
  const json::object* object = vm.if_object();
  const json::value* start = object != nullptr ? object->if_contains("start") : nullptr;
  if (start == nullptr || !start->is_object()) return {};
  std::string text = fmt::format("{}, {} ms", text_of(*start, "kind"), text_of(*start, "took_ms"));
  if (const std::string why = text_of(*start, "why"); !why.empty()) text += " (" + why + ")";
  return text;
}

env::Task<Result<void>> list_templates(ApiClient& api, WallTime now, OutputFormat output) {
  BLX_CO_TRY(const json::value answer, co_await api.get("/v1/templates"));
  print(output == OutputFormat::kJson ? pretty(answer) : templates_table(answer, now));
  co_return Result<void>();
}

env::Task<Result<void>> create_template(ApiClient& api, TemplateCommand create,
                                        OutputFormat output) {
  BLX_CO_TRY(const std::uint32_t memory_mib, parse_memory_mib(create.memory));
  json::object body{{"image", create.image}, {"vcpus", create.vcpus}, {"memory_mib", memory_mib}};
  BLX_CO_TRY(const json::value made,
             co_await api.post("/v1/templates", std::move(body), kMakingPatience));
  print(output == OutputFormat::kJson ? pretty(made) : line_of(made) + ": made\n");
  co_return Result<void>();
}

env::Task<Result<void>> delete_template(ApiClient& api, TemplateCommand remove,
                                        OutputFormat output) {
  BLX_CO_TRY(const json::value gone,
             co_await api.remove("/v1/templates/" + http::percent_encoded(remove.key), {}));
  print(output == OutputFormat::kJson ? pretty(gone) : line_of(gone) + ": deleted\n");
  co_return Result<void>();
}

}  // namespace blixard::app
