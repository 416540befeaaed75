// SPDX-License-Identifier: Apache-2.0
// --compat=tensorflow_model_server: the server replaces that program. It uses the defaults of that
// program, and starts even if it does not know an argument.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/options/option_table.h"
#include "base/status.h"
#include "options/settings.h"

namespace penstock {

// True if the arguments have --compat with this value. The last --compat counts.
bool AsksForTfs(std::span<const std::string> arguments);

// The settings before any flag is applied. TfsDefaultsText describes them for the log.
Settings TfsDefaults();
std::string_view TfsDefaultsText();

// Returns the warning for an argument that is no flag of Penstock: a flag that
// tensorflow_model_server once had, a flag that neither program has, or a stray word.
// INVALID_ARGUMENT if it is probably a mistyped flag of Penstock. If that were ignored, the server
// might open a port without the protection that the flag asks for.
StatusOr<std::string> WarningForTfsArgument(const OptionTable& table, std::string_view argument);

}  // namespace penstock
