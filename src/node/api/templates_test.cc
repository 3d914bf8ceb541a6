// Saved guests are listed, made and deleted; of a node that keeps none.

#include <gtest/gtest.h>

#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

using env::Task;
using http::Method;

TEST(Api, ANodeWithoutTemplatesSaysSo) {
  run([](Bench& bench) -> Task<void> {
    const std::string all = "/v1/templates";
    const Reply listed = co_await bench.call(Method::kGet, all);
    EXPECT_EQ(listed.status, 200);
    EXPECT_EQ(listed.text("templates"), "[]");
    const Reply made = co_await bench.call(Method::kPost, all, R"({"image":"tiny"})");
    EXPECT_EQ(made.status, 409);
    EXPECT_EQ(made.text("code"), "templates_unsupported");
    const Reply gone = co_await bench.call(Method::kDelete, all + "/0123abcd");
    EXPECT_EQ(gone.status, 404);
    EXPECT_EQ(gone.text("code"), "template_not_found");
    for (const char* body : {"", "{}", R"({"image":"tiny","vcpus":65})",
                             R"({"image":"tiny","memory_mib":79})", R"({"image":"tiny","of":1})"}) {
      const Reply refused = co_await bench.call(Method::kPost, all, body);
      EXPECT_EQ(refused.status, 400) << body << ": " << refused.body;
    }
  });
}

}  // namespace
}  // namespace blixard::api
