/* SPDX-License-Identifier: Apache-2.0
 *
 * The ABI between the Penstock server (the host) and its backends, which run models. A backend is a
 * folder with these files:
 *   backends/<name>/penstock_<name>.so     exports one symbol, penstock_backend_get
 *   backends/<name>/models.txt             optional: patterns of file names, one a line, by which
 *                                          the host recognises a model folder of this backend
 *                                          ("model.onnx", "*.onnx"); "otherwise *.pb" counts only
 *                                          if no other line of any backend fits
 * The host opens the .so with RTLD_NOW | RTLD_LOCAL when the first model needs it. The ABI is plain
 * C: no C++ type and no exception crosses it. backend.hpp beside this file is a thin C++ wrapper.
 * docs/add-a-backend.md is the tutorial.
 *
 * The calls of the host, in their order:
 *   penstock_backend_get    once; the host reads the table of functions
 *   initialise              once, on a thread of normal priority
 *   for each version of a model, on one of the load threads:
 *     estimate, load, describe
 *     run                   for each request, on event loops and pool threads, several at once
 *     unload                after the last answer of the version
 *   shut_down               once, after the last unload
 * A version that the server loads again gets a new `load`; `estimate` may come without a `load`.
 *
 * Memory. What one side passes to the other as an argument is valid until the call returns, and
 * tensors with an owner as long as somebody keeps a reference of it (PenstockOwner). So inputs
 * reach the runtime, and outputs the network, without a copy.
 *
 * Rules for all parts of it:
 * - Structs that start with `struct_size` grow at their end only. The side that fills one in sets
 *   `struct_size` to sizeof. The side that reads one treats members beyond `struct_size` as zero.
 *   Zero always means "no". An array of such structs is an array of pointers, so that its stride
 *   does not depend on their size. All other structs are frozen. Set `reserved` fields to 0.
 * - Text is UTF-8, (pointer, length), not terminated. An argument is valid until the call returns;
 *   copy it to keep it longer.
 * - Every function may be called on any thread, and by several at once, unless it says otherwise.
 */
#ifndef PENSTOCK_BACKEND_H_
#define PENSTOCK_BACKEND_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Incremented only when the host can no longer run backends of the earlier number. */
#define PENSTOCK_BACKEND_ABI 2u

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

/* ---- Errors: gRPC's canonical codes. The text says what is wrong, where, and what would be
 * right. A function that fails first passes the text to `error->set`, which copies it, and then
 * returns the code. */
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

/* Keeps memory alive; the host and the backend both use it. `calls` null: the memory is valid
 * only until the current call returns. */
typedef struct PenstockOwnerCalls {
  void (*keep)(void* object);    /* adds a reference */
  void (*release)(void* object); /* drops a reference; the last one frees */
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
  PenstockOwner owner;  /* of `data`; see PenstockOwner */
  PenstockOwner string_owner; /* of the characters of strings; calls null: `owner` keeps them too */
} PenstockTensor;

#define PENSTOCK_NO_INDEX UINT32_MAX
typedef struct PenstockNamedTensor {
  PenstockString name;
  uint32_t index;     /* position among the signature's inputs or outputs, or PENSTOCK_NO_INDEX */
  uint32_t signature; /* of an output: position among the request's `signatures`; of an input: 0 */
  PenstockTensor tensor;
} PenstockNamedTensor;

/* ---- The services and settings that the host gives a backend. Valid until `shut_down` returns. */
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
  uint32_t intra_op_threads; /* limit of the process for threads inside one operation, >= 1 */
  uint32_t inter_op_threads; /* limit for operations that run in parallel, >= 1 */
  uint32_t reserved;
  PenstockString folder;         /* the folder of the backend's .so */
  const PenstockOption* options; /* settings of the backend */
  size_t option_count;
  void (*log)(const struct PenstockHost* host, int32_t severity, PenstockString text);
  /* Allocates memory from the host, aligned to 64 bytes. `owner` gets one reference. Returns
   * null if there is no memory. */
  void* (*allocate)(const struct PenstockHost* host, size_t bytes, PenstockOwner* owner);
  /* Runs `task(argument)` on the compute pool. Returns 0 if the queue is full; the task is then
   * not run. */
  int32_t (*submit)(const struct PenstockHost* host, void (*task)(void*), void* argument);
  /* Adds to a counter, sets a gauge, or records an observation in microseconds. The host adds a
   * prefix to the name: "penstock_backend_<backend>_<name>". */
  void (*metric)(const struct PenstockHost* host, int32_t kind, PenstockString name, double value);
  /* Reports that `model`, which `load` returned, can no longer answer. The host sends it no more
   * requests, unloads it after its last answer, and loads the version again. Null: the whole
   * backend can no longer answer, and the host loads no more models through it. Returns at once. */
  void (*broken)(const struct PenstockHost* host, const void* model, PenstockString reason);
} PenstockHost;

/* ---- The description of a model. The model owns all of it, and must not change it. */
enum {
  PENSTOCK_SPEC_OPTIONAL = 1u << 0,    /* an input that a request may omit */
  PENSTOCK_SPEC_UNKNOWN_RANK = 1u << 1 /* any shape; rank is 0 */
};
/* What a tensor is of a sparse or ragged value whose parts are inputs or outputs of their own. */
enum {
  PENSTOCK_PART_NONE = 0,           /* of none: the tensor is a value itself */
  PENSTOCK_PART_SPARSE_INDICES = 1, /* int64[n, rank]: where the values are */
  PENSTOCK_PART_SPARSE_VALUES = 2,  /* [n] */
  PENSTOCK_PART_SPARSE_SHAPE = 3,   /* int64[rank]: the shape of the dense value */
  PENSTOCK_PART_RAGGED_VALUES = 4,  /* all rows, one after the other */
  PENSTOCK_PART_RAGGED_SPLITS = 5   /* int64 or int32 [rows + 1]: where each row starts and ends */
};
typedef struct PenstockTensorSpec {
  size_t struct_size;
  PenstockString name;         /* the name for clients */
  PenstockString backend_name; /* the runtime's name, for messages and logs */
  int32_t dtype;
  uint32_t flags; /* PENSTOCK_SPEC_... */
  uint32_t rank;
  int32_t batch_axis;   /* the dimension that counts rows, if the model's file says so; -1: none,
                           or unknown. A size of -1 alone does not say so. */
  const int64_t* shape; /* -1 = any size */
  /* The value that an optional input has if a request omits it. Null: unknown, or too large to be
   * worth keeping. The host copies it. */
  const PenstockTensor* default_value;
  const PenstockString* dimension_names; /* `rank` names; empty: that one has none. Null: none */
  const PenstockString* class_labels;    /* what the entries of the last dimension stand for */
  size_t class_label_count;
  PenstockString composite; /* the value of which this tensor is a part */
  uint32_t part;            /* PENSTOCK_PART_... */
  uint32_t ragged_level;    /* of PENSTOCK_PART_RAGGED_SPLITS; 0 is the outermost */
} PenstockTensorSpec;

typedef struct PenstockSignature {
  size_t struct_size;
  PenstockString name;        /* "serving_default" is what a request without a name means */
  PenstockString method_name; /* as "tensorflow/serving/predict"; may be empty */
  const PenstockTensorSpec* const* inputs;
  size_t input_count;
  const PenstockTensorSpec* const* outputs;
  size_t output_count;
} PenstockSignature;

/* For step-wise batching: the `output` of one step becomes the `input` of the next. */
typedef struct PenstockStatePair {
  PenstockString input;
  PenstockString output;
  const PenstockTensor* initial; /* the value for one row; null: zeros */
} PenstockStatePair;

enum {
  PENSTOCK_MAY_BLOCK = 1u << 0,           /* a run may sleep or wait for I/O */
  PENSTOCK_HAS_STATE = 1u << 1,           /* an answer may depend on earlier requests */
  PENSTOCK_NOT_DETERMINISTIC = 1u << 2,   /* the same request may get different answers */
  PENSTOCK_SIDE_EFFECTS = 1u << 3,        /* a run changes something outside: never run it twice */
  PENSTOCK_ANY_SIGNATURE = 1u << 4,       /* accepts any inputs: the host does not check them */
  PENSTOCK_DEADLINE_NEEDS_POOL = 1u << 5, /* can stop at a deadline only off the event loop */
  PENSTOCK_ANY_SHAPE = 1u << 6, /* declared shapes are only a hint: the host checks types only, and
                                   the backend refuses the shapes that it cannot process */
  /* One run can answer for several signatures that have inputs of the same names. Without it, the
   * host runs the model once for each signature. */
  PENSTOCK_SEVERAL_SIGNATURES = 1u << 7
};
/* An input or output that the model has but the signature does not offer, and the reason. An
 * empty name: the whole signature is not served. The host refuses a request that names it, and
 * quotes the reason. The log and `penstock inspect` show it. */
typedef struct PenstockLeftOut {
  PenstockString signature;
  PenstockString name;
  PenstockString reason; /* as "it is a sequence, and only tensors are served" */
} PenstockLeftOut;

typedef struct PenstockModelInfo {
  size_t struct_size;
  uint32_t flags;     /* PENSTOCK_MAY_BLOCK ... */
  uint32_t runs_max;  /* concurrent runs; 0 = any number. The host queues the others. */
  uint32_t alignment; /* of input data, in bytes; with less, the backend must copy; 0 = any */
  uint32_t reserved;
  const PenstockSignature* const* signatures;
  size_t signature_count;
  const PenstockString* cut_points; /* inner tensors where the graph can be cut for batching */
  size_t cut_point_count;
  const PenstockStatePair* state_pairs;
  size_t state_pair_count;
  /* Notes for the operator, as "signature 's' is left out: ...". The host logs each as a
   * warning, and `penstock inspect` shows them. */
  const PenstockString* notes;
  size_t note_count;
  /* A serialized tensorflow.serving.SignatureDefMap. GetModelMetadata returns it unchanged.
   * Empty: the host builds one from `signatures`. */
  PenstockString signature_def_map;
  const PenstockLeftOut* left_out;
  size_t left_out_count;
} PenstockModelInfo;

/* ---- One inference. The host owns the request. It lives until the backend gives the last part.
 * The backend must give exactly one part with is_last, also after an error or a cancel, and must
 * not touch the request after that call. Parts may come on any thread, before or after `run`
 * returns, but only one at a time. */
typedef struct PenstockPart {
  size_t struct_size;
  int32_t code; /* other than PENSTOCK_OK: there are no outputs, and this is the last part */
  uint32_t is_last;
  PenstockString message;
  /* Each owner carries one reference, which the host takes over in every case. The host copies a
   * tensor without an owner during the call. It does not copy a tensor whose owner came from
   * `allocate` or from an input. Names are those of the signature; with `index` the host need
   * not search for the name. */
  const PenstockNamedTensor* outputs;
  size_t output_count;
} PenstockPart;

/* One signature that a request asks for. */
typedef struct PenstockAskedSignature {
  PenstockString name;
  uint32_t index; /* in the model's list; PENSTOCK_NO_INDEX only with PENSTOCK_ANY_SIGNATURE */
  uint32_t reserved;
} PenstockAskedSignature;

typedef struct PenstockRequest {
  size_t struct_size;
  /* At least one; more only with PENSTOCK_SEVERAL_SIGNATURES. Then the inputs have the indices of
   * the first signature, and all the others have inputs of the same names. */
  const PenstockAskedSignature* signatures;
  size_t signature_count;
  const PenstockNamedTensor* inputs; /* checked against all signatures; valid as long as the
                                        request, or longer if the backend keeps their owners */
  size_t input_count;
  const PenstockNamedTensor* outputs; /* to return: names, indices and signatures, no data */
  size_t output_count;                /* 0 only with PENSTOCK_ANY_SIGNATURE: return all */
  int64_t deadline_ns;                /* on CLOCK_MONOTONIC; INT64_MAX = none */
  uint64_t request_id;
  const PenstockOption* options;
  size_t option_count;
  /* Gives a part of the answer. Returns 1 if the receiver is slow: the backend should then wait
   * for it with `on_ready` before it makes the next part. Else returns 0. The call with is_last
   * comes exactly once. */
  int32_t (*respond)(struct PenstockRequest* request, const PenstockPart* part);
  /* Returns PENSTOCK_OK while the answer is wanted, and PENSTOCK_CANCELLED or
   * PENSTOCK_DEADLINE_EXCEEDED afterwards. Cheap. */
  int32_t (*stop_reason)(const struct PenstockRequest* request);
  /* Registers `callback(argument)`, which is called once when stop_reason changes, or at once if
   * it has changed already. A null callback, and the last part, remove it: after that call
   * returns, the callback is not running and will not run. */
  void (*on_stop)(struct PenstockRequest* request, void (*callback)(void*), void* argument);
  /* Waits for a slow receiver. Returns 1 if it is slow: `callback(argument)` is then called once
   * when it can take the next part or stop_reason changes, perhaps before this returns. It may give
   * parts and wait again; treat its thread like that of `run`. Returns 0 if the receiver is ready
   * or the request has stopped: there is no callback then, and the backend goes on at once. A null
   * callback, and the last part, remove it, as with on_stop. */
  int32_t (*on_ready)(struct PenstockRequest* request, void (*callback)(void*), void* argument);
  /* Allocates memory for the elements of one output, aligned to 64 bytes. The host sends
   * from this memory, without a copy. `owner` gets one reference. Returns null if there is none;
   * the backend then uses its own memory. */
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
  uint32_t abi; /* the PENSTOCK_BACKEND_ABI of its build */
  uint32_t reserved;
  PenstockString name;    /* the platform of its models, as "onnxruntime" */
  PenstockString version; /* for logs */
  /* Called once, before all other functions, on a thread of normal priority. Create the
   * runtime's thread pools here: threads inherit their priority, and the threads that load have
   * a low one. The host passes `*backend` to the calls below. */
  int32_t (*initialise)(const PenstockHost* host, void** backend, PenstockError* error);
  /* Estimates the memory of the loaded model, in bytes. May be null: the host then takes the
   * size of the files. */
  int32_t (*estimate)(void* backend, const PenstockLoad* load, uint64_t* bytes,
                      PenstockError* error);
  /* Called on a thread of low priority; may take long. The host often interrupts it with a
   * signal, so that requests get the CPU. A sleep or a poll must therefore handle EINTR. */
  int32_t (*load)(void* backend, const PenstockLoad* load, void** model, PenstockError* error);
  const PenstockModelInfo* (*describe)(void* model);
  /* Starts an inference. See PenstockRequest. */
  void (*run)(void* model, PenstockRequest* request);
  /* Called after the last answer of the last run. Interrupted by signals, as `load` is. */
  void (*unload)(void* model);
  /* Called after the last unload. May be null. The host never closes the .so. */
  void (*shut_down)(void* backend);
} PenstockBackend;

/* The symbol that a backend exports. `host_abi` is the host's PENSTOCK_BACKEND_ABI. Returns null
 * if the two cannot work together. The table lives as long as the process. */
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
