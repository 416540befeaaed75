// SPDX-License-Identifier: Apache-2.0
// A backend that does what its tests need done wrong. Commands of a request, in its one string:
//   break          reports the model as broken, and answers
//   break_backend  reports the backend as broken, and answers
//   hang           answers when it is told to stop
//   throw          throws
// Anything else comes back.
// And of a load, in the model's file:
//   fail, throw    does so
//   no_model       loads nothing, without an error
//   break          reports the model as broken at once
//   wait           logs "this load waits", and waits until the file says something else
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "penstock/backend.hpp"

namespace {

using namespace penstock::plugin;

Description Describe() {
  Signature signature;
  signature.inputs = {
      {.name = "command", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0}};
  signature.outputs = {{.name = "echo", .dtype = PENSTOCK_STRING, .shape = {-1}, .batch_axis = 0}};
  Description description;
  description.signatures = {std::move(signature)};
  return description;
}

void Stopped(void* argument) {
  const std::unique_ptr<Request> request(static_cast<Request*>(argument));
  request->Fail(request->stop_reason(), "stopped while it hung");
}

// Immutable, so thread-safe.
class TroubledModel final : public Model {
 public:
  TroubledModel(const PenstockHost& host, bool breaks) : Model(Describe()), host_(host) {
    if (breaks) ReportBroken(host_, "broken by its load");
  }

  void Run(Request&& request) override {
    const PenstockTensor& input = request.inputs()[0].tensor;
    const std::string command(View(*static_cast<const PenstockString*>(input.data)));
    if (command == "throw") throw std::runtime_error("thrown as asked");
    if (command == "hang") {
      auto* const hung = new Request(std::move(request));  // owned by its callback
      hung->raw()->on_stop(hung->raw(), &Stopped, hung);
      return;
    }
    if (command == "break") ReportBroken(host_, "broken as asked");
    if (command == "break_backend") host_.broken(&host_, nullptr, ToC("all broken as asked"));
    Outputs outputs;
    outputs.AddStrings(0, {1}, {command});
    request.Finish(outputs);
  }

 private:
  const PenstockHost& host_;
};

// What the model's file says.
std::string Text(std::string_view folder) {
  std::ifstream file(std::string(folder) + "/model.troubled");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  text.erase(text.find_last_not_of('\n') + 1);
  return text;
}

// Thread-safe.
class TroubledBackend final : public Backend {
 public:
  explicit TroubledBackend(const PenstockHost& host) : host_(host) {}

  std::unique_ptr<Model> Load(const LoadArguments& arguments) override {
    std::string text = Text(arguments.folder);
    if (text == "wait") host_.log(&host_, PENSTOCK_LOG_INFO, ToC("this load waits"));
    for (; text == "wait"; text = Text(arguments.folder))
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (text == "fail") throw Error(PENSTOCK_DATA_LOSS, "failed as asked");
    if (text == "throw") throw std::runtime_error("thrown as asked");
    if (text == "no_model") return nullptr;
    return std::make_unique<TroubledModel>(host_, text == "break");
  }

 private:
  const PenstockHost& host_;
};

int32_t FailToStart(const PenstockHost*, void**, PenstockError* error) {
  error->set(error, ToC("no licence"));
  return PENSTOCK_PERMISSION_DENIED;
}

}  // namespace

extern "C" PENSTOCK_EXPORT const PenstockBackend* penstock_backend_get(uint32_t host_abi) {
  static PenstockBackend table;
  table = *Table<TroubledBackend>::Get(PENSTOCK_BACKEND_ABI, "troubled", "1.0");
  const char* const variable = std::getenv("PENSTOCK_TROUBLE");
  const std::string_view trouble = variable == nullptr ? "" : variable;
  if (trouble == "old" && host_abi != 1) return nullptr;  // as a backend that was built for ABI 1
  if (trouble == "null") return nullptr;
  if (trouble == "throw") throw std::runtime_error("thrown as asked");
  if (trouble == "abi") table.abi = 99;
  if (trouble == "short") table.struct_size = 16;
  if (trouble == "no_run") table.run = nullptr;
  if (trouble == "start") table.initialise = &FailToStart;
  return &table;
}
