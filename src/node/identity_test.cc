#include "node/identity.h"

#include <gtest/gtest.h>

#include "sim/world.h"

namespace blixard::node {
namespace {

using env::Task;

constexpr const char* kDirectory = "/data";
constexpr const char* kFile = "/data/node.json";

Identity some_identity() {
  Identity identity{.cluster = {},
                    .id = NodeId(2),
                    .name = "web-1",
                    .role = cluster::NodeRole::kServer,
                    .members = {{NodeId(1), env::Endpoint::tcp("10.0.0.1", 7481)}}};
  identity.cluster.bytes.fill(0xab);
  return identity;
}

class IdentityTest : public testing::Test {
 protected:
  // Runs what needs an Env and gives its result.
  template <class T, class Work>
  Result<T> result_of(Work work) {
    Result<T> result = fail(Code::kInternal, "did_not_run");
    EXPECT_TRUE(world_.run(keep<T>(machine_.env(), std::move(work), result)));
    return result;
  }
  Result<std::optional<Identity>> load(std::optional<std::string> content = std::nullopt) {
    return result_of<std::optional<Identity>>(
        [content](env::Env env) { return load_after(env, content); });
  }
  static Task<Result<std::optional<Identity>>> load_after(env::Env env,
                                                          std::optional<std::string> content) {
    if (content) EXPECT_TRUE(co_await env.disk.replace_file(kFile, *content));
    co_return co_await load_identity(env, kDirectory);
  }

  sim::World world_{1};
  sim::Machine& machine_ = world_.add_machine("Host-7.example.org");

 private:
  template <class T, class Work>
  static Task<void> keep(env::Env env, Work work, Result<T>& result) {
    EXPECT_TRUE(co_await env.disk.make_directory(kDirectory));
    EXPECT_TRUE(co_await env.disk.sync_directory("/"));
    result = co_await work(env);
  }
};

Task<Result<std::optional<Identity>>> store_and_load(env::Env env) {
  BLX_CO_TRY(co_await store_identity(env, kDirectory, some_identity()));
  co_return co_await load_identity(env, kDirectory);
}

TEST_F(IdentityTest, IsKept) {
  EXPECT_EQ(*load(), std::nullopt);
  const auto kept = result_of<std::optional<Identity>>(store_and_load);
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(*kept, some_identity());
  EXPECT_EQ(machine_.content(kFile),
            R"({"format":2,"cluster":"abababab-abab-abab-abab-abababababab","node_id":2,)"
            R"("name":"web-1","role":"server","members":[{"id":1,"address":"10.0.0.1:7481"}]})"
            "\n");
}

TEST_F(IdentityTest, DamagedOlderOrNewerFileIsRefused) {
  const std::string good =
      R"({"format":2,"cluster":"abababab-abab-abab-abab-abababababab","node_id":2,)"
      R"("name":"web-1","role":"server","members":[]})";
  ASSERT_TRUE(load(good));
  EXPECT_FALSE(
      load(R"({"format":2,"cluster":"abababab-abab-abab-abab-abababababab","node_id":2,)"
           R"("name":"web-1","role":"server","members":[{"id":2,"address":"10.0.0.1:7481"}]})"));
  const auto without = [&](std::string_view part, std::string_view instead) {
    std::string text = good;
    return text.replace(text.find(part), part.size(), instead);
  };
  for (const std::string& content :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
        without("\"format\":2", "\"format\":\"2\""), without("\"format\":2", "\"format\":0"),
        without("\"node_id\":2", "\"node_id\":0"), without("\"node_id\":2", "\"node_id\":-3"),
        without("abababab-abab", "ababab-abab"), without("web-1", "A B"), without("server", "both"),
        without("[]", "{}"), without("[]", "[1]"),
        without("[]", R"([{"id":0,"address":"10.0.0.1:1"}])"),
        without("[]", R"([{"id":1,"address":"nowhere"}])")}) {
    const auto identity = load(content);
    ASSERT_FALSE(identity) << content;
    EXPECT_EQ(identity.error().reason(), "identity_damaged") << content;
  }
  EXPECT_EQ(load(without("\"format\":2", "\"format\":3")).error().reason(), "data_too_new");
  const auto old = load(R"({"format":1,"node_id":1,"name":"a"})");
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().reason(), "data_too_old");
}

Task<Result<std::string>> token(env::Env env) { return load_api_token(env, "/data/api.token"); }

TEST_F(IdentityTest, TokenIsTheOwnersAlone) {
  const auto first = result_of<std::string>(token);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->size(), 64u);
  EXPECT_EQ(machine_.mode("/data/api.token"), 0600u);
  const auto second = result_of<std::string>(token);
  ASSERT_TRUE(second);
  EXPECT_EQ(*first, *second);
}

// A node's keys, old and renewed.
struct Pairs {
  env::Authority authority;
  env::Credentials old;
  env::Credentials renewed;
};

Pairs make_pairs(env::Env env) {
  const Identity identity = some_identity();
  Pairs pairs{.authority =
                  *env.security.make_authority(identity.cluster.text(), env.clock.wall(), 24h)};
  for (env::Credentials* pair : {&pairs.old, &pairs.renewed}) {
    const auto request = env.security.make_request();
    pair->key = request->key;
    pair->certificate = *env.security.issue(
        pairs.authority, request->request,
        {.cluster = identity.cluster.text(), .node = identity.id}, env.clock.wall(), 24h);
    pair->authority = pairs.authority.certificate;
  }
  return pairs;
}

Task<Result<Keys>> store_and_load_keys(env::Env env, Pairs pairs) {
  BLX_CO_TRY(co_await store_keys(env, kDirectory,
                                 {.credentials = pairs.old, .authority = pairs.authority}));
  co_return co_await load_keys(env, kDirectory, some_identity());
}

Task<void> renew(env::Env env, env::Credentials renewed) {
  ignore(co_await store_renewed(env, kDirectory, renewed), "a crash ends it");
}

Task<void> sleep(env::Clock& clock, Duration duration) {
  ignore(co_await clock.sleep(duration), "not cancelled");
}

TEST_F(IdentityTest, KeysOfAnotherNodeAreRefused) {
  const Pairs pairs = make_pairs(machine_.env());
  const auto kept = result_of<Keys>([&](env::Env env) { return store_and_load_keys(env, pairs); });
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(kept->credentials.key, pairs.old.key);
  EXPECT_EQ(kept->authority->key, pairs.authority.key);
  Identity other = some_identity();
  other.id = NodeId(3);
  const auto wrong =
      result_of<Keys>([&](env::Env env) { return load_keys(env, kDirectory, other); });
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason(), "keys_damaged");
}

// Whenever the power goes, key and certificate belong together afterwards.
TEST_F(IdentityTest, ARenewalIsWholeOrHasNotBeen) {
  const Pairs pairs = make_pairs(machine_.env());
  sim::Machine& watch = world_.add_machine("watch");
  int old = 0;
  int renewed = 0;
  for (Duration at = 100us; at < 30ms; at += 300us) {
    ASSERT_TRUE(result_of<Keys>([&](env::Env env) { return store_and_load_keys(env, pairs); }));
    machine_.start(renew(machine_.env(), pairs.renewed));
    ASSERT_TRUE(world_.run(sleep(watch.env().clock, at)));
    machine_.lose_power();
    machine_.restart();
    const auto kept =
        result_of<Keys>([&](env::Env env) { return load_keys(env, kDirectory, some_identity()); });
    ASSERT_TRUE(kept) << kept.error().message();
    const bool is_old = kept->credentials.key == pairs.old.key;
    EXPECT_EQ(kept->credentials.certificate,
              is_old ? pairs.old.certificate : pairs.renewed.certificate);
    ++(is_old ? old : renewed);
  }
  EXPECT_GT(old, 3);
  EXPECT_GT(renewed, 3);
}

}  // namespace
}  // namespace blixard::node
