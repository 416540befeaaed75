// SPDX-License-Identifier: Apache-2.0
// The options of the front end for GraphPipe.
#pragma once

#include <span>
#include <string>

#include "base/options/option_row.h"

namespace penstock::graphpipe {

// Each default is that of the flag. Plain data.
struct GraphPipeOptions {
  // The model of the path "/". Empty: the only model that is served.
  std::string default_model = {};
  // Errors are messages of GraphPipe, with the HTTP status 200.
  bool in_band_errors = false;
  // Outputs, separated by commas, that an answer has only if the request names them.
  std::string named_outputs = {};

  // No flags set these.
  std::string server_version = {};
  // What the paths of --graphpipe_port begin with (net::ListenOptions). Empty: there is no such
  // port.
  std::string own_paths = {};
};

std::span<const OptionRow> GraphPipeOptionRows();

}  // namespace penstock::graphpipe
