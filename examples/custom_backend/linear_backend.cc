// SPDX-License-Identifier: Apache-2.0
// A complete backend: models that are a text file with two numbers. Builds against Penstock's
// public header alone.
#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "penstock/backend.hpp"

namespace {

using penstock::plugin::AnswerInParts;
using penstock::plugin::Backend;
using penstock::plugin::Description;
using penstock::plugin::Error;
using penstock::plugin::LoadArguments;
using penstock::plugin::Model;
using penstock::plugin::Outputs;
using penstock::plugin::PartSource;
using penstock::plugin::Request;
using penstock::plugin::Signature;

// Positions among the signatures, and among the outputs of "reverse".
enum : uint32_t { kLinear = 0, kReverse = 1, kEachRow = 2 };
enum : uint32_t { kReversed = 0, kWords = 1 };

Description Describe() {
  Signature linear;
  linear.inputs = {{.name = "x",
                    .dtype = PENSTOCK_FLOAT32,
                    .shape = {-1},
                    .batch_axis = 0,
                    .dimension_names = {"rows"}}};
  linear.outputs = {{.name = "y",
                     .dtype = PENSTOCK_FLOAT32,
                     .shape = {-1},
                     .batch_axis = 0,
                     .dimension_names = {"rows"}}};
  Signature reverse;
  reverse.name = "reverse";
  reverse.inputs = {{.name = "text", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0}};
  reverse.outputs = {{.name = "reversed", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0},
                     {.name = "words", .dtype = PENSTOCK_INT64, .shape = {-1}, .batch_axis = 0}};
  Signature each_row = linear;
  each_row.name = "each_row";
  Description description;
  description.signatures = {std::move(linear), std::move(reverse), std::move(each_row)};
  return description;
}

// The answer of "each_row": a part for each row. One thread at a time.
class Rows final : public PartSource {
 public:
  Rows(float scale, float offset) : scale_(scale), offset_(offset) {}

  // Inputs live until the last part has been given.
  bool Next(Request& request, Outputs& outputs) override {
    const PenstockTensor& x = request.inputs()[0].tensor;
    const int64_t rows = x.shape[0] > 0 ? 1 : 0;
    float* to = outputs.Add<float>(request, 0, PENSTOCK_FLOAT32, {rows});
    if (rows == 1) *to = scale_ * static_cast<const float*>(x.data)[next_++] + offset_;
    return next_ < x.shape[0];
  }

 private:
  const float scale_;
  const float offset_;
  int64_t next_ = 0;
};

// Computes y = scale * x + offset. Immutable, so thread-safe.
class LinearModel final : public Model {
 public:
  LinearModel(float scale, float offset) : Model(Describe()), scale_(scale), offset_(offset) {}

  // The host has checked the inputs: they are there, and of the types and shapes described.
  void Run(Request&& request) override {
    if (request.signature_index() == kEachRow) {
      AnswerInParts(std::move(request), std::make_unique<Rows>(scale_, offset_));
      return;
    }
    Outputs outputs;
    if (request.signature_index() == kLinear) {
      RunLinear(request, outputs);
    } else {
      RunReverse(request, outputs);
    }
    // Here the answer comes before Run returns. A backend may also keep the request, and finish it
    // later on another thread.
    request.Finish(outputs);
  }

 private:
  void RunLinear(Request& request, Outputs& outputs) const {
    const PenstockTensor& x = request.inputs()[0].tensor;
    const auto* from = static_cast<const float*>(x.data);
    // The memory is the host's: it is sent from where it is written.
    float* to = outputs.Add<float>(request, 0, PENSTOCK_FLOAT32, {x.shape[0]});
    for (int64_t i = 0; i < x.shape[0]; ++i) to[i] = scale_ * from[i] + offset_;
  }

  static void RunReverse(Request& request, Outputs& outputs) {
    const PenstockTensor& text = request.inputs()[0].tensor;
    const auto* from = static_cast<const PenstockString*>(text.data);
    // A client may want some outputs only.
    for (const PenstockNamedTensor& wanted : request.outputs()) {
      if (wanted.index == kReversed) {
        std::vector<std::string> reversed;
        for (int64_t i = 0; i < text.shape[0]; ++i) {
          const std::string_view view = penstock::plugin::View(from[i]);
          reversed.emplace_back(view.rbegin(), view.rend());
        }
        outputs.AddStrings(kReversed, {text.shape[0]}, std::move(reversed));
      } else {
        auto* to = outputs.Add<int64_t>(request, kWords, PENSTOCK_INT64, {text.shape[0]});
        for (int64_t i = 0; i < text.shape[0]; ++i) to[i] = CountWords(from[i]);
      }
    }
  }

  static int64_t CountWords(PenstockString text) {
    std::istringstream stream{std::string(penstock::plugin::View(text))};
    int64_t words = 0;
    for (std::string word; stream >> word;) ++words;
    return words;
  }

  const float scale_;
  const float offset_;
};

// Reads model.linear: lines of a name and a number. Thread-safe.
class LinearBackend final : public Backend {
 public:
  explicit LinearBackend(const PenstockHost&) {}

  std::unique_ptr<Model> Load(const LoadArguments& arguments) override {
    const std::string path = std::string(arguments.folder) + "/model.linear";
    std::ifstream file(path);
    if (!file) throw Error(PENSTOCK_NOT_FOUND, "cannot read " + path);
    float scale = 0;
    float offset = 0;
    std::string name;
    float value = 0;
    while (file >> name >> value) {
      if (name == "scale") {
        scale = value;
      } else if (name == "offset") {
        offset = value;
      } else {
        throw Error(PENSTOCK_INVALID_ARGUMENT,
                    path + " sets '" + name + "'; only scale and offset are known");
      }
    }
    if (!file.eof()) {
      throw Error(PENSTOCK_INVALID_ARGUMENT, path + " has a line that is not a name and a number");
    }
    return std::make_unique<LinearModel>(scale, offset);
  }
};

}  // namespace

PENSTOCK_BACKEND(LinearBackend, "linear", "1.0")
