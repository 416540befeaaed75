// SPDX-License-Identifier: Apache-2.0
#include "ort_api.h"

#include <dlfcn.h>

#include <string_view>

#include "penstock/backend.hpp"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

// The struct that OrtGetApiBase() returns; its layout never changes.
struct OrtApiBase {
  const void* const* (*get_api)(uint32_t version);
  const char* (*get_version)();
};

// From the runtime's OrtErrorCode. The codes without a row, such as "general failure", do not say
// whose mistake it was.
int32_t CodeOf(int ort_code) {
  switch (ort_code) {
    case 2:
      return PENSTOCK_INVALID_ARGUMENT;  // invalid argument
    case 3:
      return PENSTOCK_NOT_FOUND;  // no such file
    case 7:
      return PENSTOCK_INVALID_ARGUMENT;  // invalid protobuf
    case 9:
      return PENSTOCK_UNIMPLEMENTED;  // not implemented
    case 10:
      return PENSTOCK_INVALID_ARGUMENT;  // invalid graph
    default:
      return PENSTOCK_INTERNAL;
  }
}

// ONNX Runtime has no code for what an operator refuses in a run, such as shapes that do not fit
// each other or a divisor of zero. The request is at fault then, unless memory is short.
int32_t CodeOfOperator(std::string_view text) {
  if (text.find("Non-zero status code returned while running") == text.npos)
    return PENSTOCK_INTERNAL;
  return text.find("Failed to allocate memory") == text.npos ? PENSTOCK_INVALID_ARGUMENT
                                                             : PENSTOCK_RESOURCE_EXHAUSTED;
}

// Removes the path of the runtime's source file, with which many of its messages begin. In a
// message about a nested graph it is the last one.
void RemoveSourcePath(std::string& text) {
  constexpr std::string_view kBefore = "Status Message: ";
  size_t begin = text.rfind(kBefore);
  if (begin == text.npos) return;
  begin += kBefore.size();
  const size_t end = text.find(' ', begin);
  if (text[begin] == '/' && end != text.npos) text.erase(begin, end + 1 - begin);
}

struct TypeRow {
  int ort;
  int32_t ours;
  size_t bytes;
};
constexpr TypeRow kTypes[] = {
    {kOrtFloat, PENSTOCK_FLOAT32, 4},
    {kOrtUint8, PENSTOCK_UINT8, 1},
    {kOrtInt8, PENSTOCK_INT8, 1},
    {kOrtUint16, PENSTOCK_UINT16, 2},
    {kOrtInt16, PENSTOCK_INT16, 2},
    {kOrtInt32, PENSTOCK_INT32, 4},
    {kOrtInt64, PENSTOCK_INT64, 8},
    {kOrtString, PENSTOCK_STRING, 0},
    {kOrtBool, PENSTOCK_BOOL, 1},
    {kOrtFloat16, PENSTOCK_FLOAT16, 2},
    {kOrtDouble, PENSTOCK_FLOAT64, 8},
    {kOrtUint32, PENSTOCK_UINT32, 4},
    {kOrtUint64, PENSTOCK_UINT64, 8},
    {kOrtComplex64, PENSTOCK_COMPLEX64, 8},
    {kOrtComplex128, PENSTOCK_COMPLEX128, 16},
    {kOrtBfloat16, PENSTOCK_BFLOAT16, 2},
};

}  // namespace

OrtApi OrtApi::Open(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw Error(PENSTOCK_FAILED_PRECONDITION, dlerror());
  const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) {
    throw Error(PENSTOCK_FAILED_PRECONDITION, path + " is not ONNX Runtime: no OrtGetApiBase");
  }
  // A library that is older than the version asked for returns null. A newer one returns a table in
  // which the known positions are the same.
  const void* const* const table = get_base()->get_api(kApiVersion);
  OrtApi api;
  api.version = get_base()->get_version();
  if (table == nullptr) {
    throw Error(PENSTOCK_FAILED_PRECONDITION, path + " is ONNX Runtime " + api.version + "; 1." +
                                                  std::to_string(kApiVersion) +
                                                  " or newer is needed");
  }
#define PENSTOCK_ORT_TAKE(position, result, name, arguments) \
  api.name = reinterpret_cast<decltype(api.name)>(const_cast<void*>(table[position]));
  PENSTOCK_ORT_FUNCTIONS(PENSTOCK_ORT_TAKE)
#undef PENSTOCK_ORT_TAKE
  return api;
}

void OrtApi::Check(OrtStatus* status, const char* what) const {
  if (status == nullptr) return;
  int32_t code = CodeOf(GetErrorCode(status));
  std::string text = std::string(what) + ": " + GetErrorMessage(status);
  if (code == PENSTOCK_INTERNAL) code = CodeOfOperator(text);
  RemoveSourcePath(text);
  ReleaseStatus(status);
  throw Error(code, std::move(text));
}

int32_t FromOrtType(int type) {
  for (const TypeRow& row : kTypes) {
    if (row.ort == type) return row.ours;
  }
  return 0;
}

int ToOrtType(int32_t dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.ours == dtype) return row.ort;
  }
  return 0;
}

size_t ElementBytes(int32_t dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.ours == dtype) return row.bytes;
  }
  return 0;
}

}  // namespace penstock::onnxruntime
