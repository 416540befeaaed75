// SPDX-License-Identifier: Apache-2.0
// The operators that make constants: the weights of a model.
#pragma once

#include "convert/caffe2/operation.h"

namespace penstock::convert {

// GivenTensorFill and its like: the elements are in the net.
Status TranslateGivenFloats(Operation& op);
Status TranslateGivenDoubles(Operation& op);
Status TranslateGivenBools(Operation& op);
Status TranslateGivenInt16s(Operation& op);
Status TranslateGivenInt32s(Operation& op);
Status TranslateGivenInt64s(Operation& op);
// ConstantFill: all elements are the same.
Status TranslateConstantFill(Operation& op);
// XavierFill and its like. Always an error: the weights are not in the net.
Status RefuseRandomFill(Operation& op);

}  // namespace penstock::convert
