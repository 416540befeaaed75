// SPDX-License-Identifier: Apache-2.0
#include "tf_operations.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "penstock/backend.hpp"

namespace penstock::tensorflow {
namespace {

namespace fs = std::filesystem;
using plugin::Error;

// The libraries that `path` stands for.
std::vector<fs::path> Libraries(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() == ".so") found.push_back(entry.path());
  }
  if (found.empty()) {
    throw Error(PENSTOCK_FAILED_PRECONDITION,
                "the folder " + path.native() + " has no library of operations (*.so)");
  }
  // A folder lists its files in any order. A fixed order makes an error repeatable.
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

void LoadOperations(const TfApi& api, std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    // A name without a slash would be looked for in the system's folders.
    const fs::path path = fs::absolute(list.substr(0, comma));
    for (const fs::path& library : comma == 0 ? std::vector<fs::path>() : Libraries(path)) {
      CallStatus status(api);
      api.LoadLibrary(library.c_str(), status.get());
      if (!status.ok()) {
        throw Error(PENSTOCK_FAILED_PRECONDITION,
                    "cannot load the operations of " + library.native() + ": " +
                        api.Message(status.get()) + " (this is TensorFlow " + api.Version() + ")");
      }
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

}  // namespace penstock::tensorflow
