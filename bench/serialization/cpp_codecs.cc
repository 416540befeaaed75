// SPDX-License-Identifier: Apache-2.0
// What a program in C++ does with tensors: a request of [128,224,224,3] floats to bytes, and an
// answer of [128,7,7,512] floats from bytes. Times as multiples of one memcpy of the same tensor
// into memory that is in use already. Codec and copy alternate. No network, no server.
//   cpp_codecs ROUNDS
// prints a line for each codec: [name, [multiple, seconds, seconds of the copy], the same for the
// answer].
#include <algorithm>
#include <any>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "answer_reader.h"
#include "graphpipe/graphpipe_generated.h"
#include "message_writer.h"
#include "serving/predict.pb.h"

namespace {

using penstock_client::AnswerReader;
using penstock_client::Block;
using penstock_client::Input;
using penstock_client::Message;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::PredictResponse;

using Tensor = std::vector<float>;
using Shape = std::vector<int64_t>;

const Shape kRequest = {128, 224, 224, 3};
const Shape kAnswer = {128, 7, 7, 512};

// What a codec does. Results are returned, so that their memory is freed outside of the
// measurement. Plain data.
struct Codec {
  const char* name;
  std::function<std::any(const Tensor&)> write;
  // The bytes of an answer. Not measured.
  std::function<std::string(const Tensor&)> encode;
  // Gives the elements to `check`.
  std::function<std::any(Block&&, const std::function<void(const float*, size_t)>& check)> read;
};

size_t CountOf(const Shape& shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return count;
}

template <typename T>
std::any Keep(T value) {
  return std::make_shared<T>(std::move(value));
}

std::string GraphPipeAnswer(const Tensor& values) {
  flatbuffers::FlatBufferBuilder builder;
  const auto data =
      builder.CreateVector(reinterpret_cast<const uint8_t*>(values.data()), 4 * values.size());
  const auto shape = builder.CreateVector(kAnswer);
  const auto tensor = graphpipe::CreateTensor(builder, graphpipe::Type::Float32, shape, data);
  const auto tensors = builder.CreateVector(&tensor, 1);
  builder.Finish(graphpipe::CreateInferResponse(builder, tensors));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

Codec OurClient() {
  return {"penstock_client",
          [](const Tensor& values) {
            const Input input(values, kRequest);
            return Keep(penstock_client::WriteInferRequest(std::span(&input, 1), {}, ""));
          },
          GraphPipeAnswer,
          [](Block&& bytes, const auto& check) {
            auto outputs = AnswerReader(std::move(bytes), 1 << 20).InferResponse();
            check(outputs[0].values<float>().data(), outputs[0].size());
            return Keep(std::move(outputs));
          }};
}

Codec OneBlock() {
  return {"penstock_client, the buffers joined, the output copied",
          [](const Tensor& values) {
            const Input input(values, kRequest);
            const Message message =
                penstock_client::WriteInferRequest(std::span(&input, 1), {}, "");
            Block block(message.bytes());
            size_t at = 0;
            for (const auto& piece : message.pieces()) {
              std::memcpy(block.data() + at, piece.data(), piece.size());
              at += piece.size();
            }
            return Keep(std::move(block));
          },
          GraphPipeAnswer,
          [](Block&& bytes, const auto& check) {
            const auto outputs = AnswerReader(std::move(bytes), 1 << 20).InferResponse();
            const auto values = outputs[0].values<float>();
            Tensor copy(values.begin(), values.end());
            check(copy.data(), copy.size());
            return Keep(std::move(copy));
          }};
}

Codec Flatbuffers() {
  return {"flatbuffers, builder and verifier",
          [](const Tensor& values) {
            flatbuffers::FlatBufferBuilder builder(4 * values.size() + 1024);
            const auto data = builder.CreateVector(reinterpret_cast<const uint8_t*>(values.data()),
                                                   4 * values.size());
            const auto shape = builder.CreateVector(kRequest);
            const auto tensor =
                graphpipe::CreateTensor(builder, graphpipe::Type::Float32, shape, data);
            const auto tensors = builder.CreateVector(&tensor, 1);
            const auto request = graphpipe::CreateInferRequest(builder, 0, 0, tensors);
            builder.Finish(
                graphpipe::CreateRequest(builder, graphpipe::Req::InferRequest, request.Union()));
            return Keep(std::move(builder));
          },
          GraphPipeAnswer,
          [](Block&& bytes, const auto& check) {
            const auto* const data = reinterpret_cast<const uint8_t*>(bytes.data());
            flatbuffers::Verifier verifier(data, bytes.size());
            if (!verifier.VerifyBuffer<graphpipe::InferResponse>(nullptr)) std::abort();
            const auto* const answer = flatbuffers::GetRoot<graphpipe::InferResponse>(data);
            const auto* const elements = answer->output_tensors()->Get(0)->data();
            check(reinterpret_cast<const float*>(elements->data()), elements->size() / 4);
            return Keep(std::move(bytes));
          }};
}

void SetShape(tensorflow::TensorProto& tensor, const Shape& shape) {
  tensor.set_dtype(tensorflow::DT_FLOAT);
  for (const int64_t size : shape) tensor.mutable_tensor_shape()->add_dim()->set_size(size);
}

void PutContent(tensorflow::TensorProto& tensor, const Tensor& values) {
  tensor.set_tensor_content(values.data(), 4 * values.size());
}

void PutFloats(tensorflow::TensorProto& tensor, const Tensor& values) {
  tensor.mutable_float_val()->Assign(values.begin(), values.end());
}

using Put = void (*)(tensorflow::TensorProto&, const Tensor&);

Codec Protobuf(const char* name, Put put) {
  return {name,
          [put](const Tensor& values) {
            PredictRequest request;
            SetShape((*request.mutable_inputs())["x"], kRequest);
            put((*request.mutable_inputs())["x"], values);
            return Keep(request.SerializeAsString());
          },
          [put](const Tensor& values) {
            PredictResponse answer;
            SetShape((*answer.mutable_outputs())["y"], kAnswer);
            put((*answer.mutable_outputs())["y"], values);
            return answer.SerializeAsString();
          },
          [](Block&& bytes, const auto& check) {
            PredictResponse answer;
            if (!answer.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) std::abort();
            const tensorflow::TensorProto& tensor = answer.outputs().at("y");
            if (tensor.float_val().empty())
              check(reinterpret_cast<const float*>(tensor.tensor_content().data()),
                    tensor.tensor_content().size() / 4);
            else
              check(tensor.float_val().data(), static_cast<size_t>(tensor.float_val().size()));
            return Keep(std::move(answer));
          }};
}

double Seconds(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Prints [multiple, seconds, seconds of the copy]. `work` returns the seconds of one time.
void Measure(int rounds, const Tensor& values, const std::function<double()>& work) {
  Tensor target = values;
  std::vector<double> ratios, times, copies;
  for (int i = 0; i < rounds; ++i) {
    copies.push_back(
        Seconds([&] { std::memcpy(target.data(), values.data(), 4 * values.size()); }));
    times.push_back(work());
    ratios.push_back(times.back() / copies.back());
  }
  std::printf("[%.4g, %.4g, %.4g]", Median(ratios), Median(times), Median(copies));
}

void Run(const Codec& codec, int rounds, const Tensor& request, const Tensor& answer) {
  std::printf("[\"%s\", ", codec.name);
  Measure(rounds, request, [&] {
    std::any result;
    return Seconds([&] { result = codec.write(request); });
  });
  std::printf(", ");
  const std::string bytes = codec.encode(answer);
  Measure(rounds, answer, [&] {
    Block block(bytes.size());
    std::memcpy(block.data(), bytes.data(), bytes.size());
    std::any result;
    const float* found = nullptr;
    size_t size = 0;
    const double seconds = Seconds([&] {
      result = codec.read(std::move(block), [&](const float* values, size_t count) {
        found = values;
        size = count;
      });
    });
    if (size != answer.size() || std::memcmp(found, answer.data(), 4 * size) != 0) std::abort();
    return seconds;
  });
  std::printf("]\n");
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::max(1, std::atoi(arguments[1])) : 5;
  std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform;
  Tensor request(CountOf(kRequest));
  for (float& value : request) value = uniform(random);
  const Tensor answer(request.begin(), request.begin() + static_cast<ptrdiff_t>(CountOf(kAnswer)));
  for (const Codec& codec :
       {OurClient(), OneBlock(), Flatbuffers(), Protobuf("protobuf, tensor_content", PutContent),
        Protobuf("protobuf, float_val", PutFloats)})
    Run(codec, rounds, request, answer);
  return 0;
}
