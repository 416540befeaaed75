// SPDX-License-Identifier: Apache-2.0
// The sources that the tests of this folder use: built-in models and folders.
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "backends/builtin/builtin_models.h"
#include "models/model_set.h"
#include "remote/remote_source.h"
#include "sources/directory/directory_source.h"
#include "sources/ensemble/ensemble_source.h"
#include "sources/fixed/fixed_source.h"

namespace penstock {

// A SourcesFactory. There is no object store, which would need a server.
inline Sources MakeTestSources(const SourceDependencies& with) {
  DirectorySourceOptions folders;
  folders.settling.settle_time = std::chrono::milliseconds(with.settings.version_settle_ms);
  folders.keeps_last_versions = with.settings.servable_versions_always_present;
  Sources sources;
  sources.push_back(
      std::make_unique<FixedSource>("a built-in model", IsBuiltinPath, with.make_loader));
  sources.push_back(std::make_unique<EnsembleSource>(with.manager, with.make_loader));
  sources.push_back(std::make_unique<remote::RemoteSource>(with.remote_watches, with.make_loader));
  sources.push_back(std::make_unique<DirectorySource>(folders, with.make_loader));
  return sources;
}

}  // namespace penstock
