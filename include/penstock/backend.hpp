// SPDX-License-Identifier: Apache-2.0
// A thin C++20 wrapper over backend.h, header only. Derive from Model and Backend, and end one
// source file with PENSTOCK_BACKEND. The wrapper catches all exceptions, so that none crosses the
// ABI. A whole backend, whose models double a vector of floats:
//
//   #include "penstock/backend.hpp"
//   using namespace penstock::plugin;
//
//   class Doubler final : public Model {
//    public:
//     explicit Doubler(Description description) : Model(std::move(description)) {}
//     void Run(Request&& request) override {
//       const PenstockTensor& x = request.inputs()[0].tensor;  // checked against the description
//       const size_t count = x.bytes / sizeof(float);
//       Outputs outputs;
//       float* y = outputs.Add<float>(request, 0, PENSTOCK_FLOAT32, {x.shape[0]});
//       for (size_t i = 0; i < count; ++i) y[i] = 2 * static_cast<const float*>(x.data)[i];
//       request.Finish(outputs);
//     }
//   };
//
//   class DoublerBackend final : public Backend {
//    public:
//     explicit DoublerBackend(const PenstockHost&) {}
//     std::unique_ptr<Model> Load(const LoadArguments&) override {
//       Signature signature;
//       signature.inputs = {{.name = "x", .dtype = PENSTOCK_FLOAT32, .shape = {-1}}};
//       signature.outputs = {{.name = "y", .dtype = PENSTOCK_FLOAT32, .shape = {-1}}};
//       return std::make_unique<Doubler>(Description{.signatures = {signature}});
//     }
//   };
//
//   PENSTOCK_BACKEND(DoublerBackend, "doubler", "1.0")
//
// The life of a backend: the host makes the Backend when the first model needs it. It calls Load
// for each version of a model, and Run for each request. It destroys a Model after its last answer,
// and the Backend after its last Model. docs/add-a-backend.md is the tutorial.
#ifndef PENSTOCK_BACKEND_HPP_
#define PENSTOCK_BACKEND_HPP_

#include <dirent.h>
#include <fnmatch.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "penstock/backend.h"

namespace penstock::plugin {

// Returns a view of `text`, which is valid as long as the ABI says for that text.
inline std::string_view View(PenstockString text) { return {text.data, text.size}; }
// Returns a view of `text`. The caller keeps the characters alive.
inline PenstockString ToC(std::string_view text) { return {text.data(), text.size()}; }

// The exception that Backend and Model throw. `code` is one of PENSTOCK_CANCELLED ... Any other
// exception becomes INTERNAL. Immutable.
class Error final : public std::exception {
 public:
  Error(int32_t error_code, std::string text) : code_(error_code), message_(std::move(text)) {}
  int32_t code() const { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  int32_t code_;
  std::string message_;
};

// Returns the value of the option `key`, or `otherwise` if it is not set.
inline std::string_view OptionOr(std::span<const PenstockOption> options, std::string_view key,
                                 std::string_view otherwise) {
  for (const PenstockOption& option : options) {
    if (View(option.key) == key) return View(option.value);
  }
  return otherwise;
}

// Moves `object` into a reference-counted owner with one reference. The last release destroys it.
template <typename T>
PenstockOwner MakeOwner(T object) {
  // The count is atomic, because the host drops its references on threads of its own.
  struct Box {
    T kept;
    std::atomic<int> references{1};
    explicit Box(T&& moved) : kept(std::move(moved)) {}
  };
  static constexpr PenstockOwnerCalls kCalls = {
      [](void* box) { static_cast<Box*>(box)->references.fetch_add(1); },
      [](void* box) {
        if (static_cast<Box*>(box)->references.fetch_sub(1) == 1) delete static_cast<Box*>(box);
      }};
  return {new Box(std::move(object)), &kCalls};
}

// An array of `size` elements. Up to kInline elements need no heap allocation. One thread at a
// time.
template <typename T, size_t kInline = 8>
class SmallArray final {
 public:
  explicit SmallArray(size_t size) : size_(size) {
    if (size > kInline) heap_ = std::make_unique<T[]>(size);
  }
  T* data() { return heap_ != nullptr ? heap_.get() : inline_; }
  size_t size() const { return size_; }
  T& operator[](size_t index) { return data()[index]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }

 private:
  const size_t size_;
  T inline_[kInline] = {};
  std::unique_ptr<T[]> heap_;
};

// Finds the runtime's library, for backends that open it with dlopen. Looks in this order: the
// backend's option "library", the environment variable `variable`, the first line of the file
// library.path beside the backend. Each may name the library or its folder. In a folder `pattern`
// picks the file; of several, the last by name. Throws Error if there is none.
inline std::string FindRuntimeLibrary(const PenstockHost& host, const char* variable,
                                      const char* pattern) {
  std::string path(OptionOr({host.options, host.option_count}, "library", ""));
  const char* const value = std::getenv(variable);
  if (path.empty() && value != nullptr) path = value;
  const std::string file = std::string(View(host.folder)) + "/library.path";
  if (path.empty()) {
    std::ifstream stream(file);
    std::getline(stream, path);
  }
  if (path.empty()) {
    throw Error(PENSTOCK_FAILED_PRECONDITION,
                std::string("the runtime's library is not known: set the option \"library\", the "
                            "environment variable ") +
                    variable + " or the file " + file);
  }
  // What cannot be listed as a folder is taken for the library itself. dlopen then reports what is
  // wrong with it.
  DIR* const folder = opendir(path.c_str());
  if (folder == nullptr) return path;
  std::string found;
  while (const dirent* entry = readdir(folder)) {
    if (fnmatch(pattern, entry->d_name, 0) == 0 && found < entry->d_name) found = entry->d_name;
  }
  closedir(folder);
  if (found.empty()) {
    throw Error(PENSTOCK_FAILED_PRECONDITION,
                "the folder " + path + " holds no " + pattern + "; 'make setup' fetches it");
  }
  return path + "/" + found;
}

// A tensor with memory of its own, for defaults. Small: the description of a model keeps it as long
// as the model lives. One thread at a time.
struct Value {
  int32_t dtype = 0;
  std::vector<int64_t> shape = {};
  std::string bytes = {};                 // of the elements, unless they are strings
  std::vector<std::string> strings = {};  // the elements of PENSTOCK_STRING
};

// The sparse or ragged value that a tensor is a part of; see PENSTOCK_PART_... One thread at a
// time.
struct CompositePart {
  std::string composite = {};
  uint32_t part = PENSTOCK_PART_NONE;
  uint32_t ragged_level = 0;
};

// One input or output of a signature; see PenstockTensorSpec. One thread at a time.
struct TensorSpec {
  // `name` is the name for clients; `backend_name` is the runtime's, for messages.
  std::string name;
  std::string backend_name = {};
  int32_t dtype = 0;
  // The host checks inputs against type and shape before Run, unless the flags of the description
  // say otherwise.
  std::vector<int64_t> shape = {};  // -1 = any size
  bool unknown_rank = false;
  bool optional = false;
  // The dimension that counts rows, if the model's file says so; -1: none, or unknown.
  int32_t batch_axis = -1;
  std::optional<Value> default_value = {};        // only of an optional input
  std::vector<std::string> dimension_names = {};  // one for each dimension, or none at all
  // What the entries of the last dimension stand for. Empty: unknown.
  std::vector<std::string> class_labels = {};
  CompositePart part = {};
};

// One function of a model. One thread at a time.
struct Signature {
  std::string name = "serving_default";
  // As "tensorflow/serving/predict". May be empty.
  std::string method_name;
  // Their order gives the indices in requests and in Outputs.
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// An input, output or (with an empty name) signature that is not served. See PenstockLeftOut. One
// thread at a time.
struct LeftOut {
  std::string signature = "serving_default";
  std::string name;
  // Part of a sentence for the client who asks for it, as "it is a sequence, and only tensors are
  // served".
  std::string reason;
};

// The description of a model. See PenstockModelInfo. One thread at a time.
struct Description {
  std::vector<Signature> signatures;
  uint32_t flags = 0;      // PENSTOCK_MAY_BLOCK ...
  uint32_t runs_max = 0;   // concurrent runs; 0 = any number
  uint32_t alignment = 0;  // 0 = any
  // For the operator. The host logs each as a warning when the model is loaded.
  std::vector<std::string> notes = {};
  std::vector<LeftOut> left_out = {};
  std::string signature_def_map = {};  // serialized; see PenstockModelInfo
};

// A Description together with its C form, which points into it. So it can neither be copied nor
// moved, and the host may read info() as long as the Model lives. Immutable.
class FrozenDescription final {
 public:
  explicit FrozenDescription(Description description) : description_(std::move(description)) {
    for (const Signature& signature : description_.signatures) Freeze(signature);
    for (const PenstockSignature& signature : signatures_) signature_list_.push_back(&signature);
    notes_ = ToTexts(description_.notes);
    for (const LeftOut& each : description_.left_out) {
      left_out_.push_back({ToC(each.signature), ToC(each.name), ToC(each.reason)});
    }
    info_.struct_size = sizeof(info_);
    info_.flags = description_.flags;
    info_.runs_max = description_.runs_max;
    info_.alignment = description_.alignment;
    info_.signatures = signature_list_.data();
    info_.signature_count = signature_list_.size();
    info_.notes = notes_.data();
    info_.note_count = notes_.size();
    info_.left_out = left_out_.data();
    info_.left_out_count = left_out_.size();
    info_.signature_def_map = ToC(description_.signature_def_map);
  }
  FrozenDescription(const FrozenDescription&) = delete;
  FrozenDescription& operator=(const FrozenDescription&) = delete;

  const Description& description() const { return description_; }
  const PenstockModelInfo* info() const { return &info_; }

 private:
  // A spec in its C form, and what that refers to beyond the description.
  struct Spec {
    PenstockTensorSpec spec{};
    PenstockTensor default_value{};
    std::vector<PenstockString> default_strings;
    std::vector<PenstockString> dimension_names;
    std::vector<PenstockString> class_labels;
  };
  using SpecList = std::vector<const PenstockTensorSpec*>;

  static std::vector<PenstockString> ToTexts(const std::vector<std::string>& texts) {
    std::vector<PenstockString> result;
    for (const std::string& text : texts) result.push_back(ToC(text));
    return result;
  }

  void Freeze(const Signature& signature) {
    const SpecList& inputs = Freeze(signature.inputs);
    const SpecList& outputs = Freeze(signature.outputs);
    signatures_.push_back({sizeof(PenstockSignature), ToC(signature.name),
                           ToC(signature.method_name), inputs.data(), inputs.size(), outputs.data(),
                           outputs.size()});
  }
  // Returns the C form of `specs`, which stays where it is.
  const SpecList& Freeze(const std::vector<TensorSpec>& specs) {
    SpecList& list = spec_lists_.emplace_back();
    for (const TensorSpec& spec : specs) {
      Spec& frozen = specs_.emplace_back();
      Freeze(spec, frozen);
      list.push_back(&frozen.spec);
    }
    return list;
  }
  static void Freeze(const TensorSpec& spec, Spec& frozen) {
    PenstockTensorSpec& out = frozen.spec;
    out.struct_size = sizeof(out);
    out.name = ToC(spec.name);
    out.backend_name = ToC(spec.backend_name);
    out.dtype = spec.dtype;
    out.flags = (spec.optional ? PENSTOCK_SPEC_OPTIONAL : 0) |
                (spec.unknown_rank ? PENSTOCK_SPEC_UNKNOWN_RANK : 0);
    out.rank = static_cast<uint32_t>(spec.shape.size());
    out.batch_axis = spec.batch_axis;
    out.shape = spec.shape.data();
    if (spec.dimension_names.size() == spec.shape.size()) {
      frozen.dimension_names = ToTexts(spec.dimension_names);
      out.dimension_names = frozen.dimension_names.data();
    }
    frozen.class_labels = ToTexts(spec.class_labels);
    out.class_labels = frozen.class_labels.data();
    out.class_label_count = frozen.class_labels.size();
    out.composite = ToC(spec.part.composite);
    out.part = spec.part.part;
    out.ragged_level = spec.part.ragged_level;
    if (spec.default_value) Freeze(*spec.default_value, frozen);
  }
  static void Freeze(const Value& value, Spec& frozen) {
    const bool is_text = value.dtype == PENSTOCK_STRING;
    frozen.default_strings = ToTexts(value.strings);
    PenstockTensor& out = frozen.default_value;
    out.dtype = value.dtype;
    out.rank = static_cast<uint32_t>(value.shape.size());
    out.shape = value.shape.data();
    out.data = is_text ? static_cast<const void*>(frozen.default_strings.data())
                       : static_cast<const void*>(value.bytes.data());
    out.bytes =
        is_text ? frozen.default_strings.size() * sizeof(PenstockString) : value.bytes.size();
    frozen.spec.default_value = &out;
  }

  const Description description_;
  std::deque<Spec> specs_;           // deques, because pointers to their elements are kept
  std::deque<SpecList> spec_lists_;  // the inputs, then the outputs, of each signature
  std::deque<PenstockSignature> signatures_;
  std::vector<const PenstockSignature*> signature_list_;
  std::vector<PenstockString> notes_;
  std::vector<PenstockLeftOut> left_out_;
  PenstockModelInfo info_{};
};

class Request;

// Collects the outputs of one part. One thread at a time; not movable.
class Outputs final {
 public:
  Outputs() = default;
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;
  ~Outputs() { Clear(); }

  // Says which of the request's signatures the outputs belong to that are added from here on, by
  // its position in Request::signatures(). Without this call it is the first.
  void SetSignature(uint32_t position) { signature_ = position; }

  // Allocates output `index` in the host's memory. Fill it before you give the part. `T` must be
  // the C++ type of `dtype`. Throws Error if there is no memory.
  template <typename T>
  T* Add(Request& request, uint32_t index, int32_t dtype, std::vector<int64_t> shape);

  // Adds an output of strings. The host copies them when the part is given.
  void AddStrings(uint32_t index, std::vector<int64_t> shape, std::vector<std::string> strings) {
    auto kept = std::make_unique<Strings>();
    kept->shape = std::move(shape);
    kept->characters = std::move(strings);
    for (const std::string& text : kept->characters) kept->elements.push_back(ToC(text));
    PenstockTensor tensor{};
    tensor.dtype = PENSTOCK_STRING;
    tensor.rank = static_cast<uint32_t>(kept->shape.size());
    tensor.shape = kept->shape.data();
    tensor.data = kept->elements.data();
    tensor.bytes = kept->elements.size() * sizeof(PenstockString);
    tensors_.push_back({{}, index, signature_, tensor});
    strings_.push_back(std::move(kept));
  }

  // What was added and not given yet.
  std::span<const PenstockNamedTensor> tensors() const { return tensors_; }
  // Forgets the outputs: the host has taken over their owners.
  void Given() { tensors_.clear(); }

 private:
  struct Strings {
    std::vector<int64_t> shape;
    std::vector<std::string> characters;
    std::vector<PenstockString> elements;
  };

  // Drops outputs that were never given, for example because Run has thrown after it added them.
  void Clear() {
    for (const PenstockNamedTensor& output : tensors_) {
      const PenstockOwner& owner = output.tensor.owner;
      if (owner.calls != nullptr) owner.calls->release(owner.object);
    }
    tensors_.clear();
  }

  uint32_t signature_ = 0;
  std::vector<PenstockNamedTensor> tensors_;
  // The tensors point to shapes and strings. Each lies in an object of its own, so that it does not
  // move when more are added.
  std::vector<std::unique_ptr<std::vector<int64_t>>> shapes_;
  std::vector<std::unique_ptr<Strings>> strings_;
};

// One inference. The holder must give the last part: a Request that is destroyed without it answers
// INTERNAL. Move-only; one thread at a time.
class Request final {
 public:
  explicit Request(PenstockRequest* raw) : raw_(raw) {}
  Request(Request&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Request& operator=(Request&&) = delete;
  ~Request() {
    if (raw_ != nullptr) Fail(PENSTOCK_INTERNAL, "the backend gave no answer");
  }

  // The C request, for what has no function here. Null once the last part was given or the Request
  // was moved from.
  PenstockRequest* raw() const { return raw_; }
  // The signatures that the request asks for. Only a model with PENSTOCK_SEVERAL_SIGNATURES gets
  // more than one.
  std::span<const PenstockAskedSignature> signatures() const {
    return {raw_->signatures, raw_->signature_count};
  }
  // Position in the description, and name, of the first signature. The index may be
  // PENSTOCK_NO_INDEX if the model accepts any signature.
  uint32_t signature_index() const { return raw_->signatures->index; }  // of the first
  std::string_view signature() const { return View(raw_->signatures->name); }
  // The inputs that the client sent, in any order; an optional one may be missing. Their data is
  // valid until the last part is given. To keep a tensor longer, keep its owner.
  std::span<const PenstockNamedTensor> inputs() const { return {raw_->inputs, raw_->input_count}; }
  // The outputs that the answer must have; others need not be computed. None: all of them, which
  // only a model with PENSTOCK_ANY_SIGNATURE is asked for.
  std::span<const PenstockNamedTensor> outputs() const {
    return {raw_->outputs, raw_->output_count};
  }
  // Settings of this request; mostly none.
  std::span<const PenstockOption> options() const { return {raw_->options, raw_->option_count}; }
  bool has_deadline() const { return raw_->deadline_ns != INT64_MAX; }
  // PENSTOCK_OK while the answer is wanted; then PENSTOCK_CANCELLED or PENSTOCK_DEADLINE_EXCEEDED.
  // Cheap: a long run should ask between its steps, and end with Fail.
  int32_t stop_reason() const { return raw_->stop_reason(raw_); }

  // Returns the input `name`, or null.
  const PenstockTensor* FindInput(std::string_view name) const {
    for (const PenstockNamedTensor& input : inputs()) {
      if (View(input.name) == name) return &input.tensor;
    }
    return nullptr;
  }

  // Gives a part that is not the last. Returns true if the receiver is slow. See WaitForReceiver.
  bool Send(Outputs& outputs) { return Give(outputs.tensors(), false, &outputs); }
  // Returns false if the receiver can take the next part. Else `callback(argument)` is called when
  // it can, perhaps before this returns, so do not use the request after that. No exception may
  // leave the callback. See PenstockRequest::on_ready, and AnswerInParts, which does all this.
  bool WaitForReceiver(void (*callback)(void*), void* argument) {
    return raw_->on_ready(raw_, callback, argument) != 0;
  }
  // These give the last part, and leave the Request empty.
  void Finish(Outputs& outputs) { Give(outputs.tensors(), true, &outputs); }
  void Finish(std::span<const PenstockNamedTensor> outputs) { Give(outputs, true, nullptr); }
  void Fail(int32_t code, std::string_view message) {
    PenstockPart part{};
    part.struct_size = sizeof(part);
    part.code = code;
    part.is_last = 1;
    part.message = ToC(message);
    PenstockRequest* raw = std::exchange(raw_, nullptr);
    raw->respond(raw, &part);
  }

 private:
  bool Give(std::span<const PenstockNamedTensor> tensors, bool last, Outputs* owner) {
    PenstockPart part{};
    part.struct_size = sizeof(part);
    part.is_last = last ? 1 : 0;
    part.outputs = tensors.data();
    part.output_count = tensors.size();
    PenstockRequest* raw = last ? std::exchange(raw_, nullptr) : raw_;
    // `raw` may be freed inside this call if the part is the last.
    const bool slow = raw->respond(raw, &part) != 0;
    if (owner != nullptr) owner->Given();
    return slow;
  }

  PenstockRequest* raw_;
};

template <typename T>
T* Outputs::Add(Request& request, uint32_t index, int32_t dtype, std::vector<int64_t> shape) {
  uint64_t bytes = sizeof(T);
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
      throw Error(PENSTOCK_INTERNAL, "an output has an impossible shape");
    }
  }
  PenstockTensor tensor{};
  void* data = request.raw()->allocate_output(request.raw(), index, bytes, &tensor.owner);
  if (data == nullptr) throw Error(PENSTOCK_RESOURCE_EXHAUSTED, "no memory for an output");
  shapes_.push_back(std::make_unique<std::vector<int64_t>>(std::move(shape)));
  tensor.dtype = dtype;
  tensor.rank = static_cast<uint32_t>(shapes_.back()->size());
  tensor.shape = shapes_.back()->data();
  tensor.data = data;
  tensor.bytes = bytes;
  tensors_.push_back({{}, index, signature_, tensor});
  return static_cast<T*>(data);
}

// A loaded model. The host calls Run on event loops and on pool threads, for several requests at
// once, but for at most Description::runs_max. The destructor runs after the last answer.
// Thread-safe.
class Model {
 public:
  explicit Model(Description description) : frozen_(std::move(description)) {}
  virtual ~Model() = default;
  // Answers `request`, now, or later on another thread after moving it there. May throw only while
  // the request has not been moved: the wrapper then answers with the error. A model that may sleep
  // or wait for I/O here must say so with PENSTOCK_MAY_BLOCK, or it holds up all connections of an
  // event loop.
  virtual void Run(Request&& request) = 0;

  const Description& description() const { return frozen_.description(); }
  const PenstockModelInfo* info() const { return frozen_.info(); }

 protected:
  // Reports that this model can no longer answer. The host sends it no more requests, unloads it
  // after its last answer, and loads the version again. Call it on any thread, also inside Run.
  void ReportBroken(const PenstockHost& host, std::string_view reason) const {
    host.broken(&host, this, ToC(reason));
  }

 private:
  const FrozenDescription frozen_;
};

// The arguments of a load: the folder of the version, the name of the model for messages, and the
// settings of the load. The views are valid until the call returns.
struct LoadArguments {
  std::string_view folder;
  std::string_view name;
  std::span<const PenstockOption> options;
};

// Makes models. A subclass needs a constructor from `const PenstockHost&`; the host outlives the
// backend. Thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  // Never returns null. Throws Error with the reason. Runs on a thread of low priority and may take
  // long. The host often interrupts that thread with a signal, so a sleep or a poll must handle
  // EINTR.
  virtual std::unique_ptr<Model> Load(const LoadArguments& arguments) = 0;
  // Estimates the memory of the loaded model, in bytes, before Load. 0: about the size of the
  // files. The host reserves that much, and does not begin a load that would exceed its limit.
  virtual uint64_t EstimateBytes(const LoadArguments&) { return 0; }
};

// Calls `function`. Converts an exception to a code, and passes its text to `set`.
template <typename Function, typename Setter>
int32_t Guard(Function&& function, Setter&& set) noexcept {
  try {
    function();
    return PENSTOCK_OK;
  } catch (const Error& error) {
    set(error.what());
    return error.code();
  } catch (const std::bad_alloc&) {
    set("out of memory");
    return PENSTOCK_RESOURCE_EXHAUSTED;
  } catch (const std::exception& error) {
    set(error.what());
    return PENSTOCK_INTERNAL;
  } catch (...) {
    set("an exception of unknown type");
    return PENSTOCK_INTERNAL;
  }
}

// Makes the parts of one answer. One thread at a time, but not always the same thread.
class PartSource {
 public:
  virtual ~PartSource() = default;
  // Adds the outputs of the next part. Returns false if that was the last part. May throw Error.
  virtual bool Next(Request& request, Outputs& outputs) = 0;
};

// Answers `request` with the parts of `source`: AnswerInParts(std::move(request),
// std::move(source)) is the whole Run of such a model. Makes a part only when the receiver can take
// it, so that few parts are in memory, and stops with the request. Returns when the answer is
// complete or the receiver is slow.
inline void AnswerInParts(Request&& request, std::unique_ptr<PartSource> source) {
  struct Run {
    Request request;
    std::unique_ptr<PartSource> source;

    // Gives one part. Returns false if it was the last.
    bool GivePart(bool& is_slow) {
      const int32_t reason = request.stop_reason();
      if (reason != PENSTOCK_OK) throw Error(reason, "stopped between two parts");
      Outputs outputs;
      const bool is_last = !source->Next(request, outputs);
      if (is_last) {
        request.Finish(outputs);
      } else {
        is_slow = request.Send(outputs);
      }
      return !is_last;
    }
    static void Go(void* argument) noexcept {
      std::unique_ptr<Run> run(static_cast<Run*>(argument));
      for (;;) {
        bool goes_on = false;
        bool is_slow = false;
        std::string text;
        const int32_t code = Guard([&] { goes_on = run->GivePart(is_slow); },
                                   [&](const char* what) { text = what; });
        if (code != PENSTOCK_OK && run->request.raw() != nullptr) run->request.Fail(code, text);
        if (code != PENSTOCK_OK || !goes_on) return;
        if (!is_slow) continue;
        // The callback owns the run as soon as it is registered.
        Run* const waiting = run.release();
        if (waiting->request.WaitForReceiver(&Go, waiting)) return;
        run.reset(waiting);
      }
    }
  };
  Run::Go(new Run{std::move(request), std::move(source)});
}

// The C function table of a Backend class. Immutable.
template <typename BackendClass>
struct Table {
  static LoadArguments Arguments(const PenstockLoad* load) {
    return {View(load->folder), View(load->name), {load->options, load->option_count}};
  }
  static auto Setter(PenstockError* error) {
    return [error](const char* text) { error->set(error, ToC(text)); };
  }
  // Each function converts its arguments, calls the C++ object, and turns an exception into a code.
  static int32_t Initialise(const PenstockHost* host, void** backend, PenstockError* error) {
    return Guard([&] { *backend = static_cast<Backend*>(new BackendClass(*host)); }, Setter(error));
  }
  static int32_t Estimate(void* backend, const PenstockLoad* load, uint64_t* bytes,
                          PenstockError* error) {
    return Guard([&] { *bytes = static_cast<Backend*>(backend)->EstimateBytes(Arguments(load)); },
                 Setter(error));
  }
  static int32_t Load(void* backend, const PenstockLoad* load, void** model, PenstockError* error) {
    return Guard([&] { *model = static_cast<Backend*>(backend)->Load(Arguments(load)).release(); },
                 Setter(error));
  }
  static const PenstockModelInfo* Describe(void* model) {
    return static_cast<Model*>(model)->info();
  }
  // If Run throws, `request` still holds the request, unless it was moved away; then whoever has it
  // must answer.
  static void Run(void* model, PenstockRequest* raw) {
    Request request(raw);
    std::string text;
    const int32_t code = Guard([&] { static_cast<Model*>(model)->Run(std::move(request)); },
                               [&](const char* what) { text = what; });
    if (code != PENSTOCK_OK && request.raw() != nullptr) request.Fail(code, text);
  }
  static void Unload(void* model) { delete static_cast<Model*>(model); }
  static void ShutDown(void* backend) { delete static_cast<Backend*>(backend); }

  static const PenstockBackend* Get(uint32_t host_abi, const char* name, const char* version) {
    static const PenstockBackend table = {sizeof(PenstockBackend),
                                          PENSTOCK_BACKEND_ABI,
                                          0,
                                          ToC(name),
                                          ToC(version),
                                          Initialise,
                                          Estimate,
                                          Load,
                                          Describe,
                                          Run,
                                          Unload,
                                          ShutDown};
    // Null tells the host that it is too old or too new for this backend.
    return host_abi == PENSTOCK_BACKEND_ABI ? &table : nullptr;
  }
};

}  // namespace penstock::plugin

// Defines the exported symbol. Use it once in a backend, outside of any namespace.
#define PENSTOCK_BACKEND(BackendClass, name, version)                                         \
  extern "C" PENSTOCK_EXPORT const PenstockBackend* penstock_backend_get(uint32_t host_abi) { \
    return ::penstock::plugin::Table<BackendClass>::Get(host_abi, name, version);             \
  }

#endif  // PENSTOCK_BACKEND_HPP_
