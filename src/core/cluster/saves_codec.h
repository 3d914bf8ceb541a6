#pragma once

// Saved guests <-> messages of the schema, by the rules of codec.h.

#include "base/ids.h"
#include "base/result.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/model.h"

namespace blixard::cluster {

// As its holder reports it, which is not said again. Errors: kInvalidArgument "report_invalid".
Result<SavedGuest> read_saved(const v1::SavedGuest& guest, NodeId holder, Generation generation);
void write_saved(const SavedGuest& saved, v1::SavedGuest* out);

// Errors: kDataLoss "snapshot_invalid" with the field.
Result<Saves> read_saves(const v1::SavesRecord& record);
void write_saves(const Saves& saves, v1::SavesRecord* out);

}  // namespace blixard::cluster
