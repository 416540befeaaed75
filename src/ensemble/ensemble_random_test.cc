// SPDX-License-Identifier: Apache-2.0
// Random graphs over models that compute, on real threads, against a direct evaluation; and
// versions that change while requests run.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/executor.h"
#include "base/mutex.h"
#include "ensemble/ensemble_fixture.h"

namespace penstock::ensemble {
namespace {

using Values = std::vector<int64_t>;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// What one of the models computes. nullopt: the run fails.
struct Function {
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::optional<std::vector<Values>> (*compute)(const std::vector<Values>&);
  bool is_late = false;  // it answers on another thread
};

Values Each(Values values, int64_t (*function)(int64_t)) {
  for (int64_t& value : values) value = function(value);
  return values;
}

std::optional<std::vector<Values>> Negate(const std::vector<Values>& in) {
  return std::vector<Values>{Each(in[0], [](int64_t x) { return -x; })};
}

const std::map<std::string, Function>& Functions() {
  static const std::map<std::string, Function> functions = {
      {"add",
       {{"a", "b"},
        {"y"},
        [](const std::vector<Values>& in) -> std::optional<std::vector<Values>> {
          Values sum = in[0];
          for (size_t i = 0; i < sum.size(); ++i) sum[i] = (sum[i] + in[1][i]) % 1'000'003;
          return std::vector<Values>{sum};
        }}},
      {"negate", {{"x"}, {"y"}, Negate}},
      {"late", {{"x"}, {"y"}, Negate, /*is_late=*/true}},
      {"split",
       {{"x"},
        {"l", "r"},
        [](const std::vector<Values>& in) -> std::optional<std::vector<Values>> {
          return std::vector<Values>{Each(in[0], [](int64_t x) { return x + 1; }),
                                     Each(in[0], [](int64_t x) { return x * 2 % 1'000'003; })};
        }}},
      {"fails",
       {{"x"},
        {"y"},
        [](const std::vector<Values>& in) -> std::optional<std::vector<Values>> {
          if (in[0][0] % 11 == 0) return std::nullopt;
          return in;
        }}},
      // An ensemble: "negate" after "late".
      {"inner",
       {{"x"},
        {"y"},
        [](const std::vector<Values>& in) -> std::optional<std::vector<Values>> { return in; }}},
  };
  return functions;
}

// One request, and its answer.
struct Request {
  InferRequest request;
  CancelToken cancel;
  std::map<std::string, Values, std::less<>> values;  // of all tensors that can be computed
  std::set<std::string> failing;                      // the steps that fail
  bool is_cancelled = false;
  std::atomic<int> answers{0};
  InferResponse response;
};

class RandomEnsembleTest : public EnsembleFixture {
 protected:
  RandomEnsembleTest()
      : EnsembleFixture({.compute_slots = 3, .queue_requests_max = 100'000}),
        late_({.name = "late", .threads = 2}) {
    for (const auto& [name, function] : Functions()) {
      if (name != "inner") ServeFunction(name, function);
    }
    EXPECT_TRUE(ServeGraph({.inputs = {"x"},
                            .outputs = {"y"},
                            .steps = {MakeStep("late", "x", "x", "y", "q"),
                                      MakeStep("negate", "x", "q", "y", "y")}},
                           "inner")
                    .ok());
  }

  static Step MakeStep(const std::string& model, const std::string& input, const std::string& from,
                       const std::string& output, const std::string& to) {
    return {.name = model,
            .model = {.name = model},
            .inputs = {{input, from}},
            .outputs = {{output, to}}};
  }

  void ServeFunction(const std::string& name, const Function& function) {
    ModelInfo info = VectorInfo(function.inputs, function.outputs);
    info.traits.answers_in_run = !function.is_late;
    Serve(name, info, [this, &function](const InferRequest& request, ResponseCallback done) {
      const auto answer = [&function, &request](ResponseCallback& to) {
        if (request.cancel->IsCancelled())
          return AnswerError(to, absl::CancelledError("cancelled"));
        std::vector<Values> inputs;
        for (const std::string& input : function.inputs)
          inputs.push_back(
              ValuesOf(std::ranges::find(request.inputs, input, &NamedTensor::name)->tensor));
        const auto outputs = function.compute(inputs);
        if (!outputs) return AnswerError(to, absl::InternalError("unlucky"));
        InferResponse response;
        for (size_t i = 0; i < outputs->size(); ++i) {
          const OutputFilter& filter = request.output_filter;
          if (filter.empty() || std::ranges::find(filter, function.outputs[i]) != filter.end())
            response.outputs.push_back({function.outputs[i], MakeVector((*outputs)[i])});
        }
        to(std::move(response));
      };
      if (!function.is_late) return answer(done);
      ASSERT_TRUE(late_.Submit([answer, to = std::move(done)]() mutable { answer(to); }));
    });
  }

  // Each step takes tensors that were there before it, at random.
  Graph MakeGraph(int64_t version) {
    Graph graph{.version = {version}};
    std::vector<std::string> tensors;
    const size_t inputs = Pick(1, 3);
    for (size_t i = 0; i < inputs; ++i) tensors.push_back(fmt::format("in{}", i));
    std::set<std::string> used;
    const size_t steps = Pick(1, 12);
    for (size_t i = 0; i < steps; ++i) {
      auto function = Functions().begin();
      std::advance(function, Pick(0, Functions().size() - 1));
      Step step{.name = fmt::format("s{}", i), .model = {.name = function->first}};
      for (const std::string& input : function->second.inputs) {
        // Late tensors make long chains, early ones wide graphs.
        const size_t first = Pick(0, 1) == 0 ? 0 : tensors.size() - 1;
        step.inputs.push_back({input, tensors[Pick(first, tensors.size() - 1)]});
        used.insert(step.inputs.back().tensor);
      }
      for (const std::string& output : function->second.outputs)
        step.outputs.push_back({output, fmt::format("{}{}", step.name, output)});
      for (const Mapping& output : step.outputs) tensors.push_back(output.tensor);
      graph.steps.push_back(std::move(step));
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      const bool is_input = i < inputs;
      if (is_input && used.contains(tensors[i])) graph.inputs.push_back(tensors[i]);
      if (!is_input && (!used.contains(tensors[i]) || Pick(0, 5) == 0))
        graph.outputs.push_back(tensors[i]);
    }
    std::ranges::shuffle(graph.steps, random_);
    return graph;
  }

  // Computes what can be computed, in the order of the names of the steps.
  static void Evaluate(const Graph& graph, Request& request) {
    for (size_t i = 0; i < graph.steps.size(); ++i) {
      const Step& step = *std::ranges::find(graph.steps, fmt::format("s{}", i), &Step::name);
      const Function& function = Functions().at(step.model.name);
      std::vector<Values> inputs;
      for (const Mapping& input : step.inputs) {
        const auto value = request.values.find(input.tensor);
        if (value != request.values.end()) inputs.push_back(value->second);
      }
      if (inputs.size() < step.inputs.size()) continue;
      const auto outputs = function.compute(inputs);
      if (!outputs) request.failing.insert(step.name);
      for (size_t j = 0; outputs && j < outputs->size(); ++j)
        request.values[step.outputs[j].tensor] = (*outputs)[j];
    }
  }

  void Check(const Graph& graph, Request& request) {
    ASSERT_EQ(request.answers, 1);
    const Status& status = request.response.status;
    if (request.is_cancelled && status.code() == StatusCode::kCancelled) return;
    if (!request.failing.empty()) {
      ASSERT_EQ(status.code(), StatusCode::kInternal) << status;
      const std::string text(status.message());
      EXPECT_TRUE(std::ranges::any_of(request.failing, [&](const std::string& name) {
        return text == fmt::format("step '{}' (fails version 1): unlucky", name);
      })) << text;
      return;
    }
    ASSERT_TRUE(status.ok()) << status;
    ASSERT_EQ(request.response.outputs.size(), graph.outputs.size());
    for (const NamedTensor& output : request.response.outputs)
      EXPECT_EQ(ValuesOf(output.tensor), request.values.find(output.name)->second) << output.name;
  }

  void RunSeed(uint64_t seed) {
    random_.seed(seed);
    const Graph graph = MakeGraph(static_cast<int64_t>(seed));
    ASSERT_EQ(ServeGraph(graph), OkStatus());
    const ModelHandle handle = *engine_.Find({.name = "e", .version = graph.version, .label = {}});
    std::vector<std::unique_ptr<Request>> requests;
    std::atomic<size_t> answered{0};
    for (size_t i = 0; i < 8; ++i) {
      Request& request = *requests.emplace_back(std::make_unique<Request>());
      const size_t size = Pick(1, 3);
      for (const std::string& input : graph.inputs) {
        Values values;
        for (size_t j = 0; j < size; ++j) values.push_back(static_cast<int64_t>(Pick(0, 1000)));
        request.values[input] = values;
        request.request.inputs.push_back({input, MakeVector(values)});
      }
      request.request.cancel = &request.cancel;
      Evaluate(graph, request);
      request.is_cancelled = Pick(0, 4) == 0;
      engine_.Run(handle, request.request, Pick(0, 1) == 0,
                  [&request, &answered](InferResponse&& response) {
                    request.response = std::move(response);
                    ++request.answers;
                    ++answered;
                    answered.notify_all();
                  });
    }
    for (auto& request : requests) {
      if (request->is_cancelled) request->cancel.Cancel();
    }
    for (size_t count = answered; count < requests.size(); count = answered) answered.wait(count);
    for (auto& request : requests) Check(graph, *request);
  }

  size_t Pick(size_t least, size_t most) {
    return std::uniform_int_distribution<size_t>(least, most)(random_);
  }

  ThreadPool late_;
  std::mt19937_64 random_;
};

TEST_F(RandomEnsembleTest, GivesWhatADirectEvaluationGives) {
  const uint64_t first = FromEnvironment("PENSTOCK_ENSEMBLE_SEED", 1);
  const uint64_t count = std::getenv("PENSTOCK_ENSEMBLE_SEED") != nullptr
                             ? 1
                             : FromEnvironment("PENSTOCK_ENSEMBLE_SEEDS", 300);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    RunSeed(seed);
    ASSERT_FALSE(HasFailure()) << "PENSTOCK_ENSEMBLE_SEED=" << seed;
  }
  EXPECT_EQ(scheduler_.queue_length(), 0U);
}

class SwapTest : public EnsembleFixture {
 protected:
  SwapTest() : EnsembleFixture({.compute_slots = 2, .queue_requests_max = 100'000}) {}

  // Version n of the model "m" gives n.
  void ServeNumber(int64_t version) {
    ModelInfo info = VectorInfo({"x"}, {"y"});
    info.traits.answers_in_run = version % 2 == 0;
    Serve(
        "m", info,
        [version](const InferRequest&, ResponseCallback done) {
          InferResponse response;
          response.outputs.push_back({"y", MakeVector({version})});
          done(std::move(response));
        },
        static_cast<int>(version));
  }
  // Runs one request after the other. Each must get the same version in both of its steps.
  void SendUntil(const std::atomic<bool>& is_over, std::atomic<int>& wrong,
                 std::atomic<int>& sent) {
    while (!is_over) {
      InferRequest request;
      request.inputs.push_back({"x", MakeVector({0})});
      const StatusOr<ModelHandle> handle = engine_.Find({.name = "e", .version = {}, .label = {}});
      std::atomic<bool> has_answer{false};
      engine_.Run(*handle, request, true, [&](InferResponse&& response) {
        const bool is_right = response.status.ok() && ValuesOf(response.outputs[0].tensor) ==
                                                          ValuesOf(response.outputs[1].tensor);
        if (!is_right) ++wrong;
        has_answer = true;
        has_answer.notify_one();
      });
      has_answer.wait(false);
      ++sent;
    }
  }
};

TEST_F(SwapTest, NoRequestIsLostWhileVersionsChange) {
  constexpr int64_t kVersions = 40;
  ServeNumber(1);
  Step first = MakeStep("m", "x", "a"), second = MakeStep("m", "a", "b");
  second.name = "again";
  ASSERT_TRUE(ServeGraph({.inputs = {"x"}, .outputs = {"a", "b"}, .steps = {first, second}}).ok());
  std::atomic<bool> is_over{false};
  std::atomic<int> wrong{0}, sent{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { SendUntil(is_over, wrong, sent); });
  for (int64_t version = 2; version <= kVersions; ++version) ServeNumber(version);
  while (sent < 100) std::this_thread::yield();
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(manager_.GetHandle("m")->id().version.value, kVersions);
}

// The ensemble must not hold the only slot while its steps need it.
class OneSlotTest : public EnsembleFixture {
 protected:
  OneSlotTest() : EnsembleFixture({.compute_slots = 1}) {}
};

// Decodes and runs a large request in the slot that it has waited for, as InferCall does.
class LargeRequest final : public schedule::Job {
 public:
  LargeRequest(Engine& engine, const ModelHandle& model, ResponseCallback done)
      : engine_(engine), model_(model), done_(std::move(done)) {
    request_.inputs.push_back({"x", MakeVector({1})});
  }
  void Start(schedule::Lease& lease) override {
    engine_.RunHere(model_, request_, lease, std::move(done_));
  }
  void Drop() override {}

 private:
  Engine& engine_;
  const ModelHandle& model_;
  ResponseCallback done_;
  InferRequest request_;
};

TEST_F(OneSlotTest, StepsFindTheSlotThatTheirEnsembleHasHad) {
  ServeAdder("m", 1);
  Step first = MakeStep("m", "x", "a"), second = MakeStep("m", "a", "b");
  second.name = "again";
  ASSERT_TRUE(ServeGraph({.inputs = {"x"}, .outputs = {"b"}, .steps = {first, second}}).ok());
  const ModelHandle handle = *engine_.Find({.name = "e", .version = {}, .label = {}});
  for (int i = 0; i < 100; ++i) {
    std::atomic<bool> has_answer{false};
    Values values;
    LargeRequest request(engine_, handle, [&](InferResponse&& response) {
      if (response.status.ok()) values = ValuesOf(response.outputs[0].tensor);
      has_answer = true;
      has_answer.notify_one();
    });
    ASSERT_EQ(engine_.QueueOf(handle).Enter(request, nullptr), schedule::Admission::kAccepted);
    has_answer.wait(false);
    ASSERT_EQ(values, Values{3});
  }
}

}  // namespace
}  // namespace penstock::ensemble
