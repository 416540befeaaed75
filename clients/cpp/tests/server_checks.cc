// SPDX-License-Identifier: Apache-2.0
// Calls a real server that has the models identity and half_plus_two.
//
//   server_checks call KEY=VALUE...    a large tensor through identity; prints "same" or the error
//   server_checks all KEY=VALUE...     everything; ends with an error if something is wrong
#include <penstock_client/client.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace penstock_client;

using Settings = std::map<std::string, std::string>;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::cerr << __FILE__ << ":" << __LINE__ << ": not so: " #condition "\n"; \
      std::exit(1);                                                             \
    }                                                                           \
  } while (false)

Client Connect(Settings settings) {
  return Client(settings["url"], {.token = settings["token"],
                                  .ca_file = settings["ca"],
                                  .certificate_file = settings["certificate"],
                                  .key_file = settings["key"],
                                  .unix_socket = settings["unix_socket"]});
}

// The class of an error, and its text.
std::string Described(const std::function<void()>& call) {
  try {
    call();
  } catch (const BadRequest& error) {
    return std::string("BadRequest: ") + error.what();
  } catch (const Unauthorized& error) {
    return std::string("Unauthorized: ") + error.what();
  } catch (const NotFound& error) {
    return std::string("NotFound: ") + error.what();
  } catch (const ConnectionFailed& error) {
    return std::string("ConnectionFailed: ") + error.what();
  } catch (const std::exception& error) {
    return std::string("another error: ") + error.what();
  }
  return "no error";
}

bool IsError(const std::function<void()>& call, const std::string& begin, const std::string& part) {
  const std::string text = Described(call);
  if (text.starts_with(begin) && text.find(part) != std::string::npos) return true;
  std::cerr << text << "\n";
  return false;
}

std::string CallIdentity(const Model& identity) {
  const std::vector<float> x(2 * 224 * 224 * 3, 1.5f);
  std::string result = "different";
  const std::string error = Described([&] {
    const Output y = identity.InferOne(Input(x, {2, 224, 224, 3}));
    const auto values = y.values<float>();
    if (std::vector<float>(values.begin(), values.end()) == x &&
        reinterpret_cast<uintptr_t>(values.data()) % 64 == 0)
      result = "same";
  });
  return error == "no error" ? result : error;
}

void CheckPaths(const Client& client) {
  const std::vector<float> x = {1, 2, 5};
  const std::vector<float> expected = {2.5, 3, 4.5};
  for (const Model& model :
       {client.model("half_plus_two"), client.model("half_plus_two", {.version = 1}),
        client.model("half_plus_two", {.signature = "serving_default"})}) {
    const Output y = model.InferOne(x);
    CHECK(std::ranges::equal(y.values<float>(), expected));
    const auto named = model.InferNamed({{"x", x}});
    CHECK(std::ranges::equal(named.at("y").values<float>(), expected));
  }
}

void CheckNames(const Model& identity) {
  const std::vector<float> a = {1, 2};
  const std::vector<int64_t> b = {3};
  const auto outputs =
      identity.Infer({{"a", a}, {"b", b}}, {.outputs = {"b", "a"}, .config = "{}"});
  CHECK(outputs.size() == 2);
  CHECK(outputs[0].values<int64_t>()[0] == 3);
  CHECK(outputs[1].values<float>()[1] == 2);
}

template <typename T>
void CheckType(const Model& identity) {
  std::vector<T> x(70 * 50);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto bits = static_cast<uint64_t>(i * 0x0102'0408'1020'4081);
    std::memcpy(&x[i], &bits, std::min(sizeof(T), sizeof(bits)));
  }
  for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{5}, Shape{2, 3, 4}, Shape{70, 50}}) {
    size_t count = 1;
    for (const int64_t size : shape) count *= static_cast<size_t>(size);
    const std::span<const T> part = std::span(std::as_const(x)).first(count);
    const Output y = identity.InferOne(Input(part, shape));
    CHECK(y.shape() == shape && y.dtype() == DTypeOf<T>() && y.values<T>().size() == count);
    CHECK(count == 0 || std::memcmp(y.bytes().data(), part.data(), part.size_bytes()) == 0);
  }
}

void CheckTypes(const Model& identity) {
  CheckType<uint8_t>(identity);
  CheckType<int8_t>(identity);
  CheckType<uint16_t>(identity);
  CheckType<int16_t>(identity);
  CheckType<uint32_t>(identity);
  CheckType<int32_t>(identity);
  CheckType<uint64_t>(identity);
  CheckType<int64_t>(identity);
  CheckType<Float16>(identity);
  CheckType<float>(identity);
  CheckType<double>(identity);
  const std::vector<std::string> texts = {"one", std::string("a\0", 2), "", "four"};
  const Output y = identity.InferOne(Input(texts, {2, 2}));
  CHECK(y.shape() == (Shape{2, 2}));
  CHECK(std::ranges::equal(y.strings(), texts));
}

void CheckMetadata(const Client& client) {
  const ModelMetadata metadata = client.model("half_plus_two").Metadata();
  CHECK(metadata.name == "half_plus_two" && metadata.server == "penstock");
  CHECK(metadata.inputs.size() == 1 && metadata.outputs.size() == 1);
  CHECK(metadata.inputs[0].name == "x" && metadata.inputs[0].shape == Shape{-1});
  CHECK(metadata.outputs[0].dtype == DType::kFloat32);
}

void CheckErrors(const Client& client) {
  const std::vector<float> x = {1};
  const Model model = client.model("half_plus_two");
  CHECK(IsError([&] { model.Infer({{"q", x}}); }, "BadRequest: 400", "the inputs are: x"));
  CHECK(IsError([&] { client.model("half_plus_two", {.label = "no"}).Infer(x); }, "BadRequest: 400",
                "label"));
  CHECK(IsError([&] { client.model("none").Infer(x); }, "NotFound: 404", "none"));
  CHECK(IsError([&] { client.model("half_plus_two", {.version = 7}).Infer(x); }, "NotFound: 404",
                "7"));
  CHECK(model.InferOne(x).size() == 1);
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  for (int i = 2; i < count; ++i) {
    const std::string argument = arguments[i];
    const size_t at = argument.find('=');
    settings[argument.substr(0, at)] = argument.substr(at + 1);
  }
  const Client client = Connect(settings);
  const std::string called = CallIdentity(client.model("identity"));
  std::cout << called << "\n";
  if (std::string(arguments[1]) != "all") return 0;
  CHECK(called == "same");
  CheckPaths(client);
  CheckNames(client.model("identity"));
  CheckTypes(client.model("identity"));
  CheckMetadata(client);
  CheckErrors(client);
  return 0;
}
