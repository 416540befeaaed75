// SPDX-License-Identifier: Apache-2.0
// The list of the operators that can be imported.
#include <fmt/ranges.h>

#include <array>

#include "convert/caffe2/fill_operators.h"
#include "convert/caffe2/image_operators.h"
#include "convert/caffe2/tensor_operators.h"

namespace penstock::convert {
namespace {

constexpr std::array kOperators = {
    OperatorRule{"Add", TranslateAdd, InputTypes::kNumbers},
    OperatorRule{"AveragePool", TranslateAveragePool, InputTypes::kFloats},
    OperatorRule{"ChannelShuffle", TranslateChannelShuffle},
    OperatorRule{"Concat", TranslateConcat, InputTypes::kEqual},
    OperatorRule{"ConstantFill", TranslateConstantFill},
    OperatorRule{"Conv", TranslateConv, InputTypes::kFloats},
    OperatorRule{"Dropout", TranslateDropout},
    OperatorRule{"FC", TranslateFc, InputTypes::kFloats},
    OperatorRule{"Flatten", TranslateFlatten},
    OperatorRule{"GivenTensorBoolFill", TranslateGivenBools},
    OperatorRule{"GivenTensorDoubleFill", TranslateGivenDoubles},
    OperatorRule{"GivenTensorFill", TranslateGivenFloats},
    OperatorRule{"GivenTensorInt16Fill", TranslateGivenInt16s},
    OperatorRule{"GivenTensorInt64Fill", TranslateGivenInt64s},
    OperatorRule{"GivenTensorIntFill", TranslateGivenInt32s},
    OperatorRule{"LRN", TranslateLrn, InputTypes::kFloats},
    OperatorRule{"MaxPool", TranslateMaxPool, InputTypes::kFloats},
    OperatorRule{"Mul", TranslateMul, InputTypes::kNumbers},
    OperatorRule{"Relu", TranslateRelu, InputTypes::kFloats},
    OperatorRule{"Reshape", TranslateReshape},
    OperatorRule{"Sigmoid", TranslateSigmoid, InputTypes::kFloats},
    OperatorRule{"Softmax", TranslateSoftmax, InputTypes::kFloats},
    OperatorRule{"SpatialBN", TranslateSpatialBn, InputTypes::kFloats},
    OperatorRule{"Sum", TranslateSum, InputTypes::kFloats},
    OperatorRule{"Tanh", TranslateTanh, InputTypes::kFloats},
    OperatorRule{"Transpose", TranslateTranspose},
};

// They are refused with the reason.
constexpr std::array kRandomFills = {
    OperatorRule{"GaussianFill", RefuseRandomFill}, OperatorRule{"MSRAFill", RefuseRandomFill},
    OperatorRule{"UniformFill", RefuseRandomFill}, OperatorRule{"UniformIntFill", RefuseRandomFill},
    OperatorRule{"XavierFill", RefuseRandomFill}};

}  // namespace

const OperatorRule* FindOperator(std::string_view type) {
  for (const OperatorRule& rule : kOperators) {
    if (rule.type == type) return &rule;
  }
  for (const OperatorRule& rule : kRandomFills) {
    if (rule.type == type) return &rule;
  }
  return nullptr;
}

std::string OperatorNames() {
  std::vector<std::string_view> names;
  for (const OperatorRule& rule : kOperators) names.push_back(rule.type);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace penstock::convert
