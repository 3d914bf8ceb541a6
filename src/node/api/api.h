#pragma once

// The public API: what the routes under /v1 do, apart from how requests come in.
//
// One table (routes.cc) decides where a request goes, what it may carry and what /v1/openapi.json
// says. Users on the unix socket are known by their uid, users on TCP by the bearer token. Every
// mutation becomes one command with the client's request id, so that a repeated one acts once.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/state.h"
#include "env/env.h"
#include "env/security.h"
#include "env/settings.h"
#include "env/task.h"
#include "node/api/configuration.h"
#include "node/api/route.h"
#include "node/http/message.h"
#include "node/image/store.h"
#include "node/peer/peers.h"
#include "node/replica/replica.h"
#include "node/telemetry/telemetry.h"
#include "node/template/store.h"
#include "node/trace/otlp.h"
#include "node/trace/tracer.h"
#include "observe/metrics.h"

namespace blixard::v1 {
class Command;
}

namespace blixard::api {
enum class StatusClass : std::uint8_t;  // 1xx to 5xx
}

template <>
inline constexpr std::array<std::string_view, 5>
    blixard::observe::kLabelValues<blixard::api::StatusClass>{"1xx", "2xx", "3xx", "4xx", "5xx"};

namespace blixard::api {

struct Options {
  std::string token;    // of TCP clients; empty: none is let in
  std::string version;  // of the program
  NodeId self;
  // Who may use the unix socket beside root; none: whoever its mode lets in.
  std::optional<std::int64_t> own_uid;
  // To make tokens with: a secret of this node's, and the fingerprint of the authority.
  std::string token_key;
  std::string authority_fingerprint;
  // Connections to the other nodes; none: not told.
  std::function<std::vector<peer::PeerStatus>()> peers;
  std::function<env::Task<Result<env::CertificateFacts>>()> rotate_certificate;
  bool allow_failpoints = false;    // to be seen and armed
  trace::Tracer* tracer = nullptr;  // outlives the API; null: nothing is traced
  // A trace as all nodes know it; none: there are none.
  std::function<env::Task<trace::Traces>(observe::TraceId)> collect_trace;
  Configuration* configuration = nullptr;  // null: there is nothing to show
  templates::Store* templates = nullptr;   // of this node; outlives the API; null: there are none
  // Makes one of an image by its name.
  std::function<env::Task<Result<templates::Manifest>>(std::string image, std::uint32_t vcpus,
                                                       Bytes memory)>
      make_template;
  // Limits that may change; outlives the API.
  const env::SettingsView* settings = nullptr;  // null: the defaults
};

class Api final : public http::Handler {
 public:
  // The newest bytes of the console of a VM on this node, at most so many.
  using Logs = std::function<env::Task<Result<std::string>>(VmId, std::size_t)>;

  Api(env::Env env, replica::Replica& replica, image::Store& images, observe::Metrics& metrics,
      Options options, Logs logs, telemetry::Telemetry& telemetry = telemetry::Telemetry::none());
  ~Api() override;

  env::Task<http::Response> handle(const http::Request& request) override;
  void refused(int status) override;

  static std::span<const Route> routes();

  // What the API counts and tells of itself. Without an API it is only declared: for who wants to
  // know which metrics there are.
  struct Instruments {
    // By route, in the order of routes(), then one for all else.
    observe::CounterFamily<observe::Listed, StatusClass> requests;
    observe::HistogramFamily<observe::Listed> durations;
  };
  static Instruments register_metrics(observe::Metrics& metrics, const Api* api);

 private:
  using Answer = env::Task<Result<http::Response>>;

  static std::vector<Route> vm_routes();
  static std::vector<Route> saving_routes();
  static std::vector<Route> image_routes();
  static std::vector<Route> template_routes();
  static std::vector<Route> cluster_routes();
  static std::vector<Route> member_routes();
  static std::vector<Route> placement_routes();
  static std::vector<Route> planning_routes();
  static std::vector<Route> group_routes();
  static std::vector<Route> tenancy_routes();
  static std::vector<Route> token_routes();
  static std::vector<Route> trace_routes();
  static std::vector<Route> failpoint_routes();
  static std::vector<Route> program_routes();
  static std::vector<Route> configuration_routes();

  Answer dispatch(const http::Request& request, std::size_t& route_index, Instant begun,
                  trace::ActiveSpan& span);
  [[nodiscard]] trace::ActiveSpan begin_span(const http::Request& request, const Route& route,
                                             Instant begun) const;
  static void end_span(trace::ActiveSpan& span, http::Response& response);
  [[nodiscard]] Result<void> authorize(const http::Request& request) const;
  Result<void> check_body(const http::Request& request, const Route& route) const;
  Result<Uuid> request_id_of(const http::Request& request);

  void tell_vms(observe::Answer& answer) const;
  env::Task<Result<cluster::Outcome>> propose(const Call& call, v1::Command command);
  // The same, counted as an operation of a user.
  env::Task<Result<cluster::Outcome>> operate(const Call& call, telemetry::VmOperation operation,
                                              v1::Command command);
  env::Task<Result<void>> barrier(const Call& call);
  env::Task<Result<void>> wait_for(const Call& call, VmId id, Instant deadline);
  env::Task<Result<void>> wait_until(VmId id, WaitFor wait, Instant deadline);
  env::Task<Result<void>> arrival_of(VmId id, WaitFor wait);
  [[nodiscard]] Result<bool> arrived(VmId id, WaitFor wait) const;
  [[nodiscard]] http::Response vm_response(int status, const cluster::Vm& vm) const;
  Answer change_vm(const Call& call, int desired);
  // A command on a VM that stays; answered when what is waited for has come.
  Answer act_on_vm(const Call& call, telemetry::VmOperation operation, v1::Command command);

  Answer create_vm(const Call& call);
  Answer list_vms(const Call& call);
  Answer get_vm(const Call& call);
  Answer delete_vm(const Call& call);
  Answer start_vm(const Call& call);
  Answer stop_vm(const Call& call);
  Answer pause_vm(const Call& call);
  Answer suspend_vm(const Call& call);
  Answer snapshot_vm(const Call& call);
  Answer restore_vm(const Call& call);
  Answer delete_snapshot(const Call& call);
  Answer vm_logs(const Call& call);
  Answer explain_vm(const Call& call);
  Answer plan(const Call& call);
  Answer copy_state(const Call& call);
  Answer import_image(const Call& call);
  Answer list_images(const Call& call);
  Answer get_image(const Call& call);
  Answer delete_image(const Call& call);
  Answer list_templates(const Call& call);
  Answer create_template(const Call& call);
  Answer delete_template(const Call& call);
  Answer list_nodes(const Call& call);
  Answer get_node(const Call& call);
  Answer update_node(const Call& call);
  Answer drain_node(const Call& call);
  Answer undrain_node(const Call& call);
  Answer get_policy(const Call& call);
  Answer set_policy(const Call& call);
  Answer list_groups(const Call& call);
  Answer set_group(const Call& call);
  Answer delete_group(const Call& call);
  Answer list_tenants(const Call& call);
  Answer set_tenant(const Call& call);
  Answer delete_tenant(const Call& call);
  Answer list_reservations(const Call& call);
  Answer set_reservation(const Call& call);
  Answer delete_reservation(const Call& call);
  Answer status(const Call& call);
  Answer cluster_members(const Call& call);
  Answer state_digest(const Call& call);
  Answer remove_node(const Call& call);
  Answer promote_node(const Call& call);
  Answer transfer_leader(const Call& call);
  Answer rotate_certificate(const Call& call);
  Answer list_failpoints(const Call& call);
  Answer set_failpoint(const Call& call);
  Answer clear_failpoint(const Call& call);
  Answer create_token(const Call& call);
  Answer list_tokens(const Call& call);
  Answer revoke_token(const Call& call);
  Answer list_traces(const Call& call);
  Answer get_trace(const Call& call);
  Answer events(const Call& call);
  Answer healthz(const Call& call);
  Answer readyz(const Call& call);
  Answer metrics_text(const Call& call);
  Answer openapi(const Call& call);
  Answer show_configuration(const Call& call);
  Answer reload_configuration(const Call& call);

  [[nodiscard]] Result<const cluster::Node*> node_named(std::string_view name) const;
  [[nodiscard]] Result<http::Response> node_response(const std::string& name) const;
  [[nodiscard]] const env::Settings& settings() const;
  [[nodiscard]] Result<void> may_use_failpoints() const;
  [[nodiscard]] http::Response cluster_response();
  [[nodiscard]] std::vector<const cluster::Member*> by_name();  // until the reader looks again
  env::Task<Result<void>> wait_until_gone(NodeId node);
  [[nodiscard]] std::string name_of(NodeId node);  // "" of one that is not known

  env::Task<Result<void>> stream_events(http::BodyWriter& writer, std::uint64_t since);
  env::Task<Result<void>> send_changes(http::BodyWriter& writer, std::uint64_t& since);
  env::Task<Result<void>> send_state(http::BodyWriter& writer);
  [[nodiscard]] std::string event_text(const cluster::Change& change) const;

  env::Env env_;
  replica::Replica& replica_;
  replica::ClusterReader cluster_;
  image::Store& images_;
  observe::Metrics& metrics_;
  telemetry::Telemetry& telemetry_;
  Options options_;
  Logs logs_;
  std::string openapi_;  // empty until somebody asks: it costs more than all else of a start
  Instruments counted_;
  std::size_t event_streams_ = 0;
  std::size_t state_copies_ = 0;   // under way
  std::size_t metrics_bytes_ = 0;  // that their text may need
};

http::Response json_response(int status, const google::protobuf::Message& message);

}  // namespace blixard::api
