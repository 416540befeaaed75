// SPDX-License-Identifier: Apache-2.0
#include "app/commands.h"

int main(int argc, char** argv) {
  return penstock::RunProgram(std::vector<std::string>(argv, argv + argc));
}
