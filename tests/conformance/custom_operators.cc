// SPDX-License-Identifier: Apache-2.0
// A library with an operator of its own for ONNX Runtime, as its users write them:
// penstock.test.Triple, y = 3 x for vectors of float.
#include <cstddef>
#include <cstdint>

namespace {

struct ApiBase {
  const void* const* (*get_api)(uint32_t version);
};
struct Status;
struct Options;
struct Domain;
struct Context;
struct Value;
struct Shape;

constexpr uint32_t kVersion = 12;
constexpr int kFloat = 1;
constexpr int kRequired = 0;
const void* const* functions = nullptr;  // set once, before the operator runs

// The function at `position` of the runtime's table, whose order never changes.
template <typename... Arguments>
Status* Call(size_t position, Arguments... arguments) {
  return reinterpret_cast<Status* (*)(Arguments...)>(const_cast<void*>(functions[position]))(
      arguments...);
}

// As OrtCustomOp up to version 12. Immutable.
struct Operator {
  uint32_t version;
  void* (*create)(const Operator*, const void* api, const void* info);
  const char* (*name)(const Operator*);
  const char* (*provider)(const Operator*);
  int (*input_type)(const Operator*, size_t);
  size_t (*input_count)(const Operator*);
  int (*output_type)(const Operator*, size_t);
  size_t (*output_count)(const Operator*);
  void (*compute)(void* kernel, Context*);
  void (*destroy)(void* kernel);
  int (*input_kind)(const Operator*, size_t);
  int (*output_kind)(const Operator*, size_t);
};

void Compute(void* /*kernel*/, Context* context) {
  const Value* input = nullptr;
  Call<const Context*, size_t, const Value**>(90, context, 0, &input);
  Shape* shape = nullptr;
  Call<const Value*, Shape**>(65, input, &shape);
  int64_t size = 0;
  Call<const Shape*, int64_t*, size_t>(62, shape, &size, 1);
  Value* output = nullptr;
  Call<Context*, size_t, const int64_t*, size_t, Value**>(91, context, 0, &size, 1, &output);
  float* from = nullptr;
  float* to = nullptr;
  Call<const Value*, void*>(51, input, &from);
  Call<const Value*, void*>(51, output, &to);
  for (int64_t i = 0; i < size; ++i) to[i] = 3 * from[i];
  reinterpret_cast<void (*)(Shape*)>(const_cast<void*>(functions[99]))(shape);
}

constexpr Operator kTriple = {kVersion,
                              [](const Operator* self, const void*, const void*) {
                                return const_cast<void*>(static_cast<const void*>(self));
                              },
                              [](const Operator*) { return "Triple"; },
                              [](const Operator*) -> const char* { return nullptr; },  // the CPU's
                              [](const Operator*, size_t) { return kFloat; },
                              [](const Operator*) { return size_t{1}; },
                              [](const Operator*, size_t) { return kFloat; },
                              [](const Operator*) { return size_t{1}; },
                              Compute,
                              [](void*) {},
                              [](const Operator*, size_t) { return kRequired; },
                              [](const Operator*, size_t) { return kRequired; }};

}  // namespace

// What ONNX Runtime looks for.
extern "C" __attribute__((visibility("default"))) Status* RegisterCustomOps(Options* options,
                                                                            const ApiBase* base) {
  functions = base->get_api(kVersion);
  static Domain* domain = [] {
    Domain* made = nullptr;
    Call<const char*, Domain**>(26, "penstock.test", &made);
    Call<Domain*, const Operator*>(27, made, &kTriple);
    return made;
  }();
  return Call<Options*, Domain*>(28, options, domain);
}
