#pragma once

// Where the packaged reference keeps what it is judged by, and what to say where it is absent.

#include <string>

namespace blixard::raft {

inline const std::string kReference = "/usr/share/gocode/src/go.etcd.io/etcd/raft";
inline constexpr const char* kReferenceAbsent =
    "SKIPPED: the reference is absent, install golang-etcd-server-dev and golang-go (./do setup)";

}  // namespace blixard::raft
