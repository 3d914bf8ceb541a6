#include "vopr/clients.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "node/http/event_stream.h"
#include "vopr/bodies.h"

namespace blixard::vopr {
namespace {

using http::Method;

constexpr Duration kPatience = 20s;  // of one attempt
constexpr Duration kPause = 100ms;   // between two
constexpr Duration kVanishesAfter = 3ms;
constexpr std::uint32_t kReadTries = 3;

// " 17": 17.
double value_of(std::string_view text) {
  double value = 0;
  std::from_chars(text.data() + std::min<std::size_t>(text.size(), 1), text.data() + text.size(),
                  value);
  return value;
}

// What of it a judge of the history has to know.
std::string argument_of_create(const Step& step, const std::string& body) {
  std::string argument;
  if (body.contains(R"("start":false)")) argument = R"("start":false)";
  if (stops_when_evicted(step)) {
    argument += argument.empty() ? "" : ",";
    argument += R"("on_evict":"stop")";
  }
  return argument.empty() ? "" : "{" + argument + "}";
}

// Half of the clients that save VMs wait until it is done, so that there is something to save; the
// others are in each other's way.
std::string_view wait_after(Action action) {
  switch (action) {
    case Action::kPause:
      return "?wait=paused&timeout=2s";
    case Action::kResume:
    case Action::kRestore:
      return "?wait=running&timeout=2s";
    case Action::kSuspend:
      return "?wait=suspended&timeout=2s";
    case Action::kSnapshot:
      return "?wait=snapshot&timeout=2s";
    default:
      return {};
  }
}

class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(count) { ++count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --count_; }

 private:
  std::size_t& count_;
};

}  // namespace

Clients::Clients(Cluster& cluster)
    : cluster_(cluster),
      history_(static_cast<std::size_t>(std::ranges::count_if(
          cluster.plan().steps, [](const Step& step) { return step.client != 0; }))),
      noise_(cluster.env().executor, nullptr) {}

std::string Clients::vm_name(std::uint32_t number) {
  return std::string(1, static_cast<char>('a' + (number - 1) % 26));
}

env::Task<void> Clients::run(std::uint32_t number, Instant trouble_begins) {
  for (const Step& step : cluster_.plan().steps) {
    if (step.client != number || facts_of(step.action).group != Group::kClient) continue;
    const Instant due = trouble_begins + step.at;
    const Instant now = cluster_.now();
    if (now < due && !co_await cluster_.pause(due - now)) break;
    if (finishing_) break;
    co_await carry_out(step);
  }
}

env::Task<void> Clients::stop() {
  noise_.cancel();
  co_await noise_.join();
}

env::Task<void> Clients::carry_out(const Step& step) {
  const Counted waiting(waiting_);
  cluster_.recorder().note_step(0, Event::kStep, step.action,
                                fmt::format("client {}", step.client));
  if (step.action == Action::kFollow) co_return co_await follow(step);
  if (step.action == Action::kScrape) co_return co_await scrape(step);
  co_await ask(request_of(step));
}

Clients::Request Clients::request_of(const Step& step) {
  const std::string vm = vm_name(std::max(step.vm, 1u));
  const std::string path = "/v1/vms/" + vm;
  Request request{.step = &step, .vm = vm};
  const auto change = [&](Method method, std::string target, std::string function) {
    request.method = method;
    request.target = std::move(target);
    request.function = std::move(function);
    request.key = cluster_.env().random.uuid().text();
  };
  switch (step.action) {
    case Action::kCreate:
    case Action::kCreateWithWishes:
      change(Method::kPost, "/v1/vms", "create");
      request.body = body_of_create(vm, step);
      request.argument = argument_of_create(step, request.body);
      if (step.amount % 7 == 0) request.target += "?wait=running&timeout=5s";
      break;
    case Action::kStart:
    case Action::kStop:
    case Action::kPause:
    case Action::kResume:
    case Action::kSuspend:
    case Action::kSnapshot:
    case Action::kRestore: {
      const std::string word(facts_of(step.action).name);
      change(Method::kPost, path + "/" + word, word);
      if (step.client % 2 == 1) request.target += wait_after(step.action);
      break;
    }
    case Action::kDeleteSnapshot:
      change(Method::kDelete, path + "/snapshot", "delete-snapshot");
      break;
    case Action::kDelete:
      change(Method::kDelete, path, "delete");
      break;
    case Action::kGet:
      request.target = path;
      request.function = "get";
      break;
    case Action::kList:
      request.target = "/v1/vms";
      request.function = "list";
      request.vm.clear();
      break;
    case Action::kStaleGet:
      request.target = path + "?consistency=stale";
      break;
    case Action::kStaleList:
      request.target = "/v1/vms?consistency=stale";
      break;
    case Action::kDigest:
      request.target = "/v1/cluster/digest";
      break;
    default:
      change(Method::kPost, "/v1/images", "");
      request.body = R"({"path":"/src"})";
  }
  return request;
}

env::Task<rest::Reply> Clients::call(Site& site, Method method, std::string target,
                                     std::string body, std::string key, Duration patience) {
  if (!site.machine->running()) co_return rest::Reply{};
  auto reply = co_await rest::send(cluster_.env(), site.api(),
                                   {.method = method,
                                    .target = std::move(target),
                                    .body = std::move(body),
                                    .token = site.api_token(),
                                    .key = std::move(key)},
                                   patience);
  if (reply) co_return *std::move(reply);
  co_return rest::Reply{};
}

bool Clients::may_be_gone_since(const Request& request, const rest::Reply& reply) {
  const bool is_answered_late = request.target.contains("?wait=") ||
                                request.function == "snapshot" || request.function == "restore" ||
                                request.function == "delete-snapshot";
  return reply.text("code") == "vm_not_found" && is_answered_late;
}

Clients::Meaning Clients::meaning_of(const Request& request, const rest::Reply& reply) {
  if (reply.status >= 200 && reply.status < 300) return Meaning::kDone;
  const std::string code = reply.text("code");
  // The command was carried out, what was waited for was not seen; or its VM is gone already.
  if (code == "wait_timeout" || code == "wait_impossible" || code == "vm_failed" ||
      code == "snapshot_failed") {
    return Meaning::kDone;
  }
  if (request.function == "create" && code == "vm_not_found") return Meaning::kDone;
  if (may_be_gone_since(request, reply)) return Meaning::kUncertain;
  if (code == "vm_exists" || code == "vm_not_found" || code == "vm_being_deleted") {
    return Meaning::kTold;
  }
  if (code == "rate_exceeded") return Meaning::kRefused;  // by apply, however often it is asked
  // Whoever left the cluster does not know what became of it; without a token nobody is heard.
  if (reply.status == 0 || reply.status == 401 || reply.status >= 500 || reply.status == 429 ||
      code == "removed") {
    return Meaning::kUncertain;
  }
  return Meaning::kRefused;
}

env::Task<Clients::Answer> Clients::ask_patiently(const Request& request) {
  const bool is_read = request.key.empty();
  Answer answer;
  std::uint32_t node = request.step->node;
  for (std::uint32_t tries = 0; !is_read || tries < kReadTries; ++tries) {
    Site* site = cluster_.resolve(node);
    if (site == nullptr || !site->belongs) site = cluster_.serving(node);
    if (site != nullptr) {
      answer.reply = co_await call(*site, request.method, request.target, request.body, request.key,
                                   kPatience);
      answer.meaning = meaning_of(request, answer.reply);
      answer.site = site;
      if (answer.meaning != Meaning::kUncertain) co_return answer;
      answer.was_uncertain = true;
      if (may_be_gone_since(request, answer.reply)) {
        answer.meaning = Meaning::kRefused;
        co_return answer;
      }
    }
    if (cluster_.recorder().failed() || !co_await cluster_.pause(kPause)) co_return answer;
    node = node % static_cast<std::uint32_t>(cluster_.sites().size()) + 1;
  }
  co_return answer;
}

// The same once more, whatever comes of it.
env::Task<void> Clients::ask_again(Request request, std::uint32_t node) {
  Site* site = cluster_.serving(node);
  if (site == nullptr) co_return;
  const rest::Reply reply =
      co_await call(*site, request.method, request.target, request.body, request.key, kPatience);
  if (meaning_of(request, reply) == Meaning::kDone && !request.function.empty()) {
    cluster_.judge().on_acknowledged(*Uuid::parse(request.key));
  }
}

env::Task<void> Clients::ask(Request request) {
  const Step& step = *request.step;
  const bool is_recorded = !request.function.empty();
  cluster_.recorder().note(
      0, Event::kAsked,
      fmt::format("client {}: {} {}", step.client, facts_of(step.action).name, request.vm));
  if (is_recorded) {
    history_.invoke(step.client, request.function, request.vm, request.argument);
  }
  const LogIndex floor = cluster_.judge().read_floor();
  Answer answer;
  if (step.manner == Manner::kVanishes) {
    if (Site* site = cluster_.serving(std::max(step.node, 1u))) {
      answer.reply = co_await call(*site, request.method, request.target, request.body, request.key,
                                   kVanishesAfter);
      answer.meaning = meaning_of(request, answer.reply);
    }
  } else {
    if (step.manner == Manner::kNoisy && !request.key.empty()) {
      for (const std::uint32_t node : {step.node + 1, step.node + 2, step.node + 1})
        noise_.spawn(ask_again(request, node));
    }
    answer = co_await ask_patiently(request);
    answer.was_uncertain |= step.manner == Manner::kNoisy;
  }
  conclude(request, answer, floor);
}

void Clients::conclude(const Request& request, const Answer& answer, LogIndex read_floor) {
  const Step& step = *request.step;
  const bool is_recorded = !request.function.empty();
  const bool is_read = request.key.empty();
  Event event = Event::kAnswered;
  switch (answer.meaning) {
    case Meaning::kDone: {
      std::string value;
      if (step.action == Action::kList) {
        const auto* vms = answer.reply.body.if_contains("vms");
        if (vms != nullptr && vms->is_array()) {
          for (const auto& vm : vms->as_array())
            value += (value.empty() ? "[" : ",") + seen_vm(vm.as_object());
        }
        value += value.empty() ? "[]" : "]";
      } else if (step.action == Action::kGet) {
        value = seen_vm(answer.reply.body);
      } else if (const auto* id = answer.reply.body.if_contains("id"); id != nullptr && !is_read) {
        value = fmt::format(R"({{"id":{}}})", boost::json::serialize(*id));
      }
      if (is_recorded) history_.ok(step.client, request.function, request.vm, value);
      if (is_recorded && !is_read) cluster_.judge().on_acknowledged(*Uuid::parse(request.key));
      if (step.action == Action::kDigest) {
        const auto index = static_cast<std::uint64_t>(answer.reply.number("log_applied"));
        const NodeId node = answer.site == nullptr ? NodeId() : answer.site->id;
        cluster_.judge().on_read(node, read_floor, LogIndex(index));
        cluster_.judge().on_digest(node, LogIndex(index), answer.reply.text("hash"));
      }
      break;
    }
    case Meaning::kTold:
      event = Event::kRefused;
      if (is_recorded) {
        history_.refused(step.client, request.function, request.vm, answer.reply.text("code"));
      }
      break;
    case Meaning::kRefused:
      event = answer.was_uncertain ? Event::kUncertain : Event::kRefused;
      if (is_recorded && answer.was_uncertain) {
        history_.info(step.client, request.function, request.vm);
      } else if (is_recorded) {
        history_.fail(step.client, request.function, request.vm);
      }
      break;
    case Meaning::kUncertain:
      event = Event::kUncertain;
      ++cluster_.recorder().report().counts.uncertain;
      if (!is_recorded) break;
      if (is_read) {
        history_.fail(step.client, request.function, request.vm);
      } else {
        history_.info(step.client, request.function, request.vm);
      }
  }
  ++cluster_.recorder().report().counts.operations;
  cluster_.recorder().note(
      0, event,
      fmt::format("client {}: {} {} -> {} {}", step.client, facts_of(step.action).name, request.vm,
                  answer.reply.status, answer.reply.text("code")));
}

// Events come in order of their revisions, each once.
env::Task<void> Clients::follow(const Step& step) {
  Site* site = cluster_.serving(std::max(step.node, 1u));
  if (site == nullptr) co_return;
  const Instant end = cluster_.now() + step.length;
  std::uint64_t last = 0;
  http::EventParser parser;
  http::Client client(cluster_.env(), site->api());
  http::ClientRequest request{.target = "/v1/events"};
  request.headers.push_back({"Authorization", "Bearer " + site->api_token()});
  auto streaming = client.stream(std::move(request), step.length + 1s, [&](std::string_view piece) {
    parser.put(piece);
    while (true) {
      const auto event = parser.next();
      if (!event || !*event) break;
      std::uint64_t revision = 0;
      const std::string& id = (*event)->id;
      std::from_chars(id.data(), id.data() + id.size(), revision);
      const bool is_reset = (*event)->type == "reset";
      if (!is_reset && revision != 0 && revision <= last) {
        cluster_.recorder().fail("events",
                                 fmt::format("event {} comes after event {}", revision, last));
      }
      last = std::max(last, revision);
    }
    return cluster_.now() < end;
  });
  const env::Env env = cluster_.env();
  ignore(co_await env::with_deadline(env.executor, env.clock, end, std::move(streaming)),
         "a stream may end at any time");
}

env::Task<void> Clients::scrape(const Step& step) {
  Site* site = cluster_.serving(std::max(step.node, 1u));
  if (site == nullptr) co_return;
  const std::uint64_t life = site->lives;
  const Instant begun = cluster_.now();
  http::Client client(cluster_.env(), site->api());
  http::ClientRequest request{.target = "/metrics"};
  request.headers.push_back({"Authorization", "Bearer " + site->api_token()});
  const auto answer = co_await client.send(std::move(request), cluster_.now() + kPatience);
  if (!answer || answer->status != 200 || site->lives != life) co_return;
  Counters& counters = counters_[site->number];
  if (counters.life != life) counters = {.life = life};
  if (begun < counters.read) co_return;  // what it shows may be older than what was seen
  counters.read = cluster_.now();
  check_counters(*site, answer->body);
}

// What is called _total never falls while the daemon lives.
void Clients::check_counters(Site& site, std::string_view text) {
  auto& values = counters_[site.number].values;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::string_view name = line.substr(0, line.rfind(' '));
    if (name.starts_with('#') || !name.substr(0, name.find('{')).ends_with("_total")) continue;
    const double value = value_of(line.substr(name.size()));
    auto before = values.find(name);
    if (before == values.end()) before = values.try_emplace(std::string(name), 0).first;
    if (value < before->second) {
      cluster_.recorder().fail("counters", fmt::format("{} of {} falls from {} to {}", name,
                                                       site.name, before->second, value));
    }
    before->second = value;
  }
}

}  // namespace blixard::vopr
