#include "app/alert_rules.h"

#include <array>

namespace blixard::app {
namespace {

constexpr auto kRules = std::to_array<AlertRule>({
    // The cluster.
    {"BlixardNodeDown", "up{job=\"blixard\"} == 0", "1m", "critical",
     "{{ $labels.instance }} does not answer",
     "Its daemon ended, or the machine cannot be reached."},
    {"BlixardUnhealthyNodes", "max(blixard_cluster_members{state=\"silent\"}) > 0", "1m", "warning",
     "The leader does not hear {{ $value }} nodes",
     "blixard cluster status says which ones. Their VMs are not managed meanwhile."},
    {"BlixardFewServers", "max(blixard_cluster_nodes{role=\"server\"}) < 3", "10m", "warning",
     "The cluster has {{ $value }} servers",
     "With fewer than three servers it does not survive the loss of one."},
    {"BlixardNoLeader", "max(blixard_raft_role{role=\"leader\"}) < 1", "1m", "critical",
     "No node leads", "Nothing can be changed: too few servers hear each other."},
    {"BlixardRestarts", "changes(process_start_time_seconds{job=\"blixard\"}[15m]) > 2", "0m",
     "critical", "{{ $labels.instance }} is started again and again",
     "Its journal says why; a disk that fails ends the daemon, so that nothing is acknowledged "
     "that was not synced."},
    {"BlixardLeaderChanges", "max(increase(blixard_raft_leader_changes_total[15m])) > 5", "0m",
     "warning", "The leader changes often", "Look at the network and at slow disks."},
    {"BlixardProposalFailures",
     "sum(rate(blixard_raft_proposals_failed_total{reason!~\"refused|invalid|not_allowed\"}[5m]))"
     " / sum(rate(blixard_raft_proposals_total[5m])) > 0.1",
     "5m", "critical", "{{ $value | humanizePercentage }} of all commands fail",
     "blixard_raft_proposals_failed_total says why."},
    {"BlixardApplyLag", "blixard_raft_commit_index - blixard_raft_applied_index > 1000", "2m",
     "warning", "{{ $labels.instance }} is {{ $value }} entries behind what is committed",
     "It applies more slowly than the cluster commits."},
    // The log.
    {"BlixardDiskFull", "increase(blixard_log_writes_total{outcome=\"refused\"}[5m]) > 0", "1m",
     "critical", "The disk of {{ $labels.instance }} is full", "Its log takes nothing any more."},
    {"BlixardLogSlow",
     "histogram_quantile(0.99, sum by (instance, le) "
     "(rate(blixard_log_write_duration_seconds_bucket[5m]))) > 0.25",
     "10m", "warning", "Writing the log of {{ $labels.instance }} takes {{ $value }} s",
     "At the 99th percentile. Every change waits for a quorum of disks."},
    // Nodes.
    // The leader tells of all nodes, and each node of itself.
    {"BlixardNodeCpuFull", "max by (node) (blixard_node_used_vcpus / blixard_node_vcpus) > 0.9",
     "10m", "warning",
     "Node {{ $labels.node }} has {{ $value | humanizePercentage }} of its vCPUs promised", ""},
    {"BlixardNodeMemoryFull",
     "max by (node) (blixard_node_used_memory_bytes / blixard_node_memory_bytes) > 0.9", "10m",
     "warning",
     "Node {{ $labels.node }} has {{ $value | humanizePercentage }} of its memory promised", ""},
    {"BlixardClusterFull",
     "sum by (instance) (blixard_node_used_memory_bytes)"
     " / sum by (instance) (blixard_node_memory_bytes) > 0.9"
     " and on (instance) blixard_raft_role{role=\"leader\"} == 1",
     "10m", "critical", "{{ $value | humanizePercentage }} of all memory is promised",
     "Soon no VM can be placed."},
    // VMs.
    {"BlixardVmFailures", "sum(rate(blixard_vm_guest_ends_total{how=\"failed\"}[10m])) > 0.05",
     "10m", "warning", "Guests fail, {{ $value }} of them a second",
     "blixard vm list says which and why."},
    {"BlixardVmBootFailures",
     "sum(rate(blixard_vm_operations_total{operation=\"boot\",outcome!=\"ok\"}[10m]))"
     " / sum(rate(blixard_vm_operations_total{operation=\"boot\"}[10m])) > 0.2",
     "10m", "warning", "{{ $value | humanizePercentage }} of all boots fail", ""},
    {"BlixardVmHealthFailures",
     "sum(rate(blixard_vm_health_checks_total{outcome!=\"ok\"}[10m]))"
     " / sum(rate(blixard_vm_health_checks_total[10m])) > 0.2",
     "10m", "warning", "{{ $value | humanizePercentage }} of all guests do not answer", ""},
    {"BlixardVmRestarts", "sum by (instance) (rate(blixard_vm_restarts_total[15m])) > 0.02", "15m",
     "warning", "{{ $labels.instance }} restarts guests again and again",
     "What ended them is in their state: blixard vm list."},
    {"BlixardPlacementFailures",
     "sum(rate(blixard_vm_placement_attempts_total{outcome!=\"placed\"}[10m]))"
     " / sum(rate(blixard_vm_placement_attempts_total[10m])) > 0.2",
     "2m", "warning", "{{ $value | humanizePercentage }} of all placements fail",
     "Each VM that waits says why."},
    {"BlixardVmsWaiting", "max(blixard_vms{state=\"pending\"}) > 0", "15m", "warning",
     "{{ $value }} VMs wait for a node", "Each says why: blixard vm list."},
    // The API.
    {"BlixardHttpErrors",
     "sum(rate(blixard_http_requests_total{status=\"5xx\"}[5m]))"
     " / sum(rate(blixard_http_requests_total[5m])) > 0.05",
     "5m", "warning", "{{ $value | humanizePercentage }} of all requests fail", ""},
    {"BlixardCommandsSlow",
     "histogram_quantile(0.99, sum by (le) "
     "(rate(blixard_raft_proposal_duration_seconds_bucket[5m]))) > 1",
     "10m", "warning", "Commands take {{ $value }} s", "At the 99th percentile."},
    // Connections.
    {"BlixardReconnectStorm", "sum by (instance) (rate(blixard_peer_reconnects_total[5m])) > 0.1",
     "5m", "warning", "{{ $labels.instance }} loses its connections to other nodes", ""},
    {"BlixardPeerFramesDropped",
     "sum by (instance) (rate(blixard_peer_dropped_frames_total[5m])) > 50", "5m", "warning",
     "{{ $labels.instance }} cannot send to other nodes", ""},
    {"BlixardPeerViolations", "increase(blixard_peer_violations_total[10m]) > 0", "0m", "warning",
     "{{ $labels.instance }} was sent frames that are damaged or not allowed",
     "A node of another version, or one that lies."},
    // Images.
    {"BlixardImageImportFailures",
     "increase(blixard_image_imports_total{outcome=\"failed\"}[15m]) > 0", "0m", "warning",
     "An image could not be imported on {{ $labels.instance }}", ""},
});

}  // namespace

std::span<const AlertRule> alert_rules() { return kRules; }

}  // namespace blixard::app
