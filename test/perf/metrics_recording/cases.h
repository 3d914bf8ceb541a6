#pragma once

#include "test/perf/report/report.h"

namespace blixard::perf {

void add_instrument_cases(Report& report);  // counters, gauges, histograms; by threads
void add_product_cases(Report& report);     // the five functions of node/telemetry
void add_page_cases(Report& report);        // what is told to who asks

}  // namespace blixard::perf
