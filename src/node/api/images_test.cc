// Images are imported, shown and deleted.

#include <cstddef>
#include <string>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <gtest/gtest.h>

#include "node/api/test_bench.h"

namespace blixard::api {
namespace {

namespace json = boost::json;
using env::Env;
using env::Task;
using http::Method;

// A zstd frame (RFC 8878, section 3.1.1) of one block that repeats the first byte of `content`.
std::string packed(const std::string& content) {
  std::string frame = "\x28\xB5\x2F\xFD\x60";
  const auto put = [&](std::size_t number, int bytes) {
    for (int i = 0; i < bytes; ++i)
      frame += static_cast<char>(number >> (8 * i) & 0xFF);
  };
  put(content.size() - 256, 2);
  put(content.size() << 3 | 1 << 1 | 1, 3);  // repeated, last
  return frame + content.front();
}

Task<void> put_image(Env env, std::string folder, std::string kernel) {
  EXPECT_TRUE(co_await env.disk.make_directory(folder));
  const std::string zst = packed(kernel);
  const json::value about = {
      {"format", 1},
      {"name", "mine"},
      {"architecture", "x86_64"},
      {"kernel_version", "6.1.0"},
      {"cmdline", ""},
      {"files",
       {{"initrd", {{"bytes", 6}}},
        {"vmlinux.zst", {{"bytes", zst.size()}, {"unpacked_bytes", kernel.size()}}}}}};
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/image.json", json::serialize(about)));
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/initrd", "initrd"));
  EXPECT_TRUE(co_await env.disk.replace_file(folder + "/vmlinux.zst", zst));
}

TEST(Api, ImportsShowsAndDeletesImages) {
  run([](Bench& bench) -> Task<void> {
    co_await put_image(bench.env, "/src/mine", std::string(5000, 'k'));
    const std::string body = R"({"path":"/src/mine"})";
    const Reply made = co_await bench.call(Method::kPost, "/v1/images", body);
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.header("Location"), "/v1/images/mine");
    EXPECT_EQ(made.document().at("files").at(1).at("bytes").as_int64(), 5000);
    // The same again is the same image.
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/images", body)).text("id"), made.text("id"));
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/images/mine")).text("kernel_version"),
              "6.1.0");
    const Reply list = co_await bench.call(Method::kGet, "/v1/images");
    EXPECT_EQ(list.document().at("images").as_array().size(), 2u);
    // Other content under a taken name leaves the first alone, and no files.
    co_await put_image(bench.env, "/src/other", std::string(4000, 'o'));
    const Reply other =
        co_await bench.call(Method::kPost, "/v1/images", R"({"path":"/src/other","name":"mine"})");
    EXPECT_EQ(other.text("code"), "image_exists");
    EXPECT_EQ((co_await bench.env.disk.list("/data/images"))->size(), 1u);
    const std::string vm = R"({"name":"web","image":"mine"})";
    EXPECT_EQ((co_await bench.call(Method::kPost, "/v1/vms", vm)).status, 201);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).text("code"),
              "image_in_use");
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/vms/web")).status, 200);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).status, 200);
    EXPECT_TRUE((co_await bench.env.disk.list("/data/images"))->empty());
    EXPECT_EQ((co_await bench.call(Method::kGet, "/v1/images/mine")).status, 404);
    EXPECT_EQ((co_await bench.call(Method::kDelete, "/v1/images/mine")).text("code"),
              "image_not_found");
    const Reply missing = co_await bench.call(Method::kPost, "/v1/images", R"({"path":"/no"})");
    EXPECT_EQ(missing.text("code"), "image_json_missing");
    const Reply relative = co_await bench.call(Method::kPost, "/v1/images", R"({"path":"no"})");
    EXPECT_EQ(relative.text("code"), "image_path_invalid");
  });
}

}  // namespace
}  // namespace blixard::api
