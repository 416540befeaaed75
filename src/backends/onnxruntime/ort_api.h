// SPDX-License-Identifier: Apache-2.0
// The part of ONNX Runtime's C interface that is called here, declared without the runtime's
// headers, so that the plugin works with every version from 1.17 on. OrtGetApiBase() leads to a
// table of function pointers whose order never changes, so a function is known by its position in
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtThreadingOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtTypeInfo;
struct OrtTensorTypeAndShapeInfo;

namespace penstock::onnxruntime {

// The version of the table that is asked for: that of ONNX Runtime 1.17, and of all later ones.
inline constexpr uint32_t kApiVersion = 17;

// The values of ONNXTensorElementDataType in the runtime's header, which this plugin does not
// include. They are a part of the runtime's ABI, so they never change.
enum ElementType {
  kOrtFloat = 1,
  kOrtUint8 = 2,
  kOrtInt8 = 3,
  kOrtUint16 = 4,
  kOrtInt16 = 5,
  kOrtInt32 = 6,
  kOrtInt64 = 7,
  kOrtString = 8,
  kOrtBool = 9,
  kOrtFloat16 = 10,
  kOrtDouble = 11,
  kOrtUint32 = 12,
  kOrtUint64 = 13,
  kOrtComplex64 = 14,
  kOrtComplex128 = 15,
  kOrtBfloat16 = 16,
};

// The same for ONNXType, OrtLoggingLevel and GraphOptimizationLevel.
inline constexpr int kOnnxTypeTensor = 1;
inline constexpr int kOnnxTypeSequence = 2;
inline constexpr int kOnnxTypeMap = 3;
inline constexpr int kOnnxTypeSparse = 5;
inline constexpr int kOnnxTypeOptional = 6;
inline constexpr int kLogWarning = 2;
inline constexpr int kLogError = 3;
inline constexpr int kOptimizeAll = 99;

using LogFunction = void (*)(void* parameter, int severity, const char* category, const char* id,
                             const char* location, const char* message);

// The functions. All that return OrtStatus* give null for success. Immutable after Open.
// A position is that of the member in the struct OrtApi of onnxruntime_c_api.h. The runtime
// promises that it only appends to that struct.
struct OrtApi {
  // X(position, return type, name, arguments)
#define PENSTOCK_ORT_FUNCTIONS(X)                                                                 \
  X(1, int, GetErrorCode, (const OrtStatus*))                                                     \
  X(2, const char*, GetErrorMessage, (const OrtStatus*))                                          \
  X(6, OrtStatus*, DisableTelemetryEvents, (const OrtEnv*))                                       \
  X(7, OrtStatus*, CreateSession,                                                                 \
    (const OrtEnv*, const char* path, const OrtSessionOptions*, OrtSession**))                    \
  X(8, OrtStatus*, CreateSessionFromArray,                                                        \
    (const OrtEnv*, const void* bytes, size_t, const OrtSessionOptions*, OrtSession**))           \
  X(9, OrtStatus*, Run,                                                                           \
    (OrtSession*, const OrtRunOptions*, const char* const* input_names, const OrtValue* const*,   \
     size_t, const char* const* output_names, size_t, OrtValue**))                                \
  X(10, OrtStatus*, CreateSessionOptions, (OrtSessionOptions**))                                  \
  X(23, OrtStatus*, SetSessionGraphOptimizationLevel, (OrtSessionOptions*, int))                  \
  X(30, OrtStatus*, SessionGetInputCount, (const OrtSession*, size_t*))                           \
  X(31, OrtStatus*, SessionGetOutputCount, (const OrtSession*, size_t*))                          \
  X(32, OrtStatus*, SessionGetOverridableInitializerCount, (const OrtSession*, size_t*))          \
  X(33, OrtStatus*, SessionGetInputTypeInfo, (const OrtSession*, size_t, OrtTypeInfo**))          \
  X(34, OrtStatus*, SessionGetOutputTypeInfo, (const OrtSession*, size_t, OrtTypeInfo**))         \
  X(35, OrtStatus*, SessionGetOverridableInitializerTypeInfo,                                     \
    (const OrtSession*, size_t, OrtTypeInfo**))                                                   \
  X(36, OrtStatus*, SessionGetInputName, (const OrtSession*, size_t, OrtAllocator*, char**))      \
  X(37, OrtStatus*, SessionGetOutputName, (const OrtSession*, size_t, OrtAllocator*, char**))     \
  X(38, OrtStatus*, SessionGetOverridableInitializerName,                                         \
    (const OrtSession*, size_t, OrtAllocator*, char**))                                           \
  X(39, OrtStatus*, CreateRunOptions, (OrtRunOptions**))                                          \
  X(46, OrtStatus*, RunOptionsSetTerminate, (OrtRunOptions*))                                     \
  X(48, OrtStatus*, CreateTensorAsOrtValue,                                                       \
    (OrtAllocator*, const int64_t* shape, size_t rank, int type, OrtValue**))                     \
  X(49, OrtStatus*, CreateTensorWithDataAsOrtValue,                                               \
    (const OrtMemoryInfo*, void* data, size_t bytes, const int64_t* shape, size_t rank, int type, \
     OrtValue**))                                                                                 \
  X(51, OrtStatus*, GetTensorMutableData, (OrtValue*, void**))                                    \
  X(53, OrtStatus*, GetStringTensorDataLength, (const OrtValue*, size_t*))                        \
  X(54, OrtStatus*, GetStringTensorContent,                                                       \
    (const OrtValue*, void* buffer, size_t bytes, size_t* offsets, size_t count))                 \
  X(55, OrtStatus*, CastTypeInfoToTensorInfo,                                                     \
    (const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**))                                      \
  X(56, OrtStatus*, GetOnnxTypeFromTypeInfo, (const OrtTypeInfo*, int*))                          \
  X(60, OrtStatus*, GetTensorElementType, (const OrtTensorTypeAndShapeInfo*, int*))               \
  X(61, OrtStatus*, GetDimensionsCount, (const OrtTensorTypeAndShapeInfo*, size_t*))              \
  X(62, OrtStatus*, GetDimensions, (const OrtTensorTypeAndShapeInfo*, int64_t*, size_t))          \
  X(63, OrtStatus*, GetSymbolicDimensions,                                                        \
    (const OrtTensorTypeAndShapeInfo*, const char**, size_t))                                     \
  X(65, OrtStatus*, GetTensorTypeAndShape, (const OrtValue*, OrtTensorTypeAndShapeInfo**))        \
  X(67, OrtStatus*, GetValueType, (const OrtValue*, int*))                                        \
  X(69, OrtStatus*, CreateCpuMemoryInfo, (int allocator, int memory, OrtMemoryInfo**))            \
  X(76, OrtStatus*, AllocatorFree, (OrtAllocator*, void*))                                        \
  X(78, OrtStatus*, GetAllocatorWithDefaultOptions, (OrtAllocator**))                             \
  X(92, void, ReleaseEnv, (OrtEnv*))                                                              \
  X(93, void, ReleaseStatus, (OrtStatus*))                                                        \
  X(94, void, ReleaseMemoryInfo, (OrtMemoryInfo*))                                                \
  X(95, void, ReleaseSession, (OrtSession*))                                                      \
  X(96, void, ReleaseValue, (OrtValue*))                                                          \
  X(97, void, ReleaseRunOptions, (OrtRunOptions*))                                                \
  X(98, void, ReleaseTypeInfo, (OrtTypeInfo*))                                                    \
  X(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorTypeAndShapeInfo*))                        \
  X(100, void, ReleaseSessionOptions, (OrtSessionOptions*))                                       \
  X(120, OrtStatus*, DisablePerSessionThreads, (OrtSessionOptions*))                              \
  X(121, OrtStatus*, CreateThreadingOptions, (OrtThreadingOptions**))                             \
  X(122, void, ReleaseThreadingOptions, (OrtThreadingOptions*))                                   \
  X(147, OrtStatus*, SetGlobalIntraOpNumThreads, (OrtThreadingOptions*, int))                     \
  X(148, OrtStatus*, SetGlobalInterOpNumThreads, (OrtThreadingOptions*, int))                     \
  X(149, OrtStatus*, SetGlobalSpinControl, (OrtThreadingOptions*, int))                           \
  X(150, OrtStatus*, AddInitializer, (OrtSessionOptions*, const char* name, const OrtValue*))     \
  X(151, OrtStatus*, CreateEnvWithCustomLoggerAndGlobalThreadPools,                               \
    (LogFunction, void* parameter, int level, const char* id, const OrtThreadingOptions*,         \
     OrtEnv**))                                                                                   \
  X(210, OrtStatus*, AddExternalInitializers,                                                     \
    (OrtSessionOptions*, const char* const* names, const OrtValue* const*, size_t))               \
  X(228, OrtStatus*, RegisterCustomOpsLibrary_V2, (OrtSessionOptions*, const char* path))         \
  X(252, OrtStatus*, GetResizedStringTensorElementBuffer,                                         \
    (OrtValue*, size_t index, size_t bytes, char**))

#define PENSTOCK_ORT_MEMBER(position, result, name, arguments) result(*name) arguments = nullptr;
  PENSTOCK_ORT_FUNCTIONS(PENSTOCK_ORT_MEMBER)
#undef PENSTOCK_ORT_MEMBER

  std::string version;  // of the library, as "1.31.1"

  // Opens the library at `path`, for good. Throws Error.
  static OrtApi Open(const std::string& path);

  // Throws the status as Error, with `what` before its text, unless it is null.
  void Check(OrtStatus* status, const char* what) const;
};

// Releases an object of the runtime through `api`, which must outlive the object. One thread at a
// time.
template <typename T, void (*OrtApi::*kRelease)(T*)>
struct Releaser {
  const OrtApi* api = nullptr;
  void operator()(T* object) const { (api->*kRelease)(object); }
};
using EnvPtr = std::unique_ptr<OrtEnv, Releaser<OrtEnv, &OrtApi::ReleaseEnv>>;
using SessionPtr = std::unique_ptr<OrtSession, Releaser<OrtSession, &OrtApi::ReleaseSession>>;
using SessionOptionsPtr =
    std::unique_ptr<OrtSessionOptions, Releaser<OrtSessionOptions, &OrtApi::ReleaseSessionOptions>>;
using RunOptionsPtr =
    std::unique_ptr<OrtRunOptions, Releaser<OrtRunOptions, &OrtApi::ReleaseRunOptions>>;
using ThreadingOptionsPtr =
    std::unique_ptr<OrtThreadingOptions,
                    Releaser<OrtThreadingOptions, &OrtApi::ReleaseThreadingOptions>>;
using ValuePtr = std::unique_ptr<OrtValue, Releaser<OrtValue, &OrtApi::ReleaseValue>>;
using MemoryInfoPtr =
    std::unique_ptr<OrtMemoryInfo, Releaser<OrtMemoryInfo, &OrtApi::ReleaseMemoryInfo>>;
using TypeInfoPtr = std::unique_ptr<OrtTypeInfo, Releaser<OrtTypeInfo, &OrtApi::ReleaseTypeInfo>>;
using ShapeInfoPtr =
    std::unique_ptr<OrtTensorTypeAndShapeInfo,
                    Releaser<OrtTensorTypeAndShapeInfo, &OrtApi::ReleaseTensorTypeAndShapeInfo>>;

// Convert between the runtime's element types and PENSTOCK_FLOAT32 and so on. 0 if the other side
// has no such type.
int32_t FromOrtType(int type);
int ToOrtType(int32_t dtype);
// Bytes of an element of one of our types; 0 for strings.
size_t ElementBytes(int32_t dtype);

}  // namespace penstock::onnxruntime
