#include "node/declared_metrics.h"

#include "node/api/api.h"
#include "node/saved/store.h"
#include "node/telemetry/program.h"
#include "node/telemetry/sources.h"
#include "node/template/store.h"
#include "node/tracing.h"

namespace blixard::node {

void declare_metrics(observe::Metrics& metrics) {
  telemetry::Telemetry telemetry(metrics);
  telemetry::register_sources(metrics, telemetry, static_cast<const replica::Replica*>(nullptr));
  telemetry::register_sources(metrics, static_cast<const peer::Peers*>(nullptr));
  telemetry::register_program(metrics, nullptr);
  templates::Store::register_metrics(metrics, nullptr);
  saved::Store::register_metrics(metrics, nullptr);
  api::Api::register_metrics(metrics, nullptr);
  Tracing::register_metrics(metrics, nullptr);
}

}  // namespace blixard::node
