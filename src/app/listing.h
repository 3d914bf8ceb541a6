#pragma once

// Answers of the API as tables for people.

#include <string>

#include <boost/json/value.hpp>

#include "base/units.h"

namespace blixard::app {

// "8080:80,..." of a VM; "3 running, 1 pending" of a cluster's status.
std::string published_text(const boost::json::value& vm);
std::string counts_text(const boost::json::value& status);
// "63 MiB on n1, saved 2026-01-31T08:05:00.250Z" of a saved guest; what there is of a VM's
// snapshots.
std::string saved_text(const boost::json::value& saved);
std::string snapshot_text(const boost::json::value& snapshot);

// Ages are up to `now`.
std::string vms_table(const boost::json::value& answer, WallTime now);
std::string images_table(const boost::json::value& answer);
std::string tokens_table(const boost::json::value& answer);
std::string failpoints_table(const boost::json::value& answer);
// Two views of the same nodes: what they have for VMs, and what they are to the cluster.
std::string nodes_table(const boost::json::value& answer, const boost::json::value& cluster);

}  // namespace blixard::app
