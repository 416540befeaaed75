// SPDX-License-Identifier: Apache-2.0
// --compat=tensorflow_model_server: where the server stands in for that program, its defaults hold,
// and arguments that it would not know do not end the start.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "options/settings.h"

namespace penstock {

// True if --compat in these arguments asks for it; the last one counts.
bool AsksForTfs(std::span<const std::string> arguments);

// The settings before any flag. Said in the log as TfsDefaultsText.
Settings TfsDefaults();
std::string_view TfsDefaultsText();

// What to warn of an argument that is no flag here. It is a flag that tensorflow_model_server once
// had, one that neither program has, or a stray word. INVALID_ARGUMENT for a near miss of a flag of
// ours: a mistyped flag must not open a port without what it asks for.
StatusOr<std::string> WarningForTfsArgument(std::string_view argument);

// The flag of ours that was probably meant; empty if there is none.
std::string_view NearestFlag(std::string_view name);

}  // namespace penstock
