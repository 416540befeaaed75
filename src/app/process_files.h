// SPDX-License-Identifier: Apache-2.0
// The file descriptors of the process: how many there may be, and the three that programs expect.
#pragma once

#include <cstdint>

namespace penstock {

// Opens those of standard input, output and error that are closed on /dev/null. Else the first
// socket would get such a number, and what a library prints would go to a client.
void OpenStandardFiles();

// Raises the soft limit of open files to the hard one; returns the limit that is in force.
uint64_t RaiseFileLimit();

// `connections_max`, or as many as leave some of `files_max` for models, configuration files and
// libraries, so that idle clients cannot keep these from being opened. Says so if it is fewer.
int64_t CapConnections(int64_t connections_max, uint64_t files_max);

}  // namespace penstock
