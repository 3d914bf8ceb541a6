// What it costs to record a metric: our instruments and the product's five functions, beside
// prometheus-cpp and the two styles of the original, which brought owned labels with each point.

#include "test/perf/metrics_recording/cases.h"

int main(int argc, char** argv) {
  blixard::perf::Report report("metrics_recording");
  blixard::perf::add_instrument_cases(report);
  blixard::perf::add_product_cases(report);
  blixard::perf::add_page_cases(report);
  return report.main(argc, argv);
}
