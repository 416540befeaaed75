// SPDX-License-Identifier: Apache-2.0
// What the metrics say about the scheduler.
#pragma once

#include "base/metrics/metrics.h"
#include "schedule/scheduler.h"

namespace penstock::schedule {

// Adds the gauges of the compute slots and of the models' queues. Both must live as long as the
// server.
void AddSchedulerMetrics(MetricsRegistry& metrics, const Scheduler& scheduler);

}  // namespace penstock::schedule
