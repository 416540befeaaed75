// SPDX-License-Identifier: Apache-2.0
// The command line of `penstock graphpipe`: that of GraphPipe's servers, graphpipe-tf and
// graphpipe-onnx, with the environment variables that they read.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/options/option_table.h"
#include "base/status.h"

namespace penstock {

// What the flags and the variables say. Plain data.
struct GraphPipeFlags {
  // A file, a folder or a URL. Empty: the model is a pair of Caffe2 nets.
  std::string model;
  // Tensors of a TensorFlow graph, separated by commas. Empty: they are found in the graph.
  std::string inputs, outputs;
  // Further outputs, which an answer has only if the request names them.
  std::string more_outputs;
  // The files of a Caffe2 model, or their URLs. Empty if there is a `model`.
  std::string init_net, predict_net, value_inputs;
  std::string listen = "127.0.0.1:9000";
  std::string cache_dir = "~/.graphpipe";
  bool cache = false;
  int64_t engine_count = 0;  // runs at the same time; 0: as many as the server likes
  int64_t download_bytes_max = int64_t{8} << 30;
  int64_t download_seconds_max = 600;
  bool verbose = false;
  bool disable_cuda = false;
  std::string profile;
  bool help = false;
  bool version = false;
  std::vector<std::string> serve_flags;  // those of `penstock serve`, as they were given
  std::vector<std::string> warnings;     // what has no effect, and what to use instead

  bool names_tensors() const {
    return !inputs.empty() || !outputs.empty() || !more_outputs.empty();
  }
};

// Environment variables by name: HOME, and all whose names begin with GP_.
using GraphPipeVariables = std::map<std::string, std::string>;

// Parses the flags as GraphPipe's servers do: --name value, --name=value, -n value, and -cv for two
// short ones; "-" and "_" in names are the same. Variables count less than flags. A flag of
// `penstock serve` goes to serve_flags. Errors: INVALID_ARGUMENT, with what would be right.
StatusOr<GraphPipeFlags> ParseGraphPipeFlags(std::span<const std::string> arguments,
                                             const GraphPipeVariables& environment,
                                             const OptionTable& table);

// The flags of `penstock serve` that mean the same. `config_file` configures the model.
// INVALID_ARGUMENT if --listen is no address.
StatusOr<std::vector<std::string>> ServeFlagsFor(const GraphPipeFlags& flags,
                                                 const std::string& config_file);

// The text of `penstock graphpipe --help`.
std::string_view GraphPipeUsage();

}  // namespace penstock
