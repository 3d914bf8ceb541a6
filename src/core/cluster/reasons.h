#pragma once

// Every word apply() can refuse a command with.
//
// An Error holds its reason as a string literal, and answers to earlier requests are read back from
// snapshots: this table is where a text becomes a literal again. So it only grows, and a new word
// raises kModelVersion.

#include <string_view>

namespace blixard::cluster {

namespace reason {

inline constexpr char kDesiredInvalid[] = "desired_invalid";
inline constexpr char kDrainInvalid[] = "drain_invalid";
inline constexpr char kDrainNotFound[] = "drain_not_found";
inline constexpr char kEvictionInvalid[] = "eviction_invalid";
inline constexpr char kGroupCycle[] = "group_cycle";
inline constexpr char kGroupInUse[] = "group_in_use";
inline constexpr char kGroupInvalid[] = "group_invalid";
inline constexpr char kGroupNotFound[] = "group_not_found";
inline constexpr char kGroupRule[] = "group_rule";
inline constexpr char kImageExists[] = "image_exists";
inline constexpr char kImageInUse[] = "image_in_use";
inline constexpr char kImageInvalid[] = "image_invalid";
inline constexpr char kImageNotFound[] = "image_not_found";
inline constexpr char kLastVoter[] = "last_voter";
inline constexpr char kNameInvalid[] = "name_invalid";
inline constexpr char kNoSnapshot[] = "no_snapshot";
inline constexpr char kNodeChanged[] = "node_changed";
inline constexpr char kNodeClosed[] = "node_closed";
inline constexpr char kNodeExists[] = "node_exists";
inline constexpr char kNodeFull[] = "node_full";
inline constexpr char kNodeHasVms[] = "node_has_vms";
inline constexpr char kNodeHoldsSaved[] = "node_holds_saved";
inline constexpr char kNodeInvalid[] = "node_invalid";
inline constexpr char kNodeLeaving[] = "node_leaving";
inline constexpr char kNodeNotFound[] = "node_not_found";
inline constexpr char kNodeNotLeaving[] = "node_not_leaving";
inline constexpr char kNodeTainted[] = "node_tainted";
inline constexpr char kPlacementInvalid[] = "placement_invalid";
inline constexpr char kPolicyInvalid[] = "policy_invalid";
inline constexpr char kPortTaken[] = "port_taken";
inline constexpr char kPreemptionBudget[] = "preemption_budget";
inline constexpr char kPreemptionRefused[] = "preemption_refused";
inline constexpr char kQueueFull[] = "queue_full";
inline constexpr char kQuotaExceeded[] = "quota_exceeded";
inline constexpr char kRateExceeded[] = "rate_exceeded";
inline constexpr char kReportInvalid[] = "report_invalid";
inline constexpr char kRequestIdReused[] = "request_id_reused";
inline constexpr char kReservationExists[] = "reservation_exists";
inline constexpr char kReservationInvalid[] = "reservation_invalid";
inline constexpr char kReservationNotExpired[] = "reservation_not_expired";
inline constexpr char kReservationNotFound[] = "reservation_not_found";
inline constexpr char kSavedGuestUsed[] = "saved_guest_used";
inline constexpr char kSavedUnfit[] = "saved_unfit";
inline constexpr char kSnapshotInUse[] = "snapshot_in_use";
inline constexpr char kSpecInvalid[] = "spec_invalid";
inline constexpr char kStaleGeneration[] = "stale_generation";
inline constexpr char kTenantInvalid[] = "tenant_invalid";
inline constexpr char kTenantNotFound[] = "tenant_not_found";
inline constexpr char kTokenExists[] = "token_exists";
inline constexpr char kTokenExpired[] = "token_expired";
inline constexpr char kTokenInvalid[] = "token_invalid";
inline constexpr char kTokenNotFound[] = "token_not_found";
inline constexpr char kTokenRefused[] = "token_refused";
inline constexpr char kTokenUsed[] = "token_used";
inline constexpr char kTooManyGroups[] = "too_many_groups";
inline constexpr char kTooManyImages[] = "too_many_images";
inline constexpr char kTooManyNodes[] = "too_many_nodes";
inline constexpr char kTooManyReservations[] = "too_many_reservations";
inline constexpr char kTooManyTenants[] = "too_many_tenants";
inline constexpr char kTooManyTokens[] = "too_many_tokens";
inline constexpr char kTooManyVms[] = "too_many_vms";
inline constexpr char kTransitionRefused[] = "transition_refused";
inline constexpr char kUuidInvalid[] = "uuid_invalid";
inline constexpr char kUuidTaken[] = "uuid_taken";
inline constexpr char kVmBeingDeleted[] = "vm_being_deleted";
inline constexpr char kVmBusy[] = "vm_busy";
inline constexpr char kVmEvicting[] = "vm_evicting";
inline constexpr char kVmExists[] = "vm_exists";
inline constexpr char kVmLost[] = "vm_lost";
inline constexpr char kVmNotFound[] = "vm_not_found";
inline constexpr char kVmNotPending[] = "vm_not_pending";
inline constexpr char kVmNotPlaced[] = "vm_not_placed";
inline constexpr char kVmNotRunning[] = "vm_not_running";
inline constexpr char kVmReplaced[] = "vm_replaced";

}  // namespace reason

// The literal of that text; null if it is none of ours.
const char* known_reason(std::string_view text);

}  // namespace blixard::cluster
