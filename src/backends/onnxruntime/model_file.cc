// SPDX-License-Identifier: Apache-2.0
#include "model_file.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "penstock/backend.hpp"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

constexpr std::string_view kPreferred[] = {"model.onnx", "model.ort"};

std::string FindIn(const std::string& folder) {
  DIR* const entries = opendir(folder.c_str());
  if (entries == nullptr) throw Error(PENSTOCK_NOT_FOUND, "cannot read the folder " + folder);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    const bool fits = name.ends_with(".onnx") || name.ends_with(".ort");
    if (fits && name.front() != '.') names.emplace_back(name);
  }
  closedir(entries);
  for (const std::string_view name : kPreferred) {
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return folder + "/" + std::string(name);
    }
  }
  if (names.empty()) {
    throw Error(PENSTOCK_NOT_FOUND, "the folder " + folder + " holds no .onnx or .ort file");
  }
  if (names.size() > 1) {
    throw Error(PENSTOCK_INVALID_ARGUMENT,
                "the folder holds " + std::to_string(names.size()) +
                    " .onnx and .ort files; call the one to serve model.onnx or model.ort");
  }
  return folder + "/" + names.front();
}

}  // namespace

std::string FindModelFile(const std::string& folder) {
  std::string file = FindIn(folder);
  struct stat info = {};
  if (stat(file.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    file = FindIn(file);
    if (stat(file.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      throw Error(PENSTOCK_INVALID_ARGUMENT, file + " is a folder in a folder of that kind");
    }
  }
  if (stat(file.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    throw Error(PENSTOCK_INVALID_ARGUMENT, file + " is no regular file");
  }
  return file;
}

}  // namespace penstock::onnxruntime
