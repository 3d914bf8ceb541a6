#include "node/identity.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace blixard::node {
namespace {

constexpr const char* kDirectory = "/data";
constexpr const char* kFile = "/data/node.json";

class IdentityTest : public testing::Test {
 protected:
  // What load_identity() says; the file's content first, where there is one.
  Result<Identity> load(std::string name, std::optional<std::string> content = std::nullopt) {
    Result<Identity> identity = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(load_into(std::move(name), std::move(content), identity)));
    return identity;
  }
  Result<std::string> token() {
    Result<std::string> token = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(token_into(token)));
    return token;
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("Host-7.example.org");

 private:
  env::Task<void> load_into(std::string name, std::optional<std::string> content,
                            Result<Identity>& identity) {
    const env::Env env = machine_.env();
    EXPECT_TRUE(co_await env.disk.make_directory(kDirectory));
    if (content) EXPECT_TRUE(co_await env.disk.replace_file(kFile, *content));
    identity = co_await load_identity(env, kDirectory, std::move(name));
  }
  env::Task<void> token_into(Result<std::string>& token) {
    const env::Env env = machine_.env();
    EXPECT_TRUE(co_await env.disk.make_directory(kDirectory));
    token = co_await load_api_token(env, "/data/api.token");
  }
};

TEST_F(IdentityTest, IsMadeOnceAndKept) {
  const auto first = load("web-1");
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->id, NodeId(1));
  EXPECT_EQ(first->name, "web-1");
  const auto second = load("other");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->name, "web-1");
  EXPECT_EQ(machine_.content(kFile), R"({"format":1,"node_id":1,"name":"web-1"})"
                                     "\n");
}

TEST_F(IdentityTest, NameComesFromTheHost) {
  const auto identity = load("");
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->name, "host-7");
}

TEST_F(IdentityTest, BadNameIsRefusedAndNothingIsWritten) {
  const auto identity = load("Web 1");
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().reason(), "name_invalid");
  EXPECT_FALSE(machine_.content(kFile));
}

TEST_F(IdentityTest, DamagedOrNewerFileIsRefused) {
  for (const char* content :
       {"", "{", "[]", "{}", R"({"format":"1","node_id":1,"name":"a"})",
        R"({"format":1,"node_id":0,"name":"a"})", R"({"format":1,"node_id":-3,"name":"a"})",
        R"({"format":1,"node_id":1})", R"({"format":0,"node_id":1,"name":"a"})"}) {
    const auto identity = load("a", content);
    ASSERT_FALSE(identity) << content;
    EXPECT_EQ(identity.error().reason(), "identity_damaged") << content;
  }
  const auto newer = load("a", R"({"format":2,"node_id":1,"name":"a"})");
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().reason(), "data_too_new");
  EXPECT_FALSE(load("a", R"({"format":1,"node_id":1,"name":"A B"})"));
}

TEST_F(IdentityTest, TokenIsTheOwnersAlone) {
  const auto first = token();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 64u);
  EXPECT_EQ(machine_.mode("/data/api.token"), 0600u);
  const auto second = token();
  ASSERT_TRUE(second);
  EXPECT_EQ(*first, *second);
}

}  // namespace
}  // namespace blixard::node
