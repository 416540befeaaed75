// SPDX-License-Identifier: Apache-2.0
// The list of the operators that can be imported.
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "convert/caffe2/fill_operators.h"
#include "convert/caffe2/image_operators.h"
#include "convert/caffe2/tensor_operators.h"

namespace penstock::convert {
namespace {

struct Entry {
  std::string_view type;
  Translate translate;
};

constexpr std::array kOperators = {
    Entry{"Add", TranslateAdd},
    Entry{"AveragePool", TranslateAveragePool},
    Entry{"ChannelShuffle", TranslateChannelShuffle},
    Entry{"Concat", TranslateConcat},
    Entry{"ConstantFill", TranslateConstantFill},
    Entry{"Conv", TranslateConv},
    Entry{"Dropout", TranslateDropout},
    Entry{"FC", TranslateFc},
    Entry{"Flatten", TranslateFlatten},
    Entry{"GivenTensorBoolFill", TranslateGivenBools},
    Entry{"GivenTensorDoubleFill", TranslateGivenDoubles},
    Entry{"GivenTensorFill", TranslateGivenFloats},
    Entry{"GivenTensorInt16Fill", TranslateGivenInt16s},
    Entry{"GivenTensorInt64Fill", TranslateGivenInt64s},
    Entry{"GivenTensorIntFill", TranslateGivenInt32s},
    Entry{"LRN", TranslateLrn},
    Entry{"MaxPool", TranslateMaxPool},
    Entry{"Mul", TranslateMul},
    Entry{"Relu", TranslateRelu},
    Entry{"Reshape", TranslateReshape},
    Entry{"Softmax", TranslateSoftmax},
    Entry{"SpatialBN", TranslateSpatialBn},
    Entry{"Sum", TranslateSum},
    Entry{"Transpose", TranslateTranspose},
};

constexpr std::array<std::string_view, 5> kRandomFills = {"GaussianFill", "MSRAFill", "UniformFill",
                                                          "UniformIntFill", "XavierFill"};

}  // namespace

Translate FindOperator(std::string_view type) {
  for (const Entry& entry : kOperators) {
    if (entry.type == type) return entry.translate;
  }
  if (std::find(kRandomFills.begin(), kRandomFills.end(), type) != kRandomFills.end())
    return RefuseRandomFill;
  return nullptr;
}

std::string OperatorNames() {
  std::vector<std::string_view> names;
  for (const Entry& entry : kOperators) names.push_back(entry.type);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace penstock::convert
