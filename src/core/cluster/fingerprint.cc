#include "core/cluster/fingerprint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <string>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "base/assert.h"
#include "base/unwritten.h"
#include "blixard/v1/cluster.pb.h"
#include "core/wire/checksum.h"

namespace blixard::cluster {

namespace {

// Nearly all are small: those need no memory.
constexpr std::size_t kStackBytes = 4096;

// Takes out the fields of these numbers and returns how many bytes are left: what `bytes` would be
// without them, since a message is its fields one behind the other.
std::size_t take_out(char* bytes, std::size_t size, std::initializer_list<int> fields) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes),
                                            static_cast<int>(size));
  std::size_t kept = 0;
  for (std::size_t at = 0; at < size;) {
    const std::uint32_t tag = in.ReadTag();
    BLX_ASSERT(tag != 0 && WireFormatLite::SkipField(&in, tag));
    const auto next = static_cast<std::size_t>(in.CurrentPosition());
    if (std::ranges::find(fields, WireFormatLite::GetTagFieldNumber(tag)) == fields.end()) {
      // Never ahead of the reader.
      std::memmove(bytes + kept, bytes + at, next - at);
      kept += next - at;
    }
    at = next;
  }
  return kept;
}

std::uint64_t fingerprint_of(const google::protobuf::MessageLite& content,
                             v1::Command::KindCase kind, std::initializer_list<int> without = {}) {
  const std::size_t bytes = content.ByteSizeLong();
  std::array<char, kStackBytes> small;
  std::string large;
  if (bytes > small.size()) resize_unwritten(large, bytes);
  char* at = bytes > small.size() ? large.data() : small.data();
  {
    google::protobuf::io::ArrayOutputStream sink(at, static_cast<int>(bytes));
    google::protobuf::io::CodedOutputStream out(&sink);
    out.SetSerializationDeterministic(true);
    content.SerializeWithCachedSizes(&out);
    BLX_ASSERT(!out.HadError());
  }
  const std::size_t left = without.size() == 0 ? bytes : take_out(at, bytes, without);
  return wire::checksum({at, left}, static_cast<std::uint64_t>(kind));
}

}  // namespace

std::uint64_t fingerprint(const v1::Command& command) {
  const auto kind = command.kind_case();
  switch (kind) {
    case v1::Command::kRegisterNode:
      return fingerprint_of(command.register_node(), kind);
    case v1::Command::kCreateVm:
      return fingerprint_of(command.create_vm(), kind, {v1::CreateVm::kUuidFieldNumber});
    case v1::Command::kSetDesired:
      return fingerprint_of(command.set_desired(), kind);
    case v1::Command::kPlaceVm:
      return fingerprint_of(command.place_vm(), kind);
    case v1::Command::kExplainPending:
      return fingerprint_of(command.explain_pending(), kind);
    case v1::Command::kReportVms:
      return fingerprint_of(command.report_vms(), kind);
    case v1::Command::kAddImage:
      return fingerprint_of(command.add_image(), kind);
    case v1::Command::kRemoveImage:
      return fingerprint_of(command.remove_image(), kind);
    case v1::Command::kCreateToken:
      return fingerprint_of(
          command.create_token(), kind,
          {v1::CreateToken::kTokenIdFieldNumber, v1::CreateToken::kSecretHashFieldNumber});
    case v1::Command::kRevokeToken:
      return fingerprint_of(command.revoke_token(), kind);
    case v1::Command::kEnrolNode:
      return fingerprint_of(command.enrol_node(), kind);
    case v1::Command::kRemoveNode:
      return fingerprint_of(command.remove_node(), kind);
    case v1::Command::kDropNode:
      return fingerprint_of(command.drop_node(), kind);
    case v1::Command::kUpdateNodeAddress:
      return fingerprint_of(command.update_node_address(), kind);
    case v1::Command::kPlaceGang:
      return fingerprint_of(command.place_gang(), kind);
    case v1::Command::kEvictVm:
      return fingerprint_of(command.evict_vm(), kind);
    case v1::Command::kUpdateNode:
      return fingerprint_of(command.update_node(), kind);
    case v1::Command::kDrainNode:
      return fingerprint_of(command.drain_node(), kind);
    case v1::Command::kEndDrain:
      return fingerprint_of(command.end_drain(), kind);
    case v1::Command::kSetPolicy:
      return fingerprint_of(command.set_policy(), kind);
    case v1::Command::kSetGroup:
      return fingerprint_of(command.set_group(), kind);
    case v1::Command::kRemoveGroup:
      return fingerprint_of(command.remove_group(), kind);
    case v1::Command::kSetTenant:
      return fingerprint_of(command.set_tenant(), kind);
    case v1::Command::kRemoveTenant:
      return fingerprint_of(command.remove_tenant(), kind);
    case v1::Command::kSetReservation:
      return fingerprint_of(command.set_reservation(), kind);
    case v1::Command::kRemoveReservation:
      return fingerprint_of(command.remove_reservation(), kind);
    case v1::Command::kTakeSnapshot:
      return fingerprint_of(command.take_snapshot(), kind);
    case v1::Command::kRestoreSnapshot:
      return fingerprint_of(command.restore_snapshot(), kind);
    case v1::Command::kDeleteSnapshot:
      return fingerprint_of(command.delete_snapshot(), kind);
    case v1::Command::KIND_NOT_SET:
      break;
  }
  return 0;
}

}  // namespace blixard::cluster
