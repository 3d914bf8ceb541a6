#include "node/api/problems.h"

#include <algorithm>
#include <array>
#include <string>

namespace blixard::api {
namespace {

constexpr auto kRows = std::to_array<ProblemRow>({
    // Requests.
    {"body_invalid", 400, "The body is not what this request takes",
     "Correct the member that the detail names; /v1/openapi.json has the schema."},
    {"body_missing", 400, "This request needs a body", "Send a JSON object."},
    {"body_unexpected", 400, "This request takes no body", "Send it without a body."},
    {"configuration_invalid", 400, "The configuration has a fault, and nothing was changed",
     "Correct what the detail names; check the file with: blixard config check FILE."},
    {"configuration_no_file", 409, "The node was started without a configuration file",
     "Start it with: blixard node --config FILE."},
    {"configuration_unreadable", 503, "The configuration file cannot be read",
     "Look at the file that the detail names, and who may read it."},
    {"content_type_unsupported", 415, "The body's type is not supported",
     "Send JSON with Content-Type: application/json."},
    {"idempotency_key_invalid", 400, "The Idempotency-Key is not a UUID",
     "Send a UUID, the same one when you repeat the request, or leave the header out."},
    {"failpoint_invalid", 400, "The failpoint cannot do this",
     "Correct the actions as the detail says; docs/failpoints.md has the words and examples."},
    {"failpoint_reasons_full", 503, "No more error reasons can be made up",
     "Use reasons that were used before, or start the node again."},
    {"failpoint_unknown", 404, "There is no such failpoint",
     "List them with: blixard failpoint list."},
    {"failpoints_not_allowed", 403, "This node allows no failpoints",
     "Start it with: blixard node --allow-failpoints. Never where its VMs matter."},
    {"failpoints_not_built", 501, "This program was built without failpoints",
     "Build it with -DBLIXARD_FAILPOINTS=ON, as the presets for tests do."},
    {"method_not_allowed", 405, "This path does not take this method",
     "Use one of the methods in the Allow header."},
    {"parameter_invalid", 400, "A query parameter cannot be read",
     "Correct the parameter that the detail names."},
    {"parameter_unknown", 400, "A query parameter is unknown",
     "Leave it out; /v1/openapi.json lists the parameters of each path."},
    {"path_not_found", 404, "There is nothing at this path",
     "See /v1/openapi.json for the paths there are."},
    {"peer_refused", 403, "This user may not use the socket",
     "Connect as root or as the user the node runs as."},
    {"token_required", 401, "A bearer token is required",
     "Send Authorization: Bearer with the token from the file api.token in the node's data "
     "directory."},
    {"too_many_streams", 503, "The node has all the event streams it takes",
     "Close a stream that is not used, then try again."},
    {"trace_id_invalid", 400, "This is not the id of a trace",
     "Give its 32 lower case hex digits."},
    {"trace_not_found", 404, "No node has a span of this trace",
     "It was not sampled, or newer ones took its place; /v1/traces lists what there is."},
    {"wait_impossible", 409, "What is waited for will not come",
     "Start or stop the VM first, or wait for another state."},
    {"wait_timeout", 504, "The VM did not get there in time",
     "The request was taken and goes on; look at the VM, or wait longer with timeout=."},
    {"vm_failed", 409, "The VM failed",
     "Read the detail and the VM's logs, then start the VM again or delete it."},
    {"vm_not_here", 409, "The VM is on another node", "Ask the node that owns the VM."},
    {"console_empty", 404, "The VM has no console output yet", "Wait until the VM has started."},
    // The model.
    {"desired_invalid", 400, "A VM cannot be made to be this", "Ask for running or stopped."},
    {"image_exists", 409, "An image of this name exists",
     "Choose another name, or delete the image first."},
    {"image_in_use", 409, "A VM uses the image", "Delete the VMs that use it first."},
    {"image_invalid", 400, "The image's description is not valid",
     "Build the image again, or correct its image.json."},
    {"image_not_found", 404, "There is no such image",
     "List the images with: blixard image list; build one with: blixard image build."},
    {"name_invalid", 400, "The name is not valid",
     "Use 1 to 63 characters of a-z, 0-9 and the hyphen."},
    {"node_exists", 409, "A node of this name exists", "Give the node another name."},
    {"node_full", 507, "The node has not enough room", "Delete or shrink VMs, or add a node."},
    {"node_invalid", 400, "The node's description is not valid",
     "Update the node's program to the version of the others."},
    {"node_not_found", 404, "There is no such node", "List the nodes with: blixard node list."},
    {"port_taken", 409, "The port is published by another VM",
     "Publish another host port, or 0 to have one chosen."},
    {"report_invalid", 400, "The node's report is not valid",
     "Update the node's program to the version of the others."},
    {"request_id_reused", 409, "The Idempotency-Key was used for another request",
     "Use a new key for a new request."},
    {"spec_invalid", 400, "The VM cannot be like this", "Correct the field that the detail names."},
    {"stale_generation", 409, "The VM was placed again meanwhile", "Read the VM, then try again."},
    {"too_many_images", 507, "The cluster has all the images it takes",
     "Delete images that are not used."},
    {"too_many_nodes", 507, "The cluster has all the nodes it takes", "Remove nodes first."},
    {"too_many_vms", 507, "The cluster has all the VMs it takes", "Delete VMs first."},
    {"transition_refused", 409, "The VM cannot go there from where it is",
     "Read the VM, then decide again."},
    {"uuid_invalid", 400, "The guest's identity is not valid", "Try the request again."},
    {"uuid_taken", 409, "The guest's identity is taken", "Use a new Idempotency-Key for a new VM."},
    {"vm_being_deleted", 409, "The VM is being deleted",
     "Wait until it is gone: GET the VM with wait=deleted."},
    {"vm_exists", 409, "A VM of this name exists", "Choose another name, or delete the VM first."},
    {"vm_not_found", 404, "There is no such VM", "List the VMs with: blixard vm list."},
    {"vm_not_pending", 409, "The VM is placed already", "Read the VM, then decide again."},
    {"vm_replaced", 409, "The name belongs to another VM now", "Read the VM, then decide again."},
    // Members and tokens.
    {"last_voter", 409, "The node is the last voter that stays",
     "Add another server first, and wait until it is a voter: blixard node list."},
    {"node_has_vms", 409, "VMs are on the node",
     "Delete them first; or, if its machine is off for good, remove it with --force: its VMs are "
     "started elsewhere."},
    {"node_leaving", 409, "The node is being removed", "Use another node."},
    {"node_not_leaving", 409, "The node is not being removed",
     "Remove it with: blixard node remove."},
    {"token_exists", 409, "A token has this id already", "Try again with a new Idempotency-Key."},
    {"token_expired", 409, "The token has expired",
     "Make a new one on a server: blixard token create."},
    {"token_invalid", 400, "The token cannot be like this",
     "Correct the field that the detail names."},
    {"token_lost", 409, "The token was made and its secret is not known here",
     "Revoke it with: blixard token revoke, and create another."},
    {"token_not_found", 404, "There is no such token", "List the tokens with: blixard token list."},
    {"token_refused", 403, "The token is not accepted",
     "Make a new one on a server: blixard token create."},
    {"token_used", 409, "The token was used by another machine",
     "Make one for each machine on a server: blixard token create."},
    {"too_many_tokens", 507, "The cluster has all the tokens it takes",
     "Revoke tokens that are not used, or wait until some expire."},
    {"not_a_server", 409, "The node is a worker",
     "Use a node with role server: blixard node list."},
    {"servers_only", 403, "A worker may not do this",
     "Ask a node with role server; blixard node list shows which are."},
    {"member_unknown", 409, "The node takes no part in consensus",
     "Wait until it has joined: blixard node list."},
    {"member_exists", 409, "The node takes part already", "Read the nodes, then decide again."},
    {"not_caught_up", 409, "The node has not caught up with the log",
     "Wait until its lag is near 0: blixard node list. Servers are promoted by themselves."},
    {"too_many_voters", 409, "The cluster has all the voters it takes",
     "Remove or demote a voter first; more than 7 make every write slower and none safer."},
    {"not_a_voter", 409, "The node is not a voter", "Choose a voter: blixard node list."},
    {"change_in_progress", 409, "Another change of the members is under way",
     "Try again in a moment."},
    {"transfer_failed", 504, "The other node did not take over in time",
     "The cluster has a leader; look who: blixard status. Then try again."},
    {"removal_unfinished", 504, "The node is leaving and is not out yet",
     "The leader goes on with it; look with: blixard node list."},
    {"removed", 410, "This node is no member of the cluster any more",
     "Ask another node, with the same Idempotency-Key: it may have been carried out. To use this "
     "machine again, join it anew with an empty directory."},
    {"model_too_new", 503, "This node's program is too old for the cluster",
     "Update the program of this node."},
    {"command_invalid", 400, "The command is not valid", "Correct what the detail names."},
    // The log and the replica.
    {"command_too_large", 413, "The request is too large for the log", "Send less in one request."},
    {"log_failed", 503, "The node's log cannot be written",
     "Check the disk of the node's data directory, then start the node again."},
    {"no_leader", 503, "The cluster has no leader that is known here",
     "Wait for the election, a second or two. If it lasts, most servers are down or cut off: start "
     "them, or repair the network."},
    {"no_quorum", 504, "Most servers did not answer in time",
     "Start the servers that are down, or repair the network; ?consistency=stale reads what this "
     "node knows."},
    {"not_committed", 504, "Most servers did not confirm the change in time",
     "It may still take effect: try again with the same Idempotency-Key when most servers are up."},
    {"leadership_lost", 503, "The leader changed meanwhile",
     "It may have taken effect: try again with the same Idempotency-Key."},
    {"leader_unreachable", 503, "This node cannot reach the leader",
     "Try again with the same Idempotency-Key; check the network between the nodes."},
    {"peer_unreachable", 503, "This node cannot reach the other",
     "Try again; check the network between the nodes."},
    {"stopped", 503, "The node is stopping",
     "Try again with the same Idempotency-Key on another node."},
    {"not_leader", 503, "This node does not lead the cluster",
     "Try again with the same Idempotency-Key, or ask the leader."},
    {"too_many_reads", 503, "The node has too many reads in flight", "Try again in a moment."},
    {"not_ready", 503, "The node is not ready", "Try again in a moment."},
    {"revision_compacted", 410, "The changes after this revision are forgotten",
     "Read the lists again and go on from their revision."},
    {"stopping", 503, "The node is stopping",
     "Try again with the same Idempotency-Key when it is back."},
    {"too_many_proposals", 503, "The node has all the requests it takes",
     "Try again in a moment with the same Idempotency-Key."},
    {"cancelled", 503, "The request was cut short",
     "It may have taken effect: try again with the same Idempotency-Key."},
    {"deadline_exceeded", 504, "The request took too long",
     "It may have taken effect: try again with the same Idempotency-Key."},
    // Images on disk.
    {"disk_full", 507, "The disk is full", "Free space on the node's disk, then try again."},
    {"image_damaged", 422, "The image is damaged",
     "Build or copy the image again, then import it."},
    {"image_file_missing", 409, "The image's files are not on this node",
     "Import the image on this node."},
    {"image_format_unknown", 422, "The image has a format this program does not know",
     "Update the program, or build the image with this version's: blixard image build."},
    {"image_incomplete", 422, "A file of the image is missing",
     "Build or copy the image again, then import it."},
    {"image_json_invalid", 422, "The image's image.json is not valid",
     "Build the image again with: blixard image build."},
    {"image_json_missing", 422, "The folder holds no image",
     "Give the folder that has image.json, as the node's machine sees it."},
    {"image_path_invalid", 400, "The path cannot be used",
     "Give the absolute path of the image's folder on the node's machine."},
    {"image_too_large", 413, "The image is too large", "Make the image smaller."},
    {"out_of_memory", 503, "The node is out of memory", "Free memory on the node's machine."},
    {"permission_denied", 422, "The node may not read or write there",
     "Give the user the node runs as the right to read the path."},
    {"internal", 500, "The server failed", "Report this as a fault, with the node's log."},
});

constexpr auto kByCode = std::to_array<ProblemRow>({
    {"cancelled", 503, "The request was cut short", "Try again."},
    {"invalid_argument", 400, "The request is not valid", "Correct what the detail names."},
    {"deadline_exceeded", 504, "The request took too long",
     "It may have taken effect: look, then try again with the same Idempotency-Key."},
    {"not_found", 404, "There is no such thing", "Check the name."},
    {"already_exists", 409, "It exists already", "Choose another name."},
    {"permission_denied", 403, "This is not allowed", "Ask the operator of the node."},
    {"unauthenticated", 401, "Who asks is not known", "Send credentials."},
    {"resource_exhausted", 503, "A limit is reached", "Free something, then try again."},
    {"failed_precondition", 409, "This cannot be done in the present state",
     "Change the state first."},
    {"aborted", 409, "Something else changed it meanwhile", "Read it again, then decide."},
    {"unimplemented", 501, "This is not supported", "Do without it."},
    {"internal", 500, "The server failed", "Report this as a fault, with the node's log."},
    {"unavailable", 503, "This is not available at the moment",
     "Try again with the same Idempotency-Key."},
    {"data_loss", 500, "Data is damaged", "Check the disk of the node, and its log."},
});

const ProblemRow& row_of(Code code) {
  const auto found = std::ranges::find(kByCode, code_name(code), &ProblemRow::reason);
  return found == kByCode.end() ? kByCode[11] : *found;
}

}  // namespace

std::span<const ProblemRow> problem_rows() { return kRows; }

const ProblemRow* find_problem(std::string_view reason) {
  const auto found = std::ranges::find(kRows, reason, &ProblemRow::reason);
  return found == kRows.end() ? nullptr : &*found;
}

int status_of(Code code) { return row_of(code).status; }

http::Problem problem_of(const Error& error) {
  const ProblemRow* known = find_problem(error.reason());
  const ProblemRow& row = known != nullptr ? *known : row_of(error.code());
  return {row.status, std::string(error.reason()), std::string(row.title),
          std::string(error.detail()), std::string(row.action)};
}

http::Response error_response(const Error& error) {
  http::Response response = http::problem_response(problem_of(error));
  if (response.status == 401) {
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"blixard\""});
  }
  if (response.status == 503) response.headers.push_back({"Retry-After", "1"});
  return response;
}

}  // namespace blixard::api
