// SPDX-License-Identifier: Apache-2.0
#include "frontends/graphpipe/graphpipe_options.h"

namespace penstock::graphpipe {
namespace {

const OptionRow kRows[] = {
    {.group = option_group::kListening,
     .name = "graphpipe_default_model",
     .target = Field<&GraphPipeOptions::default_model>(),
     .sentence = "The model that '/' of graphpipe_port is; empty is the only model that is served.",
     .needs = OptionNeed{"graphpipe_port"}},
    {.group = option_group::kListening,
     .name = "graphpipe_in_band_errors",
     .target = Field<&GraphPipeOptions::in_band_errors>(),
     .sentence = "Answers inferences over GraphPipe that fail with HTTP status 200 and a message "
                 "that has the error, as GraphPipe's specification wants it, instead of an HTTP "
                 "error with a text."},
    {.group = option_group::kListening,
     .name = "graphpipe_named_outputs",
     .target = Field<&GraphPipeOptions::named_outputs>(),
     .sentence = "Outputs, separated by commas, that answers over GraphPipe have only if the "
                 "request names them."},
};

}  // namespace

std::span<const OptionRow> GraphPipeOptionRows() { return kRows; }

}  // namespace penstock::graphpipe
