// SPDX-License-Identifier: Apache-2.0
// The version of the program.
#pragma once

#include <string>

namespace penstock {

// The version, as "0.1.0".
std::string VersionText();
// The output of tensorflow_model_server --version, for --compat: a line for the server, which names
// the real program, and a line for TensorFlow.
std::string TfsVersionText();

}  // namespace penstock
