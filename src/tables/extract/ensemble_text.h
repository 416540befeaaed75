// SPDX-License-Identifier: Apache-2.0
// The model_config_file of a model that was cut in two.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::tables {

// One look-up of the ensemble.
struct LookupStep {
  std::string model;
  std::string keys;  // the input of the ensemble
  std::string rows;  // the input of the rest
};

struct EnsembleText {
  std::string name;    // of the ensemble
  std::string rest;    // the model with all other nodes
  std::string folder;  // has a folder for each model
  uint64_t version = 1;
  std::vector<std::string> tables;  // models
  std::vector<LookupStep> lookups;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

// The text of the file.
std::string MakeEnsembleText(const EnsembleText& ensemble);

}  // namespace penstock::tables
