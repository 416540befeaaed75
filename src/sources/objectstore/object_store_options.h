// SPDX-License-Identifier: Apache-2.0
// The options of the source for object stores, and their flags.
#pragma once

#include <span>
#include <string>

#include "base/clock.h"
#include "base/options/option_row.h"
#include "core/model_source.h"
#include "s3/s3_client.h"
#include "sources/objectstore/scan_turns.h"

namespace penstock {

// The options of an ObjectStoreSource, for all models together.
struct ObjectStoreSourceOptions {
  Duration poll_period = std::chrono::seconds(30);  // 0: one scan after each SetModels
  // A version is complete when none of its objects has changed for this time.
  Duration settle_time = std::chrono::seconds(1);
  // When a base path has no version left, keep the last versions, as if the bucket could not be
  // read.
  bool keeps_last_versions = false;
  std::string cache_folder;
  S3ClientOptions client;
  ScanTurnOptions turns;
  core::MemoryEstimator estimate = nullptr;  // for versions that are not downloaded yet
};

// The flags of this source, for app/builtins.cc. Static storage.
std::span<const OptionRow> ObjectStoreOptionRows();

}  // namespace penstock
