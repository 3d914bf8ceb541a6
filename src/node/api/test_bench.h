#pragma once

// What tests of routes run on: the handlers, a real one-voter replica and a real image store on a
// simulated machine. The test plays the part of the leader's loop and of the agent.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

#include "blixard/v1/cluster.pb.h"
#include "node/api/api.h"
#include "node/replica/test_alone.h"
#include "sim/world.h"

namespace blixard::api {

inline constexpr const char* kToken = "secret-token";

struct Reply {
  int status = 0;
  std::string body;
  http::Headers headers;

  [[nodiscard]] boost::json::value document() const {
    boost::system::error_code error;
    return boost::json::parse(body, error);
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const auto value = document();
    const auto* object = value.if_object();
    const auto* member = object == nullptr ? nullptr : object->if_contains(key);
    if (member == nullptr) return "<none>";
    return member->is_string() ? std::string(member->get_string())
                               : boost::json::serialize(*member);
  }
  [[nodiscard]] std::string header(std::string_view name) const {
    const std::string* value = http::find_header(headers, name);
    return value == nullptr ? "<none>" : *value;
  }
};

struct Bench {
  env::Env env;
  replica::NoPeers peers;
  std::unique_ptr<replica::Replica> replica;
  std::unique_ptr<image::Store> images;
  observe::Metrics metrics;
  std::unique_ptr<Api> api;
  std::string console = "boot\nready\n";

  explicit Bench(env::Env e) : env(e) {}

  env::Task<Result<void>> open() {
    BLX_CO_TRY(replica, co_await replica::open_alone(env, "/data/log", NodeId(1), {}, peers));
    BLX_CO_TRY(images, co_await image::Store::open(env, "/data/images"));
    api = std::make_unique<Api>(
        env, *replica, *images, metrics,
        Options{.token = kToken, .version = "1.2.3", .self = NodeId(1), .own_uid = 1000},
        [this](VmId, std::size_t size) { return logs(size); });
    v1::Command command;
    auto* node = command.mutable_register_node();
    node->set_node_id(1);
    node->set_name("n1");
    node->mutable_capacity()->set_vcpus(8);
    node->mutable_capacity()->set_memory_mib(4096);
    node->set_accelerator("tcg");
    node->set_version("1.2.3");
    node->set_model_version(cluster::kModelVersion);
    BLX_CO_TRY(co_await replica->propose(std::move(command)));
    v1::Command add;
    auto* image = add.mutable_add_image();
    image->set_name("tiny");
    image->set_architecture("x86_64");
    image->set_kernel_version("6.1");
    for (const char* name : {"initrd", "vmlinux"}) {
      auto* file = image->add_files();
      file->set_name(name);
      file->set_bytes(10);
      file->set_digest(std::string(32, 'd'));
    }
    BLX_CO_TRY(co_await replica->propose(std::move(add)));
    co_return Result<void>();
  }

  env::Task<Result<std::string>> logs(std::size_t size) {
    co_return console.substr(console.size() - std::min(size, console.size()));
  }

  env::Task<Reply> call(http::Method method, std::string target, std::string body = "",
                        http::Headers headers = {}) {
    http::Request request{.method = method, .headers = std::move(headers), .body = std::move(body)};
    const auto question = target.find('?');
    request.path = target.substr(0, question);
    if (question != std::string::npos) {
      std::string rest = target.substr(question + 1);
      while (!rest.empty()) {
        const auto end = std::min(rest.find('&'), rest.size());
        const std::string pair = rest.substr(0, end);
        rest.erase(0, end + 1);
        const auto equals = std::min(pair.find('='), pair.size());
        request.query[pair.substr(0, equals)] = equals < pair.size() ? pair.substr(equals + 1) : "";
      }
    }
    if (!request.body.empty() && request.header("Content-Type") == nullptr) {
      request.headers.push_back({"Content-Type", "application/json"});
    }
    request.transport = http::Transport::kUnix;
    request.peer.uid = 1000;
    const http::Response response = co_await api->handle(request);
    co_return Reply{response.status, response.body, response.headers};
  }

  // As the leader's loop and the node's agent would.
  env::Task<Result<void>> place(std::string name) {
    const cluster::Vm* vm = replica->state().find_vm(name);
    v1::Command command;
    command.mutable_place_vm()->set_vm_id(vm->id.value);
    command.mutable_place_vm()->set_generation(vm->generation.value);
    command.mutable_place_vm()->set_node_id(1);
    BLX_CO_TRY(co_await replica->propose(std::move(command)));
    co_return Result<void>();
  }
  env::Task<Result<void>> report(std::string name, v1::VmState state, std::string reason = "",
                                 bool released = false) {
    v1::VmReport report;
    report.set_state(state);
    report.set_reason(std::move(reason));
    report.set_released(released);
    return tell(std::move(name), std::move(report));
  }
  env::Task<Result<void>> tell(std::string name, v1::VmReport report) {
    const cluster::Vm* vm = replica->state().find_vm(name);
    v1::Command command;
    command.mutable_report_vms()->set_node_id(1);
    report.set_vm_id(vm->id.value);
    report.set_generation(vm->generation.value);
    *command.mutable_report_vms()->add_reports() = std::move(report);
    BLX_CO_TRY(co_await replica->propose(std::move(command)));
    co_return Result<void>();
  }
  env::Task<void> boot(std::string name, v1::VmState last, std::string reason = "") {
    EXPECT_TRUE(co_await env.clock.sleep(1s));
    EXPECT_TRUE(co_await place(name));
    EXPECT_TRUE(co_await report(name, v1::VM_STATE_STARTING));
    EXPECT_TRUE(co_await env.clock.sleep(1s));
    const auto reported = co_await report(name, last, std::move(reason));
    EXPECT_TRUE(reported) << reported.error().message();
  }
};

inline env::Task<void> bench_main(env::Env env, std::function<env::Task<void>(Bench&)> body,
                                  bool& done) {
  Bench bench(env);
  const auto opened = co_await bench.open();
  EXPECT_TRUE(opened) << opened.error().message();
  if (!opened) co_return;
  co_await body(bench);
  bench.api.reset();
  co_await bench.replica->stop();
  done = true;
}

inline void run(std::function<env::Task<void>(Bench&)> body) {
  sim::World world(3);
  auto& machine = world.add_machine("n1");
  bool done = false;
  EXPECT_TRUE(world.run(bench_main(machine.env(), std::move(body), done)));
  EXPECT_TRUE(done);
}

}  // namespace blixard::api
