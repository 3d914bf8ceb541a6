#include "core/cluster/saves_codec.h"

#include "base/limits.h"
#include "core/cluster/codec.h"
#include "core/cluster/reasons.h"
#include "core/cluster/text.h"

namespace blixard::cluster {

namespace {

std::unexpected<Error> invalid_record(std::string field) {
  return fail(Code::kDataLoss, "snapshot_invalid", std::move(field));
}

Result<SavedGuest> read_record(const v1::SavedGuestRecord& record) {
  auto saved =
      read_saved(record.guest(), NodeId(record.holder_node_id()), Generation(record.generation()));
  if (!saved) return invalid_record("vm: " + saved.error().message());
  if (!saved->holder || !saved->generation) return invalid_record("vm: saved: of nobody");
  return saved;
}

void write_record(const SavedGuest& saved, v1::SavedGuestRecord* out) {
  write_saved(saved, out->mutable_guest());
  out->set_holder_node_id(saved.holder.value);
  out->set_generation(saved.generation.value);
}

}  // namespace

Result<SavedGuest> read_saved(const v1::SavedGuest& guest, NodeId holder, Generation generation) {
  const auto digest = read_digest(guest.digest());
  if (!digest) return fail(Code::kInvalidArgument, reason::kReportInvalid, "saved: digest");
  SavedGuest saved{.digest = *digest,
                   .size = Bytes(guest.bytes()),
                   .holder = holder,
                   .generation = generation,
                   .accelerator = guest.accelerator(),
                   .hypervisor_version = guest.hypervisor_version(),
                   .tsc_khz = guest.tsc_khz(),
                   .saved = WallTime{guest.saved_unix_ms()}};
  BLX_TRY(check_saved(saved));
  return saved;
}

void write_saved(const SavedGuest& saved, v1::SavedGuest* out) {
  out->set_digest(write_digest(saved.digest));
  out->set_bytes(saved.size.value);
  out->set_accelerator(saved.accelerator);
  out->set_hypervisor_version(saved.hypervisor_version);
  out->set_tsc_khz(saved.tsc_khz);
  out->set_saved_unix_ms(saved.saved.unix_ms);
}

Result<Saves> read_saves(const v1::SavesRecord& record) {
  Saves saves{.used_by = Generation(record.used_by()),
              .snapshots_asked = record.snapshots_asked(),
              .snapshots_done = record.snapshots_done(),
              .snapshot_error = record.snapshot_error()};
  if (record.has_resume_from()) {
    BLX_TRY(saves.resume_from, read_record(record.resume_from()));
  }
  if (record.has_snapshot()) {
    BLX_TRY(saves.snapshot, read_record(record.snapshot()));
  }
  if (saves.used_by && !saves.resume_from) return invalid_record("vm: saves: nothing is used");
  if (saves.snapshots_done > saves.snapshots_asked) return invalid_record("vm: snapshots");
  if (!is_bounded_text(saves.snapshot_error, limits::kReasonBytes)) {
    return invalid_record("vm: snapshot_error");
  }
  return saves;
}

void write_saves(const Saves& saves, v1::SavesRecord* out) {
  if (saves.resume_from) write_record(*saves.resume_from, out->mutable_resume_from());
  out->set_used_by(saves.used_by.value);
  if (saves.snapshot) write_record(*saves.snapshot, out->mutable_snapshot());
  out->set_snapshots_asked(saves.snapshots_asked);
  out->set_snapshots_done(saves.snapshots_done);
  out->set_snapshot_error(saves.snapshot_error);
}

}  // namespace blixard::cluster
