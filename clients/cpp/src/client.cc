// SPDX-License-Identifier: Apache-2.0
#include "penstock_client/client.h"

#include <stdexcept>
#include <thread>
#include <utility>

#include "answer_reader.h"
#include "connection_pool.h"
#include "deadline.h"
#include "message_writer.h"
#include "retry_budget.h"
#include "target.h"

namespace penstock_client {

// What the models of a client share. Thread-safe.
class Caller {
 public:
  Caller(const std::string& url, const ClientOptions& options)
      : timeout_(options.timeout),
        answer_bytes_max_(options.answer_bytes_max),
        budget_(options.retry),
        pool_(url, options) {}

  // Of a call with this time. None: the client's.
  Deadline DeadlineOf(std::optional<std::chrono::milliseconds> timeout) const {
    return Deadline(timeout ? timeout : timeout_);
  }

  // Posts the request, and returns what `read` makes of the answer.
  template <typename Read>
  auto Call(const std::string& target, const Message& request, const Deadline& deadline,
            Read read) {
    for (int attempt = 1;; ++attempt) {
      std::optional<std::chrono::duration<double>> delay;
      try {
        Answer answer = pool_.Post(target, request, deadline, budget_);
        AnswerReader reader(std::move(answer.body), answer_bytes_max_, answer.retry_after);
        auto result = read(reader);
        budget_.Answered();
        return result;
      } catch (const Unavailable& error) {
        delay = budget_.Delay(attempt, error.retry_after(), deadline.Left());
        if (!delay) throw;
      }
      std::this_thread::sleep_for(*delay);
    }
  }

 private:
  const std::optional<std::chrono::milliseconds> timeout_;
  const uint64_t answer_bytes_max_;
  RetryBudget budget_;
  ConnectionPool pool_;
};

namespace {

std::vector<Output> Infer(Caller& caller, const std::string& target, const Inputs& inputs,
                          const InferOptions& options, const Deadline& deadline) {
  const Message request = WriteInferRequest(inputs.list(), options.outputs, options.config);
  std::vector<Output> outputs = caller.Call(
      target, request, deadline, [](AnswerReader& reader) { return reader.InferResponse(); });
  if (!options.outputs.empty() && outputs.size() != options.outputs.size())
    throw ProtocolError("the answer has " + std::to_string(outputs.size()) + " outputs, not the " +
                        std::to_string(options.outputs.size()) + " that were named");
  return outputs;
}

ModelMetadata ReadMetadata(Caller& caller, const std::string& target, const Deadline& deadline) {
  return caller.Call(target, WriteMetadataRequest(), deadline,
                     [](AnswerReader& reader) { return reader.MetadataResponse(); });
}

}  // namespace

Client::Client(const std::string& url, ClientOptions options)
    : caller_(std::make_shared<Caller>(url, options)) {}

Model Client::model(std::string_view name, const ModelOptions& options) const {
  return {caller_, TargetOf(name, options)};
}

Model Client::model() const { return {caller_, TargetOf(std::nullopt, {})}; }

std::vector<Output> Model::Infer(const Inputs& inputs, const InferOptions& options) const {
  return penstock_client::Infer(*caller_, target_, inputs, options,
                                caller_->DeadlineOf(options.timeout));
}

Output Model::InferOne(const Inputs& inputs, const InferOptions& options) const {
  std::vector<Output> outputs = Infer(inputs, options);
  if (outputs.empty()) throw ProtocolError("the answer has no output");
  if (outputs.size() != 1)
    throw std::invalid_argument("the model gave " + std::to_string(outputs.size()) +
                                " outputs: name the one that you want, or use Infer()");
  return std::move(outputs[0]);
}

std::map<std::string, Output, std::less<>> Model::InferNamed(const Inputs& inputs,
                                                             const InferOptions& options) const {
  const Deadline deadline = caller_->DeadlineOf(options.timeout);
  InferOptions named = options;
  if (named.outputs.empty())
    for (const IOMetadata& output : ReadMetadata(*caller_, target_, deadline).outputs)
      named.outputs.push_back(output.name);
  std::vector<Output> outputs = penstock_client::Infer(*caller_, target_, inputs, named, deadline);
  if (outputs.size() != named.outputs.size())
    throw ProtocolError("the answer has " + std::to_string(outputs.size()) +
                        " outputs, but the metadata names none");
  std::map<std::string, Output, std::less<>> by_name;
  for (size_t i = 0; i < outputs.size(); ++i)
    by_name.insert_or_assign(named.outputs[i], std::move(outputs[i]));
  return by_name;
}

ModelMetadata Model::Metadata(std::optional<std::chrono::milliseconds> timeout) const {
  return ReadMetadata(*caller_, target_, caller_->DeadlineOf(timeout));
}

}  // namespace penstock_client
