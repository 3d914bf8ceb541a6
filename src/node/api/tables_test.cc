// The tables agree with each other, with the sources and with the limits.

#include <cstdio>
#include <memory>
#include <set>
#include <string>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "blixard/v1/annotations.pb.h"
#include "blixard/v1/api.pb.h"
#include "linux/runtime.h"
#include "node/api/api.h"
#include "node/api/convert.h"
#include "node/api/json.h"
#include "node/api/openapi.h"
#include "node/api/problems.h"

namespace blixard::api {
namespace {

namespace json = boost::json;

// Quoted words behind `fail(Code::k..., "` and behind `[] = "` in the sources of a folder.
env::Task<void> collect(env::Env env, std::string folder, std::set<std::string>& reasons) {
  const std::string path = std::string(BLX_SOURCE_DIR) + "/src/" + folder;
  const auto entries = co_await env.disk.list(path);
  EXPECT_TRUE(entries.has_value()) << path;
  for (const auto& entry : *entries) {
    if (entry.is_directory || entry.name.contains("_test") || entry.name.ends_with(".md")) continue;
    const auto text = co_await env.disk.read_file(path + "/" + entry.name, 1 << 20);
    EXPECT_TRUE(text.has_value());
    for (const std::string_view mark :
         {"fail(Code::k", "Error(Code::k", "inline constexpr char k"}) {
      for (auto at = text->find(mark); at != std::string::npos; at = text->find(mark, at + 1)) {
        const auto begin = text->find('"', at);
        const auto end = text->find(';', at);
        if (begin == std::string::npos || begin > end) continue;
        if (text->substr(at, begin - at).contains("reason::")) continue;
        const auto word = text->substr(begin + 1, text->find('"', begin + 1) - begin - 1);

        if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") == std::string::npos) {
          reasons.insert(word);
        }
      }
    }
  }
}

TEST(Problems, EveryReasonSaysWhatToDo) {
  std::set<std::string> reasons;
  linux_side::Runtime runtime({});
  for (const char* folder : {"core/cluster", "node/api", "node/image", "node/replica"}) {
    runtime.run(collect(runtime.env(), folder, reasons));
  }
  EXPECT_GT(reasons.size(), 40u);
  EXPECT_TRUE(reasons.contains("vm_exists"));
  EXPECT_TRUE(reasons.contains("image_damaged"));
  // Only while a node starts; never an answer.
  for (const char* starting : {"log_not_empty", "snapshot_invalid"})
    reasons.erase(starting);
  // Only between nodes.
  for (const char* between : {"node_removed", "request_invalid", "request_kind_unknown",
                              "snapshot_in_progress", "snapshot_replaced", "snapshot_stale"}) {
    reasons.erase(between);
  }
  for (const std::string& reason : reasons) {
    EXPECT_NE(find_problem(reason), nullptr) << reason << " has no row in problems.cc";
  }
}

TEST(Problems, RowsAreWholeAndUnique) {
  std::set<std::string_view> seen;
  for (const ProblemRow& row : problem_rows()) {
    EXPECT_TRUE(seen.insert(row.reason).second) << row.reason;
    EXPECT_GE(row.status, 400) << row.reason;
    EXPECT_NE(http::status_text(row.status), "Unknown") << row.reason;
    EXPECT_FALSE(row.title.empty() || row.title.ends_with('.')) << row.reason;
    EXPECT_TRUE(row.action.ends_with('.')) << row.reason;
  }
  for (int code = 0; code <= static_cast<int>(Code::kDataLoss); ++code) {
    EXPECT_GE(status_of(static_cast<Code>(code)), 400);
    EXPECT_NE(problem_of(Error(static_cast<Code>(code), "no_row_has_this")).action, "");
  }
}

TEST(Json, MessagesComeBack) {
  v1::CreateVmRequest request;
  request.set_name("web");
  request.set_image("tiny");
  request.set_start(false);
  request.set_restart(v1::RESTART_POLICY_ON_FAILURE);
  request.add_publish()->set_guest_port(80);
  v1::CreateVmRequest back;
  const auto read = from_json(to_json(request), back);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(back.SerializeAsString(), request.SerializeAsString());
}

TEST(Json, NumbersStayNumbersAndEmptyMembersStay) {
  v1::Vm vm;
  vm.set_id((std::uint64_t{1} << 63) + 1);
  vm.set_state(v1::VM_STATE_RUNNING);
  const auto text = to_json(vm);
  EXPECT_THAT(text, testing::HasSubstr(R"("id":9223372036854775809,)"));
  EXPECT_THAT(text, testing::HasSubstr(R"("state":"running")"));
  EXPECT_THAT(text, testing::HasSubstr(R"("reason":"")"));
  EXPECT_THAT(text, testing::HasSubstr(R"("published_ports":[])"));
}

TEST(Convert, TimesAreRfc3339) {
  EXPECT_EQ(time_text({1769846700250}), "2026-01-31T08:05:00.250Z");
  EXPECT_EQ(time_text({}), "");
}

const v1::FieldRules& rules(const char* field) {
  return v1::CreateVmRequest::descriptor()->FindFieldByName(field)->options().GetExtension(
      v1::rules);
}

TEST(Schema, BoundsAreThoseOfTheModel) {
  EXPECT_EQ(rules("name").length_max(), limits::kNameLength);
  EXPECT_EQ(rules("vcpus").maximum(), limits::kVcpus);
  EXPECT_EQ(rules("memory_mib").minimum(), limits::kMemoryMibMin);
  EXPECT_EQ(rules("memory_mib").maximum(), limits::kMemoryMibMax);
  EXPECT_EQ(rules("publish").items_max(), limits::kPublishedPorts);
  EXPECT_EQ(rules("stop_grace_seconds").maximum(), limits::kStopGraceSecondsMax);
  EXPECT_EQ(v1::PlanRequest::descriptor()
                ->FindFieldByName("vms")
                ->options()
                .GetExtension(v1::rules)
                .items_max(),
            limits::kPlannedVms);
  const cluster::VmSpec spec;
  EXPECT_EQ(rules("vcpus").default_value(), std::to_string(spec.vcpus));
  EXPECT_EQ(rules("memory_mib").default_value(), std::to_string(spec.memory_mib));
  EXPECT_EQ(rules("stop_grace_seconds").default_value(), std::to_string(spec.stop_grace_seconds));
}

// Every reference leads somewhere, and every member has one of the types of the codec.
void check_node(const json::value& node, const json::object& schemas) {
  if (const auto* object = node.if_object()) {
    for (const auto& [key, value] : *object) {
      if (key == "$ref") {
        constexpr std::string_view kPrefix = "#/components/schemas/";
        const std::string_view target(value.get_string());
        ASSERT_TRUE(target.starts_with(kPrefix));
        EXPECT_TRUE(schemas.contains(target.substr(kPrefix.size()))) << target;
      }
      check_node(value, schemas);
    }
  } else if (const auto* array = node.if_array()) {
    for (const auto& value : *array)
      check_node(value, schemas);
  }
}

TEST(OpenApi, DocumentIsMadeOfTheTable) {
  const json::value document = json::parse(openapi_document(Api::routes(), "1.2.3"));
  EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
  const auto& paths = document.at("paths").as_object();
  const auto& schemas = document.at("components").at("schemas").as_object();
  std::set<std::string> names;
  for (const Route& route : Api::routes()) {
    ASSERT_TRUE(paths.contains(route.pattern)) << route.pattern;
    std::string method(http::method_name(route.method));
    for (char& c : method)
      c = static_cast<char>(c - 'A' + 'a');
    const auto& operation = paths.at(route.pattern).at(method).as_object();
    EXPECT_TRUE(names.insert(std::string(operation.at("operationId").as_string())).second);
    EXPECT_TRUE(operation.at("responses").as_object().contains(std::to_string(route.status)));
    EXPECT_NE(route.handler, nullptr);
  }
  check_node(document, schemas);
  const auto& create = schemas.at("CreateVmRequest");
  EXPECT_EQ(create.at("description").as_string(), "A VM to create.");
  const auto& vcpus = create.at("properties").at("vcpus");
  EXPECT_EQ(vcpus.at("maximum").as_int64(), 64);
  EXPECT_EQ(vcpus.at("default").as_int64(), 1);
  EXPECT_EQ(vcpus.at("description").as_string(), "Virtual CPUs.");
  EXPECT_EQ(json::serialize(create.at("properties").at("restart").at("enum")),
            R"(["never","on-failure","always"])");
  EXPECT_EQ(json::serialize(create.at("required")), R"(["name","image"])");
  EXPECT_THAT(
      std::string(
          schemas.at("Vm").at("properties").at("state").at("enum").as_array().at(3).as_string()),
      "running");
  EXPECT_TRUE(
      document.at("paths").at("/v1/vms").at("post").at("responses").as_object().contains("504"));
}

TEST(OpenApi, EveryErrorOfARouteHasARow) {
  for (const Route& route : Api::routes()) {
    std::string all(route.errors);
    for (std::size_t begin = 0; begin < all.size();) {
      const auto end = std::min(all.find(' ', begin), all.size());
      EXPECT_NE(find_problem(all.substr(begin, end - begin)), nullptr)
          << all.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace blixard::api
