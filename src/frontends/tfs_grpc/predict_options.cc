// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_grpc/predict_call.h"

namespace penstock::tfs {
namespace {

const OptionRow kRows[] = {
    {.group = option_group::kHttp2,
     .name = "enable_serialization_as_tensor_content",
     .target = Field<&PredictOptions::write, &TensorWriteOptions::as_tensor_content>(),
     .sentence =
         "Puts the tensors of Predict answers into tensor_content rather than the typed fields."},
};

}  // namespace

std::span<const OptionRow> PredictOptionRows() { return kRows; }

}  // namespace penstock::tfs
