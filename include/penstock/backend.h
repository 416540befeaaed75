/* SPDX-License-Identifier: Apache-2.0
 *
 * The border between Penstock and what computes models. A backend is a folder
 *   backends/<name>/penstock_<name>.so     exports one symbol, penstock_backend_get
 *   backends/<name>/models.txt             optional: file names, one pattern a line, by which a
 *                                          model folder is recognised ("model.onnx", "*.onnx");
 *                                          "otherwise *.pb" counts only if no other line of any
 *                                          backend fits
 * opened with RTLD_NOW | RTLD_LOCAL when the first model needs it. Plain C: no C++ type and no
 * exception crosses. backend.hpp beside this file is a thin C++ wrapper; docs/add-a-backend.md is
 * the tutorial.
 *
 * Rules that hold everywhere:
 * - Structs that start with `struct_size` grow at their end only. Whoever makes one sets it to
 *   sizeof; whoever reads one treats what lies beyond `struct_size` as zero. Zero always means
 * "no". All other structs are frozen. Set `reserved` fields to 0.
 * - Text is UTF-8, (pointer, length), not terminated. An argument is alive until the call returns;
 *   whoever wants it for longer copies it.
 * - Every function may be called on any thread, several at once, unless it says otherwise.
 */
#ifndef PENSTOCK_BACKEND_H_
#define PENSTOCK_BACKEND_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised only when old backends can no longer be run. */
#define PENSTOCK_BACKEND_ABI 1u

/* Text, or one element of a string tensor (then any bytes). */
typedef struct PenstockString {
  const char* data; /* may be null if size is 0 */
  size_t size;
} PenstockString;

/* A setting as text: "intra_op_threads" = "4". */
typedef struct PenstockOption {
  PenstockString key;
  PenstockString value;
} PenstockOption;

/* ---- Errors: gRPC's canonical codes and a text that says what was wrong, where, and what would be
 * right. A function that can fail returns the code, and before that gives the text to
 * `error->set`, which copies it. */
enum {
  PENSTOCK_OK = 0,
  PENSTOCK_CANCELLED = 1,
  PENSTOCK_UNKNOWN = 2,
  PENSTOCK_INVALID_ARGUMENT = 3,
  PENSTOCK_DEADLINE_EXCEEDED = 4,
  PENSTOCK_NOT_FOUND = 5,
  PENSTOCK_ALREADY_EXISTS = 6,
  PENSTOCK_PERMISSION_DENIED = 7,
  PENSTOCK_RESOURCE_EXHAUSTED = 8,
  PENSTOCK_FAILED_PRECONDITION = 9,
  PENSTOCK_ABORTED = 10,
  PENSTOCK_OUT_OF_RANGE = 11,
  PENSTOCK_UNIMPLEMENTED = 12,
  PENSTOCK_INTERNAL = 13,
  PENSTOCK_UNAVAILABLE = 14,
  PENSTOCK_DATA_LOSS = 15,
  PENSTOCK_UNAUTHENTICATED = 16
};

typedef struct PenstockError {
  void (*set)(struct PenstockError* error, PenstockString text);
} PenstockError;

/* ---- Tensors: row-major, little-endian. */

/* Element types, with the numbers of TensorFlow's DataType. */
enum {
  PENSTOCK_FLOAT32 = 1,
  PENSTOCK_FLOAT64 = 2,
  PENSTOCK_INT32 = 3,
  PENSTOCK_UINT8 = 4,
  PENSTOCK_INT16 = 5,
  PENSTOCK_INT8 = 6,
  PENSTOCK_STRING = 7,
  PENSTOCK_COMPLEX64 = 8,
  PENSTOCK_INT64 = 9,
  PENSTOCK_BOOL = 10,
  PENSTOCK_QINT8 = 11,
  PENSTOCK_QUINT8 = 12,
  PENSTOCK_QINT32 = 13,
  PENSTOCK_BFLOAT16 = 14,
  PENSTOCK_QINT16 = 15,
  PENSTOCK_QUINT16 = 16,
  PENSTOCK_UINT16 = 17,
  PENSTOCK_COMPLEX128 = 18,
  PENSTOCK_FLOAT16 = 19,
  PENSTOCK_UINT32 = 22,
  PENSTOCK_UINT64 = 23
};

/* Keeps memory alive, for either side. `calls` null: nobody keeps it beyond the current call. */
typedef struct PenstockOwnerCalls {
  void (*keep)(void* object);    /* one more reference */
  void (*release)(void* object); /* one less; the last one frees */
} PenstockOwnerCalls;
typedef struct PenstockOwner {
  void* object;
  const PenstockOwnerCalls* calls;
} PenstockOwner;

typedef struct PenstockTensor {
  int32_t dtype;
  uint32_t rank;        /* 0 = scalar; at most 254 */
  const int64_t* shape; /* `rank` sizes, none negative; zero-sized dimensions are fine */
  const void* data;     /* never null in an input. PENSTOCK_STRING: an array of PenstockString */
  uint64_t bytes;       /* of `data`: exactly elements * element size */
  PenstockOwner owner;  /* of `data` */
  PenstockOwner string_owner; /* of the characters; calls null: `owner` keeps those as well */
} PenstockTensor;

#define PENSTOCK_NO_INDEX UINT32_MAX
typedef struct PenstockNamedTensor {
  PenstockString name;
  uint32_t index; /* position among the signature's inputs or outputs, or PENSTOCK_NO_INDEX */
  uint32_t reserved;
  PenstockTensor tensor;
} PenstockNamedTensor;

/* ---- What the host gives a backend. Lives until `shut_down` has returned. */
enum {
  PENSTOCK_LOG_DEBUG = 0,
  PENSTOCK_LOG_INFO = 1,
  PENSTOCK_LOG_WARNING = 2,
  PENSTOCK_LOG_ERROR = 3
};
enum { PENSTOCK_METRIC_COUNT = 0, PENSTOCK_METRIC_GAUGE = 1, PENSTOCK_METRIC_HISTOGRAM = 2 };

typedef struct PenstockHost {
  size_t struct_size;
  uint32_t abi;              /* PENSTOCK_BACKEND_ABI of the host */
  uint32_t intra_op_threads; /* budget of the process for threads inside one operation, >= 1 */
  uint32_t inter_op_threads; /* and for operations side by side, >= 1 */
  uint32_t reserved;
  PenstockString folder;         /* where the backend's .so lies */
  const PenstockOption* options; /* settings of the backend */
  size_t option_count;
  void (*log)(const struct PenstockHost* host, int32_t severity, PenstockString text);
  /* Memory aligned to 64, from the host's allocator; `owner` gets one reference. Null if there is
   * none. */
  void* (*allocate)(const struct PenstockHost* host, size_t bytes, PenstockOwner* owner);
  /* Runs `task(argument)` on the compute pool. 0: refused (queue full), it will not be run. */
  int32_t (*submit)(const struct PenstockHost* host, void (*task)(void*), void* argument);
  /* Adds to a counter, sets a gauge, or records an observation (microseconds). The host prefixes
   * the name, as in "penstock_backend_<backend>_<name>". */
  void (*metric)(const struct PenstockHost* host, int32_t kind, PenstockString name, double value);
  /* Says that `model`, as `load` gave it, can no longer answer: the host sends it nothing more,
   * unloads it after its last answer, and loads its version again. Null: the whole backend can no
   * longer answer; nothing is loaded through it any more. Returns at once. */
  void (*broken)(const struct PenstockHost* host, const void* model, PenstockString reason);
} PenstockHost;

/* ---- What a model says about itself. All of it belongs to the model and is fixed while it lives.
 */
enum {
  PENSTOCK_SPEC_OPTIONAL = 1u << 0,    /* an input that may be left out */
  PENSTOCK_SPEC_UNKNOWN_RANK = 1u << 1 /* any shape; rank is 0 */
};
typedef struct PenstockTensorSpec {
  PenstockString name;         /* what clients call it */
  PenstockString backend_name; /* what the runtime calls it; for people */
  int32_t dtype;
  uint32_t flags; /* PENSTOCK_SPEC_... */
  uint32_t rank;
  int32_t batch_axis;   /* the dimension that counts rows; -1: none, or unknown */
  const int64_t* shape; /* -1 = any size */
  uint64_t reserved[2];
} PenstockTensorSpec;

typedef struct PenstockSignature {
  PenstockString name;        /* "serving_default" is what a request without a name means */
  PenstockString method_name; /* as "tensorflow/serving/predict"; may be empty */
  const PenstockTensorSpec* inputs;
  size_t input_count;
  const PenstockTensorSpec* outputs;
  size_t output_count;
  uint64_t reserved[2];
} PenstockSignature;

/* For batching by steps: `output` of one step is `input` of the next. */
typedef struct PenstockStatePair {
  PenstockString input;
  PenstockString output;
  const PenstockTensor* initial; /* of one row; null: zeros */
} PenstockStatePair;

enum {
  PENSTOCK_MAY_BLOCK = 1u << 0, /* a run may sleep or wait for I/O */
  PENSTOCK_HAS_STATE = 1u << 1, /* an answer depends on earlier requests */
  PENSTOCK_NOT_DETERMINISTIC = 1u << 2,
  PENSTOCK_SIDE_EFFECTS = 1u << 3,        /* a run changes something outside: never run it twice */
  PENSTOCK_ANY_SIGNATURE = 1u << 4,       /* takes whatever it gets: the host checks no inputs */
  PENSTOCK_DEADLINE_NEEDS_POOL = 1u << 5, /* can be stopped at a deadline only off the event loop */
  PENSTOCK_ANY_SHAPE = 1u << 6 /* declared shapes bind nobody: the host checks types only, and the
                                  backend refuses the shapes that it cannot take */
};
/* An input or output that the model has and the signature has not, and why not; with an empty name:
 * a signature that is not served. A request that names it is refused with the reason; the log and
 * `penstock inspect` show it. */
typedef struct PenstockLeftOut {
  PenstockString signature;
  PenstockString name;
  PenstockString reason; /* as "it is a sequence, and only tensors are served" */
} PenstockLeftOut;

typedef struct PenstockModelInfo {
  size_t struct_size;
  uint32_t flags;     /* PENSTOCK_MAY_BLOCK ... */
  uint32_t runs_max;  /* runs at the same time; 0 = any number. The host queues the others. */
  uint32_t alignment; /* of input data, in bytes, below which the backend must copy; 0 = any */
  uint32_t reserved;
  const PenstockSignature* signatures;
  size_t signature_count;
  const PenstockString* cut_points; /* inner tensors at which the graph can be cut for batching */
  size_t cut_point_count;
  const PenstockStatePair* state_pairs;
  size_t state_pair_count;
  /* What people should know, as "signature 's' is left out: ...". The host logs each as a warning,
   * and `penstock inspect` shows them. */
  const PenstockString* notes;
  size_t note_count;
  /* A serialized tensorflow.serving.SignatureDefMap, which GetModelMetadata answers as it is.
   * Empty: the host makes one of `signatures`. */
  PenstockString signature_def_map;
  const PenstockLeftOut* left_out;
  size_t left_out_count;
} PenstockModelInfo;

/* ---- One inference. The host owns it, and it lives until the backend has given the last part:
 * exactly one part with is_last, also after an error or a cancel. Nothing of the request may be
 * touched after that call. Answers come on any thread, before or after `run` returns, one part at a
 * time. */
typedef struct PenstockPart {
  size_t struct_size;
  int32_t code; /* not PENSTOCK_OK: no outputs, and it is the last part */
  uint32_t is_last;
  PenstockString message;
  /* Each owner carries one reference, which the host takes over whatever happens. A tensor without
   * owner is copied during the call. An owner of the host's, got from `allocate` or from an input,
   * is fine: nothing is copied. Names as in the signature; `index` spares the look-up. */
  const PenstockNamedTensor* outputs;
  size_t output_count;
} PenstockPart;

typedef struct PenstockRequest {
  size_t struct_size;
  uint32_t signature_index; /* PENSTOCK_NO_INDEX for a model of any signature */
  uint32_t reserved;
  PenstockString signature;
  const PenstockNamedTensor* inputs; /* checked against the signature; alive as the request is, and
                                        longer if their owner is kept */
  size_t input_count;
  const PenstockNamedTensor* outputs; /* wanted: names and indices, no data */
  size_t output_count;                /* 0 only for a model of any signature: all */
  int64_t deadline_ns;                /* on CLOCK_MONOTONIC; INT64_MAX = none */
  uint64_t request_id;
  const PenstockOption* options;
  size_t option_count;
  /* Gives a part. Returns 1 if the client is slow and the backend should wait for `on_ready` before
   * the next part, else 0. Called once with is_last. */
  int32_t (*respond)(struct PenstockRequest* request, const PenstockPart* part);
  /* PENSTOCK_OK while the answer is wanted, then PENSTOCK_CANCELLED or
   * PENSTOCK_DEADLINE_EXCEEDED. Cheap. */
  int32_t (*stop_reason)(const struct PenstockRequest* request);
  /* Has `callback(argument)` called once, when stop_reason changes; at once if it has. Null takes
   * it back: after that return it is not running and will not run. Taken back by the last part too.
   */
  void (*on_stop)(struct PenstockRequest* request, void (*callback)(void*), void* argument);
  /* Has `callback(argument)` called once, when a further part is welcome. */
  void (*on_ready)(struct PenstockRequest* request, void (*callback)(void*), void* argument);
  /* Memory for the elements of output `index` where they will be sent from, aligned to 64. `owner`
   * gets one reference. Null if there is none: then use memory of your own. */
  void* (*allocate_output)(struct PenstockRequest* request, uint32_t index, size_t bytes,
                           PenstockOwner* owner);
} PenstockRequest;

/* ---- The backend: one table of functions. */
typedef struct PenstockLoad {
  size_t struct_size;
  PenstockString folder; /* the version's folder, absolute */
  PenstockString name;   /* of the model, for messages */
  const PenstockOption* options;
  size_t option_count;
} PenstockLoad;

typedef struct PenstockBackend {
  size_t struct_size;
  uint32_t abi; /* PENSTOCK_BACKEND_ABI that it was compiled with */
  uint32_t reserved;
  PenstockString name;    /* the platform of its models, as "onnxruntime" */
  PenstockString version; /* for people */
  /* Once, before all others, on a thread of normal priority: create the runtime's thread pools
   * here (threads inherit the low priority of the loading ones). `*backend` goes into the calls
   * below. */
  int32_t (*initialise)(const PenstockHost* host, void** backend, PenstockError* error);
  /* Bytes of memory that the model will take once loaded; may be null: the size of its files. */
  int32_t (*estimate)(void* backend, const PenstockLoad* load, uint64_t* bytes,
                      PenstockError* error);
  /* On a thread of low priority; may take long. Signals interrupt it often, so that requests get
   * the CPU: a sleep or a poll must be ready for EINTR. */
  int32_t (*load)(void* backend, const PenstockLoad* load, void** model, PenstockError* error);
  const PenstockModelInfo* (*describe)(void* model);
  /* Starts an inference; see PenstockRequest. */
  void (*run)(void* model, PenstockRequest* request);
  /* After the last answer of the last run; interrupted like a load. */
  void (*unload)(void* model);
  /* After the last unload; may be null. The .so is never closed. */
  void (*shut_down)(void* backend);
} PenstockBackend;

/* The symbol that a backend exports. `host_abi` is the host's PENSTOCK_BACKEND_ABI. Null if the two
 * cannot work together. The table lives as long as the process. */
#define PENSTOCK_BACKEND_SYMBOL "penstock_backend_get"
typedef const PenstockBackend* (*PenstockBackendGet)(uint32_t host_abi);

#if defined(__GNUC__)
#define PENSTOCK_EXPORT __attribute__((visibility("default")))
#else
#define PENSTOCK_EXPORT
#endif
PENSTOCK_EXPORT const PenstockBackend* penstock_backend_get(uint32_t host_abi);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* PENSTOCK_BACKEND_H_ */
