// SPDX-License-Identifier: Apache-2.0
// GraphPipe client of Penstock.
//
//   penstock_client::Client client("http://localhost:8501");
//   const auto y = client.model("half_plus_two").InferOne(std::vector<float>{1, 2, 5});
//   for (float value : y.values<float>()) ...
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "penstock_client/errors.h"
#include "penstock_client/options.h"
#include "penstock_client/tensor.h"

namespace penstock_client {

class Caller;
class Model;

// An input or output. Plain data.
struct IOMetadata {
  std::string name = {};
  std::string description = {};
  Shape shape = {};                           // -1: a dimension of any size
  std::optional<DType> dtype = std::nullopt;  // none: a type that is not known
};

// What the server says about a model. Plain data.
struct ModelMetadata {
  std::string name = {};
  std::string version = {};  // of the server
  std::string server = {};
  std::string description = {};
  std::vector<IOMetadata> inputs = {};
  std::vector<IOMetadata> outputs = {};
};

// A server. One for the whole process is best. It, its models and outputs may not be used on both
// sides of a fork. Connections close when the last of a Client, its copies and its models is gone.
// Thread-safe.
class Client {
 public:
  // `url`: http or https, host, port, and the path of a proxy. Throws std::invalid_argument.
  explicit Client(const std::string& url = "http://localhost:8501", ClientOptions options = {});

  // A model of the server. Throws std::invalid_argument.
  Model model(std::string_view name, const ModelOptions& options = {}) const;
  // The one at `/`, as GraphPipe's own servers have it.
  Model model() const;

 private:
  std::shared_ptr<Caller> caller_;
};

// A model of a client. Its calls throw what errors.h has, and std::invalid_argument. Thread-safe.
class Model {
 public:
  // The outputs, in the order of `options.outputs`; without these all of them, in the order of the
  // metadata.
  std::vector<Output> Infer(const Inputs& inputs, const InferOptions& options = {}) const;
  // The same for one output. Throws std::invalid_argument if there are more.
  Output InferOne(const Inputs& inputs, const InferOptions& options = {}) const;
  // The same by name. Without `options.outputs`, the names are asked for first: one more call.
  std::map<std::string, Output, std::less<>> InferNamed(const Inputs& inputs,
                                                        const InferOptions& options = {}) const;
  ModelMetadata Metadata(std::optional<std::chrono::milliseconds> timeout = std::nullopt) const;

 private:
  friend class Client;
  Model(std::shared_ptr<Caller> caller, std::string target)
      : caller_(std::move(caller)), target_(std::move(target)) {}

  std::shared_ptr<Caller> caller_;
  std::string target_;  // path and query
};

}  // namespace penstock_client
