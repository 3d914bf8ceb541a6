#include "app/commands.h"

#include <unistd.h>

#include <cstdio>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/api_client.h"
#include "app/argument_values.h"
#include "app/cli_vm.h"
#include "app/config_commands.h"
#include "app/daemon.h"
#include "app/doctor.h"
#include "app/image_build.h"
#include "app/listing.h"
#include "app/output.h"
#include "app/placement_commands.h"
#include "app/placement_json.h"
#include "app/plan_commands.h"
#include "app/template_commands.h"
#include "app/trace_commands.h"
#include "linux/runtime.h"
#include "node/http/target.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

class Session {
 public:
  Session(env::Env env, const Command& command)
      : env_(env), command_(command), api_(env, command.connection) {}

  env::Task<Result<void>> run() {
    auto done =
        co_await std::visit([this](const auto& action) { return act(action); }, command_.action);
    if (command_.verbose) {
      for (const observe::TraceId& trace : api_.traces())
        fmt::print(stderr, "trace {}: blixard trace show {}\n", trace.text(), trace.text());
    }
    co_return done;
  }

 private:
  [[nodiscard]] bool as_json() const { return command_.output == OutputFormat::kJson; }

  void print(std::string_view text) const { std::fwrite(text.data(), 1, text.size(), stdout); }

  // Query and patience of a mutation that may wait for `state`.
  struct Waiting {
    std::string query;
    Duration patience{};
  };
  [[nodiscard]] Result<Waiting> waiting_for(std::string_view state) const {
    if (!command_.wait) return Waiting{};
    BLX_TRY(const Duration timeout, parse_duration(command_.wait_timeout));
    return Waiting{
        fmt::format("?wait={}&timeout={}ms", state,
                    std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()),
        timeout};
  }

  // A request under a spinner.
  env::Task<Result<json::value>> awaited(env::Task<Result<json::value>> request, std::string what) {
    env::Scope scope(env_.executor, co_await env::this_cancellation());
    Spinner spinner(env_, scope, std::move(what));
    auto answer = co_await std::move(request);
    spinner.stop();
    co_await scope.join();
    co_return answer;
  }

  static constexpr Duration kMemberPatience = 60s;
  static constexpr Duration kConfigPatience = 10s;

  void show_vm_line(const json::value& vm) const {
    std::string line = fmt::format("vm {}: {}", text_of(vm, "name"), text_of(vm, "state"));
    if (const auto ports = published_text(vm); !ports.empty()) line += ", published " + ports;
    if (const auto reason = text_of(vm, "reason"); !reason.empty()) line += " (" + reason + ")";
    print(line + "\n");
  }

  void show_vm(const json::value& vm) const {
    if (as_json()) {
      print(pretty(vm));
    } else {
      show_vm_line(vm);
    }
  }

  env::Task<Result<void>> act(const VmCreate& create) {
    json::object body{
        {"name", create.name},       {"image", create.image},
        {"vcpus", create.vcpus},     {"memory_mib", create.memory_mib},
        {"restart", create.restart}, {"stop_grace_seconds", create.stop_grace_seconds},
        {"start", create.start}};
    json::array ports;
    for (const Publish& publish : create.publish) {
      ports.push_back(
          json::object{{"host_port", publish.host_port}, {"guest_port", publish.guest_port}});
    }
    body["publish"] = std::move(ports);
    if (auto placement = placement_json(create.wishes); !placement.empty()) {
      body["placement"] = std::move(placement);
    }
    BLX_CO_TRY(const Waiting waiting, waiting_for(create.start ? "running" : "stopped"));
    auto request = api_.post("/v1/vms" + waiting.query, std::move(body), waiting.patience);
    BLX_CO_TRY(const json::value vm,
               co_await awaited(std::move(request), "creating vm " + create.name));
    show_vm(vm);
    co_return Result<void>();
  }

  env::Task<Result<json::value>> request_for(VmAction::Kind kind, const std::string& name) {
    const std::string target = "/v1/vms/" + http::percent_encoded(name);
    if (kind == VmAction::Kind::kStatus) co_return co_await api_.get(target);
    if (kind == VmAction::Kind::kDeleteSnapshot) {
      co_return co_await api_.remove(target + "/snapshot", {});
    }
    if (kind == VmAction::Kind::kDelete) {
      BLX_CO_TRY(const Waiting waiting, waiting_for("deleted"));
      co_return co_await api_.remove(target + waiting.query, waiting.patience);
    }
    const PostedWord word = posted_for(kind);
    BLX_CO_TRY(const Waiting waiting, waiting_for(word.state));
    co_return co_await api_.post(fmt::format("{}{}{}", target, word.path, waiting.query), {},
                                 waiting.patience);
  }

  // Of a snapshot the state of the VM says nothing.
  void show_done(VmAction::Kind kind, const json::value& vm) const {
    if (kind == VmAction::Kind::kSnapshot && !as_json()) {
      const json::value* snapshot =
          vm.is_object() ? vm.get_object().if_contains("snapshot") : nullptr;
      print(fmt::format("vm {}: snapshot {}\n", text_of(vm, "name"),
                        snapshot_text(snapshot == nullptr ? json::value() : *snapshot)));
    } else if (kind == VmAction::Kind::kDeleteSnapshot && !as_json()) {
      print(fmt::format("vm {}: snapshot deleted\n", text_of(vm, "name")));
    } else {
      show_vm(vm);
    }
  }

  env::Task<Result<void>> act(const VmAction& action) {
    Result<void> all;
    for (const std::string& name : action.names) {
      const auto vm = co_await awaited(request_for(action.kind, name), "vm " + name);
      if (!vm) {
        // The others still get their turn.
        fmt::print(stderr, "blixard: {}\n", vm.error().detail());
        all = fail(Code::kFailedPrecondition, "some_failed");
      } else if (action.kind == VmAction::Kind::kDelete && !as_json()) {
        print(fmt::format("vm {}: {}\n", name, command_.wait ? "deleted" : "being deleted"));
      } else if (action.kind == VmAction::Kind::kStatus && !as_json()) {
        show_fields(*vm);
      } else {
        show_done(action.kind, *vm);
      }
    }
    co_return all;
  }

  void show_fields(const json::value& object) const {
    if (!object.is_object()) return;
    for (const auto& [key, member] : object.get_object()) {
      const std::string name(key);
      std::string value = name == "published_ports" ? published_text(object)
                          : name == "start"         ? start_text(object)
                          : name == "saved"         ? saved_text(member)
                          : name == "snapshot"      ? snapshot_text(member)
                          : name == "vms_by_state"  ? counts_text(object)
                                                    : text_of(object, name);
      if (!value.empty()) print(fmt::format("{:<20} {}\n", name, value));
    }
  }

  env::Task<Result<void>> act(const VmLogs& logs) {
    BLX_CO_TRY(const std::string text, co_await api_.get_text(fmt::format(
                                           "/v1/vms/{}/logs?tail_bytes={}",
                                           http::percent_encoded(logs.name), logs.tail_bytes)));
    print(::isatty(STDOUT_FILENO) == 1 ? printable(text) : text);
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const ListCommand& list) {
    if (list.what == ListCommand::What::kNodes) co_return co_await list_nodes();
    const char* target = list.what == ListCommand::What::kVms      ? "/v1/vms"
                         : list.what == ListCommand::What::kImages ? "/v1/images"
                                                                   : "/v1/tokens";
    BLX_CO_TRY(const json::value answer, co_await api_.get(target));
    if (as_json()) {
      print(pretty(answer));
    } else if (list.what == ListCommand::What::kVms) {
      print(vms_table(answer, env_.clock.wall()));
    } else if (list.what == ListCommand::What::kImages) {
      print(images_table(answer));
    } else {
      print(tokens_table(answer));
    }
    co_return Result<void>();
  }

  // Two views of the same nodes: what they have for VMs, and what they are to the cluster. Without
  // a quorum the table is what the node that is asked knows.
  env::Task<Result<void>> list_nodes() {
    auto nodes = co_await api_.get("/v1/nodes");
    const char* how = nodes ? "" : "?consistency=stale";
    if (!nodes) {
      const Error error = nodes.error();
      nodes = co_await api_.get("/v1/nodes?consistency=stale");
      if (!nodes) co_return std::unexpected(error);
      fmt::print(stderr, "blixard: {}\nWhat this node knows:\n", error.detail());
    }
    BLX_CO_TRY(const json::value cluster, co_await api_.get(fmt::format("/v1/cluster{}", how)));
    if (as_json()) {
      print(pretty(json::object{{"cluster", cluster}, {"nodes", nodes->at("nodes")}}));
    } else {
      print(nodes_table(*nodes, cluster));
    }
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const NodeAction& action) {
    using Kind = NodeAction::Kind;
    const std::string target = "/v1/nodes/" + http::percent_encoded(action.name);
    std::string said;
    Result<json::value> answer = json::value();
    if (action.kind == Kind::kRemove) {
      answer = co_await awaited(
          api_.remove(target + (action.force ? "?force=true" : ""), kMemberPatience),
          "removing node " + action.name);
      said = fmt::format("node {}: removed", action.name);
    } else if (action.kind == Kind::kPromote) {
      answer = co_await awaited(api_.post(target + "/promote", {}, kMemberPatience),
                                "promoting node " + action.name);
      said = fmt::format("node {}: a voter", action.name);
    } else if (action.kind == Kind::kTransferLeader) {
      json::object body;
      if (!action.name.empty()) body["node"] = action.name;
      answer = co_await awaited(
          api_.post("/v1/cluster/transfer-leader", std::move(body), kMemberPatience),
          "giving the lead away");
      if (answer) said = fmt::format("leader: {}", text_of(*answer, "leader"));
    } else {
      answer = co_await awaited(api_.post("/v1/certificate/rotate", {}, kMemberPatience),
                                "making a certificate");
      if (answer) said = fmt::format("certificate: valid until {}", text_of(*answer, "not_after"));
    }
    BLX_CO_TRY(answer);
    print(as_json() ? pretty(*answer) : said + "\n");
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const TokenCreate& create) {
    BLX_CO_TRY(const std::uint32_t seconds, parse_seconds(create.expires));
    BLX_CO_TRY(
        const json::value token,
        co_await api_.post("/v1/tokens",
                           json::object{{"role", create.role}, {"expires_seconds", seconds}}, {}));
    // Nothing but the token, so that a script can take it.
    print(as_json() ? pretty(token) : text_of(token, "token") + "\n");
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const TokenRevoke& revoke) {
    BLX_CO_TRY(const json::value token,
               co_await api_.remove("/v1/tokens/" + http::percent_encoded(revoke.id), {}));
    print(as_json() ? pretty(token) : fmt::format("token {}: revoked\n", revoke.id));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const FailpointAction& action) {
    const std::string target = "/v1/failpoints/" + http::percent_encoded(action.name);
    json::value answer;
    switch (action.kind) {
      case FailpointAction::Kind::kList: {
        BLX_CO_TRY(answer, co_await api_.get("/v1/failpoints"));
        print(as_json() ? pretty(answer) : failpoints_table(answer));
        co_return Result<void>();
      }
      case FailpointAction::Kind::kSet: {
        json::object body{{"actions", action.actions}, {"seed", action.seed}};
        BLX_CO_TRY(answer, co_await api_.put(target, std::move(body)));
        break;
      }
      case FailpointAction::Kind::kClear: {
        BLX_CO_TRY(answer, co_await api_.remove(target, {}));
        break;
      }
    }
    const std::string actions = text_of(answer, "actions");
    print(as_json() ? pretty(answer)
                    : fmt::format("failpoint {}: {}\n", action.name,
                                  actions.empty() ? "not armed" : actions));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const ImageBuild& build) {
    std::string directory = build.output_directory;
    std::string temporary;
    if (directory.empty()) {
      if (!build.import_after) {
        co_return fail(Code::kInvalidArgument, "directory_missing",
                       "--no-import needs --directory");
      }
      temporary = fmt::format("/tmp/blixard-image-{}", env_.random.hex(8));
      directory = temporary;
    }
    auto built = co_await build_image(env_, build, directory);
    if (built && build.import_after) built = co_await act(ImageImport{directory, build.name});
    if (!temporary.empty()) {
      ignore(co_await env_.disk.remove_tree(temporary), "temporary files of ours");
    }
    co_return built;
  }

  env::Task<Result<void>> act(ImageImport import) {
    if (!import.path.starts_with('/')) {
      std::string here(4096, '\0');
      if (::getcwd(here.data(), here.size()) == nullptr) here = "/";
      import.path = env::join_path(here.c_str(), import.path);
    }
    json::object body{{"path", import.path}};
    if (!import.name.empty()) body["name"] = import.name;
    BLX_CO_TRY(const json::value image,
               co_await awaited(api_.post("/v1/images", std::move(body), 5min), "importing image"));
    print(as_json() ? pretty(image) : fmt::format("image {}: imported\n", text_of(image, "name")));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const ImageDelete& remove) {
    BLX_CO_TRY(const json::value answer,
               co_await api_.remove("/v1/images/" + http::percent_encoded(remove.name), {}));
    print(as_json() ? pretty(answer) : fmt::format("image {}: deleted\n", remove.name));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const TemplateCommand& command) {
    switch (command.what) {
      case ListOrChange::kList:
        return list_templates(api_, env_.clock.wall(), command_.output);
      case ListOrChange::kSet:
        return create_template(api_, command, command_.output);
      case ListOrChange::kDelete:
        break;
    }
    return delete_template(api_, command, command_.output);
  }

  env::Task<Result<void>> act(const StatusCommand&) {
    BLX_CO_TRY(const json::value status, co_await api_.get("/v1/status"));
    if (as_json()) {
      print(pretty(status));
    } else {
      show_fields(status);
    }
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const EventsCommand&) {
    co_return co_await api_.follow("/v1/events", [this](std::string_view piece) {
      print(piece);
      return std::fflush(stdout) == 0;
    });
  }

  env::Task<Result<void>> act(const ConfigShow&) {
    BLX_CO_TRY(const json::value answer, co_await api_.get("/v1/config"));
    print(command_.output == OutputFormat::kJson ? pretty(answer) : configuration_table(answer));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const ConfigReload&) {
    BLX_CO_TRY(const json::value answer,
               co_await api_.post("/v1/config/reload", {}, kConfigPatience));
    print(command_.output == OutputFormat::kJson ? pretty(answer) : reload_text(answer));
    co_return Result<void>();
  }

  env::Task<Result<void>> act(const TraceList&) {
    return list_traces(api_, command_.output, env_.clock.wall());
  }
  env::Task<Result<void>> act(const TraceShow& show) {
    return show_trace(api_, show, command_.output);
  }

  env::Task<Result<void>> act(const NodeUpdate& update) {
    return update_node(api_, update, command_.output);
  }
  env::Task<Result<void>> act(const NodeShow& show) {
    return show_node(api_, show, command_.output);
  }
  env::Task<Result<void>> act(const NodeDrain& drain) {
    return drain_node(env_, api_, drain, command_.output);
  }
  env::Task<Result<void>> act(const PolicyCommand& policy) {
    return change_policy(api_, policy, command_.output);
  }
  env::Task<Result<void>> act(const GroupCommand& group) {
    return change_group(api_, group, command_.output);
  }
  env::Task<Result<void>> act(const TenantCommand& tenant) {
    return change_tenant(api_, tenant, command_.output);
  }
  env::Task<Result<void>> act(const ReservationCommand& reservation) {
    return change_reservation(api_, reservation, command_.output);
  }
  env::Task<Result<void>> act(const VmExplain& explain) {
    return explain_vm(api_, explain, command_.output);
  }
  env::Task<Result<void>> act(const PlanCommand& plan) {
    return plan_vms(env_, api_, plan, command_.output);
  }
  // Carried out before a session is opened.
  env::Task<Result<void>> act(const NodeOptions&) { co_return Result<void>(); }
  env::Task<Result<void>> act(const DoctorCommand&) { co_return Result<void>(); }
  env::Task<Result<void>> act(const ConfigCheck&) { co_return Result<void>(); }
  env::Task<Result<void>> act(const ConfigExample&) { co_return Result<void>(); }
  env::Task<Result<void>> act(const CompletionCommand&) { co_return Result<void>(); }
  env::Task<Result<void>> act(const TelemetryCommand&) { co_return Result<void>(); }

  env::Env env_;
  const Command& command_;
  ApiClient api_;
};

env::Task<void> run_session(env::Env env, const Command& command, int& code) {
  Session session(env, command);
  const auto done = co_await session.run();
  if (done) {
    code = kExitDone;
    co_return;
  }
  code = kExitFailed;
  const auto detail = done.error().detail();
  if (done.error().reason() == "some_failed") co_return;
  fmt::print(stderr, "blixard: {}\n",
             detail.empty() ? done.error().message() : std::string(detail));
}

env::Task<void> run_doctor_into(env::Env env, DoctorCommand command, OutputFormat output,
                                int& code) {
  code = co_await run_doctor(env, std::move(command), output);
}

}  // namespace

int carry_out(const Command& command) {
  if (const auto* node = std::get_if<NodeOptions>(&command.action)) return run_daemon(*node);
  if (const auto* check = std::get_if<ConfigCheck>(&command.action)) {
    return check_configuration(*check, command.output);
  }
  if (const auto* show = std::get_if<ConfigShow>(&command.action); show && !show->path.empty()) {
    return show_configuration(*show, command.output);
  }
  if (std::holds_alternative<ConfigExample>(command.action)) {
    std::fputs(example_file().c_str(), stdout);
    return kExitDone;
  }
  linux_side::Runtime runtime({});
  int code = kExitFailed;
  if (const auto* doctor = std::get_if<DoctorCommand>(&command.action)) {
    runtime.run(run_doctor_into(runtime.env(), *doctor, command.output, code));
  } else {
    runtime.run(run_session(runtime.env(), command, code));
  }
  return code;
}

}  // namespace blixard::app
