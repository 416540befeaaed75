// SPDX-License-Identifier: Apache-2.0
// The file descriptors of the process: their limit, and the three standard ones.
#pragma once

#include <cstdint>

namespace penstock {

// Opens /dev/null for standard input, output and error if they are closed. Otherwise the first
// socket would get one of their numbers, and a library's output would go to a client.
void OpenStandardFiles();

// Raises the soft limit of open files to the hard one, and returns the limit in force.
uint64_t RaiseFileLimit();

// Returns `connections_max`, or less: as many as leave some of `files_max` for models,
// configuration files and libraries. So idle clients cannot use up all descriptors. Logs if it is
// less.
int64_t CapConnections(int64_t connections_max, uint64_t files_max);

}  // namespace penstock
