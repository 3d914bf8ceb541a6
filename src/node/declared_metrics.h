#pragma once

// All metrics that a node has, declared without a node: for documents, dashboards and alerts, which
// are generated, so that no name in them can drift from the program's.

#include "observe/metrics.h"

namespace blixard::node {

void declare_metrics(observe::Metrics& metrics);

}  // namespace blixard::node
