// SPDX-License-Identifier: Apache-2.0
// The operators on images that can be imported.
#pragma once

#include "convert/caffe2/operation.h"

namespace penstock::convert {

Status TranslateConv(Operation& op);
Status TranslateMaxPool(Operation& op);
Status TranslateAveragePool(Operation& op);
Status TranslateLrn(Operation& op);
Status TranslateSpatialBn(Operation& op);
Status TranslateChannelShuffle(Operation& op);

}  // namespace penstock::convert
