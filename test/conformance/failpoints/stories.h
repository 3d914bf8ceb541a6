#pragma once

// One story for each failpoint: what is done to it, and what the product does then. A story plays
// on whole nodes in virtual time (test/conformance/node/cluster.h).

#include <string_view>
#include <vector>

#include "observe/failpoint.h"
#include "test/conformance/node/cluster.h"

namespace blixard {

struct Story {
  std::string_view site;
  std::size_t machines = 1;
  env::Task<void> (*play)(Cluster&) = nullptr;
};

std::vector<Story> storage_stories();
std::vector<Story> consensus_stories();
std::vector<Story> node_stories();
inline std::vector<Story> all_stories() {
  std::vector<Story> all = storage_stories();
  for (const auto& more : {consensus_stories(), node_stories()})
    all.insert(all.end(), more.begin(), more.end());
  return all;
}

// What stories are made of.
inline env::Task<rest::Reply> make_token(Cluster& c, Site& site) {
  co_return co_await c.call(site, http::Method::kPost, "/v1/tokens", R"({"role":"server"})",
                            c.env().random.uuid().text());
}
inline env::Task<rest::Reply> make_vm(Cluster& c, Site& site) {
  co_return co_await c.ask(site, http::Method::kPost, "/v1/vms?wait=running&timeout=60s",
                           R"({"name":"web","image":"tiny"})");
}
inline bool was_logged(Cluster& c, std::string_view part) {
  return std::ranges::any_of(c.world().log_lines(), [&](const std::string& line) {
    return line.find(part) != std::string::npos;
  });
}
inline env::Task<void> until_logged(Cluster& c, std::string_view part) {
  EXPECT_TRUE(co_await c.until([&] { return was_logged(c, part); }, 3min)) << part;
}
inline env::Task<void> until_fired(Cluster& c, const observe::ScopedFailpoint& site,
                                   std::uint64_t times = 1) {
  EXPECT_TRUE(co_await c.until([&] { return site.fired() >= times; }, 3min)) << site.fired();
}
// A command is decided on: whatever was wrong has passed.
inline env::Task<void> expect_at_work(Cluster& c, Site& site) {
  const rest::Reply reply =
      co_await c.ask(site, http::Method::kPost, "/v1/tokens", R"({"role":"server"})");
  EXPECT_EQ(reply.status, 201) << text_of(reply);
}
inline env::Task<std::int64_t> term_of(Cluster& c, Site& site) {
  const rest::Reply reply =
      co_await c.ask(site, http::Method::kGet, "/v1/status?consistency=stale");
  co_return reply.number("term");
}

}  // namespace blixard
