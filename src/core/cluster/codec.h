#pragma once

// Values of the model <-> messages of the schema (proto/blixard/v1/cluster.proto).
//
// Reading checks form and bounds, so that whatever comes out may enter the model; what depends on
// the state (does the image exist?) is for apply and for State::decode. Writing is total.

#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "blixard/v1/cluster.pb.h"
#include "core/cluster/model.h"
#include "core/cluster/requests.h"

namespace blixard::cluster {

std::optional<VmState> read_state(v1::VmState state);
std::optional<VmDesired> read_desired(v1::VmDesired desired);
std::optional<NodeRole> read_role(v1::NodeRole role);
// 32 bytes, as they are.
std::optional<Digest> read_digest(std::string_view bytes);
// 16 bytes, as they are.
std::optional<Uuid> read_uuid(std::string_view bytes);
// Errors: kInvalidArgument "spec_invalid", "placement_invalid".
Result<VmSpec> read_spec(const v1::VmSpec& spec);
// Errors: kInvalidArgument "report_invalid".
Result<std::vector<PublishedPort>> read_published(
    const google::protobuf::RepeatedPtrField<v1::PublishedPort>& ports);
// The node as it describes itself, without what others say of it. With `version`, the command's,
// without what came with later ones. Errors: kInvalidArgument "node_invalid",
// "name_invalid".
Result<Node> read_registration(const v1::RegisterNode& command, std::uint32_t version);
void write_registration(const Node& node, v1::RegisterNode* out);
// Files come out by name. Errors: kInvalidArgument "image_invalid".
Result<std::vector<ImageFile>> read_files(
    const google::protobuf::RepeatedPtrField<v1::ImageFile>& files);

v1::VmState write_state(VmState state);
v1::VmDesired write_desired(VmDesired desired);
v1::NodeRole write_role(NodeRole role);
std::string write_digest(const Digest& digest);
std::string write_uuid(const Uuid& uuid);
void write_spec(const VmSpec& spec, v1::VmSpec* out);
void write_published(const std::vector<PublishedPort>& ports,
                     google::protobuf::RepeatedPtrField<v1::PublishedPort>* out);

// Records of a snapshot. Errors: kDataLoss "snapshot_invalid" with the field.
// Errors: kInvalidArgument "report_invalid".
Result<VmStart> read_start(const v1::VmStartRecord& start);
Result<Vm> read_vm(const v1::VmRecord& record);
Result<Node> read_node(const v1::NodeRecord& record);
Result<Image> read_image(const v1::ImageRecord& record);
Result<Answer> read_answer(const v1::RequestRecord& record);
Result<Token> read_token(const v1::TokenRecord& record);
Result<raft::ConfState> read_configuration(const v1::ConfigurationRecord& record);

void write_start(const VmStart& start, v1::VmStartRecord* out);
void write_vm(const Vm& vm, v1::VmRecord* out);
void write_node(const Node& node, v1::NodeRecord* out);
void write_image(const Image& image, v1::ImageRecord* out);
void write_answer(const Answer& answer, v1::RequestRecord* out);
void write_token(const Token& token, v1::TokenRecord* out);
void write_configuration(const raft::ConfState& configuration, v1::ConfigurationRecord* out);

}  // namespace blixard::cluster
