// SPDX-License-Identifier: Apache-2.0
// The operators on tensors of any shape that can be imported.
#pragma once

#include "convert/caffe2/operation.h"

namespace penstock::convert {

Status TranslateFc(Operation& op);
Status TranslateSoftmax(Operation& op);
Status TranslateRelu(Operation& op);
Status TranslateSigmoid(Operation& op);
Status TranslateTanh(Operation& op);
Status TranslateDropout(Operation& op);

Status TranslateConcat(Operation& op);
Status TranslateSum(Operation& op);
Status TranslateAdd(Operation& op);
Status TranslateMul(Operation& op);

Status TranslateReshape(Operation& op);
Status TranslateTranspose(Operation& op);
Status TranslateFlatten(Operation& op);

}  // namespace penstock::convert
