#include "app/plan_commands.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/state_file.h"
#include "app/whole_file.h"
#include "base/limits.h"
#include "blixard/v1/api.pb.h"
#include "node/api/json.h"
#include "node/api/plan.h"
#include "node/http/target.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

constexpr Duration kPatience = 60s;
constexpr std::size_t kRequestBytes = std::size_t{16} << 20;  // of a file of them
constexpr std::size_t kHeadBytes = 256;                       // before a saved state

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Millionths, as points with two digits.
std::string points(const json::value& object) {
  const json::value* found = object.as_object().if_contains("score_micro");
  const std::int64_t micro = found != nullptr && found->is_int64() ? found->get_int64() : 0;
  constexpr std::int64_t kHundredth = 10'000;
  const std::int64_t size = (std::abs(micro) + kHundredth / 2) / kHundredth;
  return fmt::format("{}{}.{:02}", micro < 0 && size != 0 ? "-" : "", size / 100, size % 100);
}

std::string candidate_text(const json::value& candidate) {
  std::string parts;
  for (const auto& part : items_of(candidate, "parts")) {
    const std::string score = points(part);
    if (!parts.empty()) parts += score.starts_with('-') ? " - " : " + ";
    const bool is_below = score.starts_with('-') && !parts.empty();
    parts += fmt::format("{} {}", text_of(part, "name"), is_below ? score.substr(1) : score);
  }
  if (parts.empty()) return text_of(candidate, "node");
  return fmt::format("{} with {} points: {}", text_of(candidate, "node"), points(candidate), parts);
}

Result<void> write_file(const std::string& path, std::string_view text) {
  const auto failed = [&] {
    return fail(Code::kUnavailable, "file_unwritable", path + ": " + std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"),
                                                             std::fclose);
  if (file == nullptr) return failed();
  if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()) return failed();
  if (std::fflush(file.get()) != 0) return failed();
  return {};
}

env::Task<Result<void>> save_state(ApiClient& api, std::string path) {
  std::string bytes;
  bool is_too_long = false;
  BLX_CO_TRY(co_await api.follow("/v1/cluster/state", [&](std::string_view piece) {
    is_too_long = bytes.size() + piece.size() > limits::kSnapshotBytes;
    if (!is_too_long) bytes += piece;
    return !is_too_long;
  }));
  if (is_too_long) co_return fail(Code::kDataLoss, "answer_invalid", "the state is too large");
  const std::string text = state_file_text(bytes);
  // What cannot be read is not to be found out later.
  BLX_CO_TRY(const cluster::State state, read_state_file(text));
  BLX_CO_TRY(write_file(path, text));
  print(fmt::format("{}: {} nodes and {} VMs at revision {}\n", path, state.nodes().size(),
                    state.vms().size(), state.revision()));
  co_return Result<void>();
}

// Without a daemon.
Result<json::value> plan_on_file(const std::string& path, const std::string& body, WallTime now) {
  BLX_TRY(const std::string text, whole_file(path, limits::kSnapshotBytes + kHeadBytes));
  auto state = read_state_file(text);
  if (!state) {
    return fail(state.error().code(), "state_file_invalid",
                fmt::format("{}: {}", path, state.error().detail()));
  }
  v1::PlanRequest request;
  BLX_TRY(api::from_json(body, request));
  api::PlanRun run(std::move(*state), request, now);
  while (run.step()) {
  }
  return json::parse(api::to_json(run.answer()));
}

env::Task<Result<json::value>> plan_on_cluster(ApiClient& api, std::string body) {
  boost::system::error_code error;
  json::value document = json::parse(body, error);
  if (error) {
    co_return fail(Code::kInvalidArgument, "file_invalid",
                   "the requests are not JSON: " + error.message());
  }
  co_return co_await api.post("/v1/plan", std::move(document), kPatience);
}

}  // namespace

std::string explanation_text(const json::value& answer) {
  std::string text = text_of(answer, "verdict") + "\n";
  const auto line = [&](std::string_view what, const std::string& said) {
    if (!said.empty()) text += fmt::format("{:<14} {}\n", what, said);
  };
  const std::string strategy = text_of(answer, "strategy");
  const std::string scored_by = text_of(answer, "scored_by");
  line("strategy",
       strategy == scored_by ? strategy : fmt::format("{}, scored by {}", strategy, scored_by));
  line("nodes", fmt::format("{}, of which {} would take it", text_of(answer, "nodes"),
                            text_of(answer, "nodes_that_fit")));
  if (text_of(answer, "ahead") != "0") line("before it", text_of(answer, "ahead") + " VMs wait");
  const std::string reason = text_of(answer, "reason");
  if (!text_of(answer, "verdict").ends_with(reason)) line("last plan", reason);
  line("must leave", joined(items_of(answer, "leaving")));
  for (const auto& gang : items_of(answer, "gangs")) {
    line("gang",
         fmt::format("group {}: {} at once, {} placed, {} waiting", text_of(gang, "group"),
                     text_of(gang, "wanted"), text_of(gang, "placed"), text_of(gang, "waiting")));
  }
  if (const auto* chosen = answer.as_object().if_contains("chosen"))
    line(text_of(answer, "node").empty() ? "would go to" : "is on", candidate_text(*chosen));
  for (const auto& alternative : items_of(answer, "alternatives"))
    line("else", candidate_text(alternative));
  for (const auto& cause : items_of(answer, "causes"))
    line("kept out", fmt::format("{} {}", text_of(cause, "nodes"), text_of(cause, "text")));
  for (const auto& miss : items_of(answer, "misses"))
    line("would help", text_of(miss, "text"));
  for (const auto& refused : items_of(answer, "refused"))
    line("node", fmt::format("{}: {}", text_of(refused, "node"), text_of(refused, "why")));
  if (text_of(answer, "refused_left_out") != "0")
    line("node", fmt::format("and {} more", text_of(answer, "refused_left_out")));
  return text;
}

std::string plan_text(const json::value& answer) {
  Table table({"NAME", "OUTCOME", "NODE", "DEVICES", "SCORE", "MAKES LEAVE", "REASON"});
  for (const auto& vm : items_of(answer, "vms")) {
    const bool is_placed = text_of(vm, "outcome") == "placed";
    const std::string code = text_of(vm, "code");
    table.add({text_of(vm, "name"), text_of(vm, "outcome"), text_of(vm, "node"),
               joined(items_of(vm, "devices")), is_placed ? points(vm) : "",
               joined(items_of(vm, "makes_leave")),
               code.empty() ? text_of(vm, "reason") : text_of(vm, "reason") + " (" + code + ")"});
  }
  return table.text() + fmt::format("{} placed, {} waiting, {} refused\n",
                                    text_of(answer, "placed"), text_of(answer, "waiting"),
                                    text_of(answer, "refused"));
}

env::Task<Result<void>> explain_vm(ApiClient& api, VmExplain explain, OutputFormat output) {
  BLX_CO_TRY(
      const json::value answer,
      co_await api.get(fmt::format("/v1/vms/{}/explain", http::percent_encoded(explain.name))));
  print(output == OutputFormat::kJson ? pretty(answer) : explanation_text(answer));
  co_return Result<void>();
}

env::Task<Result<void>> plan_vms(env::Env env, ApiClient& api, PlanCommand plan,
                                 OutputFormat output) {
  if (!plan.save_state_file.empty()) co_return co_await save_state(api, plan.save_state_file);
  BLX_CO_TRY(std::string body, whole_file(plan.file, kRequestBytes));
  json::value answer;
  if (plan.state_file.empty()) {
    BLX_CO_TRY(answer, co_await plan_on_cluster(api, std::move(body)));
  } else {
    BLX_CO_TRY(answer, plan_on_file(plan.state_file, body, env.clock.wall()));
  }
  print(output == OutputFormat::kJson ? pretty(answer) : plan_text(answer));
  const bool are_all_placed =
      text_of(answer, "waiting") == "0" && text_of(answer, "refused") == "0";
  if (!are_all_placed) co_return fail(Code::kFailedPrecondition, "some_failed");
  co_return Result<void>();
}

}  // namespace blixard::app
