// The route table: routing and the OpenAPI document are made from it.

#include <vector>

#include "blixard/v1/api.pb.h"
#include "node/api/api.h"

namespace blixard::api {

namespace {

using http::Method;

template <class T>
const google::protobuf::Message* message() {
  return &T::default_instance();
}

}  // namespace

std::vector<Route> Api::vm_routes() {
  return {
      {.method = Method::kPost,
       .pattern = "/v1/vms",
       .name = "create_vm",
       .summary = "Create a VM and, unless told otherwise, start it",
       .is_mutation = true,
       .parameters = kWait,
       .status = 201,
       .request = message<v1::CreateVmRequest>(),
       .response = message<v1::Vm>(),
       .errors = "spec_invalid name_invalid image_not_found vm_exists too_many_vms",
       .handler = &Api::create_vm},
      {.method = Method::kGet,
       .pattern = "/v1/vms",
       .name = "list_vms",
       .summary = "List the VMs",
       .parameters = kConsistency | kPage,
       .response = message<v1::VmList>(),
       .handler = &Api::list_vms},
      {.method = Method::kGet,
       .pattern = "/v1/vms/{name}",
       .name = "get_vm",
       .summary = "Show a VM",
       .parameters = kWait | kConsistency,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found",
       .handler = &Api::get_vm},
      {.method = Method::kDelete,
       .pattern = "/v1/vms/{name}",
       .name = "delete_vm",
       .summary = "Stop a VM and delete it",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found",
       .handler = &Api::delete_vm},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/start",
       .name = "start_vm",
       .summary = "Start a stopped VM",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_being_deleted",
       .handler = &Api::start_vm},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/stop",
       .name = "stop_vm",
       .summary = "Stop a VM; the guest may shut down by itself first",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_being_deleted",
       .handler = &Api::stop_vm},
      {.method = Method::kGet,
       .pattern = "/v1/vms/{name}/logs",
       .name = "vm_logs",
       .summary = "Show the end of a VM's console output",
       .parameters = kTailBytes | kConsistency,
       .content_type = "text/plain; charset=utf-8",
       .errors = "vm_not_found vm_not_here console_empty",
       .handler = &Api::vm_logs},
  };
}

std::vector<Route> Api::saving_routes() {
  return {
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/pause",
       .name = "pause_vm",
       .summary = "Let a VM's guest stand still, in the memory of its node",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_not_running vm_being_deleted",
       .handler = &Api::pause_vm},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/resume",
       .name = "resume_vm",
       .summary = "Let a paused or suspended VM go on; the same as start",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_being_deleted",
       .handler = &Api::start_vm},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/suspend",
       .name = "suspend_vm",
       .summary = "Save a VM's guest to disk and free its room",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_not_running vm_being_deleted",
       .handler = &Api::suspend_vm},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/snapshot",
       .name = "snapshot_vm",
       .summary = "Save a VM's guest, which runs on; in place of the snapshot before",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found vm_not_running vm_being_deleted snapshot_failed",
       .handler = &Api::snapshot_vm},
      {.method = Method::kDelete,
       .pattern = "/v1/vms/{name}/snapshot",
       .name = "delete_snapshot",
       .summary = "Delete a VM's snapshot",
       .is_mutation = true,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found no_snapshot snapshot_in_use",
       .handler = &Api::delete_snapshot},
      {.method = Method::kPost,
       .pattern = "/v1/vms/{name}/restore",
       .name = "restore_vm",
       .summary = "Start a VM again from its snapshot; what its guest did since is lost",
       .is_mutation = true,
       .parameters = kWait,
       .status = 202,
       .response = message<v1::Vm>(),
       .errors = "vm_not_found no_snapshot saved_unfit vm_busy vm_lost vm_evicting "
                 "vm_being_deleted",
       .handler = &Api::restore_vm},
  };
}

std::vector<Route> Api::image_routes() {
  return {
      {.method = Method::kPost,
       .pattern = "/v1/images",
       .name = "import_image",
       .summary = "Import an image from a folder on the node's machine",
       .is_mutation = true,
       .status = 201,
       .request = message<v1::ImportImageRequest>(),
       .response = message<v1::Image>(),
       .errors = "image_path_invalid image_json_missing image_json_invalid image_incomplete "
                 "image_damaged image_too_large image_format_unknown image_exists disk_full",
       .handler = &Api::import_image},
      {.method = Method::kGet,
       .pattern = "/v1/images",
       .name = "list_images",
       .summary = "List the images",
       .parameters = kConsistency,
       .response = message<v1::ImageList>(),
       .handler = &Api::list_images},
      {.method = Method::kGet,
       .pattern = "/v1/images/{name}",
       .name = "get_image",
       .summary = "Show an image",
       .parameters = kConsistency,
       .response = message<v1::Image>(),
       .errors = "image_not_found",
       .handler = &Api::get_image},
      {.method = Method::kDelete,
       .pattern = "/v1/images/{name}",
       .name = "delete_image",
       .summary = "Delete an image that no VM uses",
       .is_mutation = true,
       .response = message<v1::Image>(),
       .errors = "image_not_found image_in_use",
       .handler = &Api::delete_image},
  };
}

std::vector<Route> Api::template_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/templates",
       .name = "list_templates",
       .summary = "List the saved guests of the node that is asked",
       .response = message<v1::TemplateList>(),
       .handler = &Api::list_templates},
      {.method = Method::kPost,
       .pattern = "/v1/templates",
       .name = "create_template",
       .summary = "Save a guest of this image and size on the node that is asked",
       .status = 201,
       .request = message<v1::CreateTemplateRequest>(),
       .response = message<v1::Template>(),
       .errors = "image_not_found spec_invalid templates_unsupported template_off "
                 "template_too_large template_failed disk_full",
       .handler = &Api::create_template},
      {.method = Method::kDelete,
       .pattern = "/v1/templates/{name}",
       .name = "delete_template",
       .summary = "Delete a saved guest that no VM of the node runs from, by its key or the "
                  "beginning of it",
       .response = message<v1::Template>(),
       .errors = "template_not_found template_ambiguous template_in_use",
       .handler = &Api::delete_template},
  };
}

std::vector<Route> Api::cluster_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/nodes",
       .name = "list_nodes",
       .summary = "List the nodes",
       .parameters = kConsistency,
       .response = message<v1::NodeList>(),
       .handler = &Api::list_nodes},
      {.method = Method::kGet,
       .pattern = "/v1/status",
       .name = "status",
       .summary = "Show the cluster as this node sees it",
       .parameters = kConsistency,
       .response = message<v1::ClusterStatus>(),
       .errors = "no_leader no_quorum",
       .handler = &Api::status},
      {.method = Method::kGet,
       .pattern = "/v1/events",
       .name = "events",
       .summary = "Follow changes as server-sent events: vm, node, image and reset, each with an "
                  "Event as data and the revision as id",
       .parameters = kSince,
       .response = message<v1::Event>(),
       .content_type = "text/event-stream",
       .errors = "too_many_streams",
       .handler = &Api::events},
  };
}

std::vector<Route> Api::member_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/cluster",
       .name = "cluster",
       .summary = "Show who belongs to the cluster and who leads",
       .parameters = kConsistency,
       .response = message<v1::Cluster>(),
       .errors = "no_leader no_quorum",
       .handler = &Api::cluster_members},
      {.method = Method::kGet,
       .pattern = "/v1/cluster/digest",
       .name = "state_digest",
       .summary = "Show the hash of the replicated state, to compare nodes with each other",
       .parameters = kConsistency,
       .response = message<v1::StateDigest>(),
       .errors = "no_leader no_quorum",
       .handler = &Api::state_digest},
      {.method = Method::kDelete,
       .pattern = "/v1/nodes/{name}",
       .name = "remove_node",
       .summary = "Remove a node from the cluster; it may be the one that is asked",
       .is_mutation = true,
       .parameters = kForce,
       .response = message<v1::Node>(),
       .errors = "node_not_found node_has_vms node_holds_saved last_voter removal_unfinished "
                 "servers_only no_leader not_committed",
       .handler = &Api::remove_node},
      {.method = Method::kPost,
       .pattern = "/v1/nodes/{name}/promote",
       .name = "promote_node",
       .summary = "Make a server a voter that has caught up; the leader does so by itself",
       .is_mutation = true,
       .response = message<v1::Node>(),
       .errors = "node_not_found not_a_server not_caught_up too_many_voters member_unknown "
                 "change_in_progress servers_only",
       .handler = &Api::promote_node},
      {.method = Method::kPost,
       .pattern = "/v1/cluster/transfer-leader",
       .name = "transfer_leader",
       .summary = "Give the lead to another voter",
       .is_mutation = true,
       .request = message<v1::TransferLeaderRequest>(),
       .response = message<v1::Cluster>(),
       .errors = "node_not_found not_a_voter transfer_failed servers_only no_leader",
       .handler = &Api::transfer_leader},
      {.method = Method::kPost,
       .pattern = "/v1/certificate/rotate",
       .name = "rotate_certificate",
       .summary = "Give the node that is asked a new key and certificate, in use at once",
       .is_mutation = true,
       .response = message<v1::Certificate>(),
       .handler = &Api::rotate_certificate},
  };
}

std::vector<Route> Api::token_routes() {
  return {
      {.method = Method::kPost,
       .pattern = "/v1/tokens",
       .name = "create_token",
       .summary = "Make a token that one machine can join with",
       .is_mutation = true,
       .status = 201,
       .request = message<v1::CreateTokenRequest>(),
       .response = message<v1::CreatedToken>(),
       .errors = "too_many_tokens token_lost servers_only",
       .handler = &Api::create_token},
      {.method = Method::kGet,
       .pattern = "/v1/tokens",
       .name = "list_tokens",
       .summary = "List the tokens, without their secrets",
       .parameters = kConsistency,
       .response = message<v1::TokenList>(),
       .handler = &Api::list_tokens},
      {.method = Method::kDelete,
       .pattern = "/v1/tokens/{name}",
       .name = "revoke_token",
       .summary = "Make a token useless; the node it made stays",
       .is_mutation = true,
       .response = message<v1::Token>(),
       .errors = "token_not_found servers_only",
       .handler = &Api::revoke_token},
  };
}

std::vector<Route> Api::trace_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/traces",
       .name = "list_traces",
       .summary = "List the newest traces that the node that is asked has spans of",
       .response = message<v1::TraceList>(),
       .handler = &Api::list_traces},
      {.method = Method::kGet,
       .pattern = "/v1/traces/{name}",
       .name = "get_trace",
       .summary = "Show a trace by its id, with the spans of all nodes, as OTLP/JSON; "
                  "missingNodes are those that did not answer",
       .errors = "trace_id_invalid trace_not_found",
       .handler = &Api::get_trace},
  };
}

std::vector<Route> Api::failpoint_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/failpoints",
       .name = "list_failpoints",
       .summary = "List the failpoints of the node that is asked, where it allows them",
       .response = message<v1::FailpointList>(),
       .errors = "failpoints_not_allowed failpoints_not_built",
       .handler = &Api::list_failpoints},
      {.method = Method::kPut,
       .pattern = "/v1/failpoints/{name}",
       .name = "set_failpoint",
       .summary = "Make a chosen fault happen at a place of the node that is asked",
       .is_mutation = true,
       .request = message<v1::SetFailpointRequest>(),
       .response = message<v1::Failpoint>(),
       .errors = "failpoints_not_allowed failpoints_not_built failpoint_unknown failpoint_invalid "
                 "failpoint_reasons_full",
       .handler = &Api::set_failpoint},
      {.method = Method::kDelete,
       .pattern = "/v1/failpoints/{name}",
       .name = "clear_failpoint",
       .summary = "Disarm a failpoint; what pauses there goes on",
       .is_mutation = true,
       .response = message<v1::Failpoint>(),
       .errors = "failpoints_not_allowed failpoints_not_built failpoint_unknown",
       .handler = &Api::clear_failpoint},
  };
}

std::vector<Route> Api::program_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/openapi.json",
       .name = "openapi",
       .summary = "This document",
       .handler = &Api::openapi},
      {.method = Method::kGet,
       .pattern = "/healthz",
       .name = "healthz",
       .summary = "Is the program alive",
       .access = Access::kEveryone,
       .content_type = "text/plain; charset=utf-8",
       .handler = &Api::healthz},
      {.method = Method::kGet,
       .pattern = "/readyz",
       .name = "readyz",
       .summary = "Can the node serve requests: it knows the cluster's leader",
       .access = Access::kEveryone,
       .content_type = "text/plain; charset=utf-8",
       .errors = "not_ready",
       .handler = &Api::readyz},
      {.method = Method::kGet,
       .pattern = "/metrics",
       .name = "metrics",
       .summary = "Metrics for Prometheus",
       .content_type = "text/plain; version=0.0.4; charset=utf-8",
       .handler = &Api::metrics_text},
  };
}

std::vector<Route> Api::configuration_routes() {
  return {
      {.method = Method::kGet,
       .pattern = "/v1/config",
       .name = "show_configuration",
       .summary = "Show how the node that is asked was told to run, and by what",
       .response = message<v1::Configuration>(),
       .errors = "not_ready",
       .handler = &Api::show_configuration},
      {.method = Method::kPost,
       .pattern = "/v1/config/reload",
       .name = "reload_configuration",
       .summary = "Read the configuration file again; a file with a fault changes nothing",
       .response = message<v1::ConfigurationReload>(),
       .errors = "configuration_invalid configuration_no_file configuration_unreadable not_ready",
       .handler = &Api::reload_configuration},
  };
}

std::span<const Route> Api::routes() {
  static const std::vector<Route> kRoutes = [] {
    std::vector<Route> all;
    for (const auto& part :
         {vm_routes(), saving_routes(), image_routes(), template_routes(), cluster_routes(),
          member_routes(), placement_routes(), planning_routes(), group_routes(), tenancy_routes(),
          token_routes(), trace_routes(), configuration_routes(), failpoint_routes(),
          program_routes()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }();
  return kRoutes;
}

}  // namespace blixard::api
