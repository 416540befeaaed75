// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/numpy_body.h"

#include <algorithm>
#include <set>

#include "base/percent.h"
#include "base/utf8.h"
#include "protocols/npy/npy_reader.h"
#include "protocols/npy/npy_writer.h"
#include "protocols/npy/zip_reader.h"
#include "protocols/npy/zip_writer.h"

namespace penstock::tfs_rest {
namespace {

// As for the names of a PredictRequest: without a limit, names that do not exist would cost many
// searches.
constexpr size_t kNamesMax = 4096;
// numpy appends this to the name of each array in an archive.
constexpr std::string_view kFileSuffix = ".npy";

std::string NamesOf(const NamedTensors& tensors) {
  std::string names;
  for (const NamedTensor& tensor : tensors) {
    if (!names.empty()) names += ", ";
    names += tensor.name;
  }
  return names;
}

Status WithName(const Status& status, std::string_view kind, std::string_view name) {
  return Error(status.code(), "{} '{:.100}': {}", kind, name, MessageOf(status));
}

// The name of the input that an .npy file is for.
StatusOr<std::string_view> OnlyInput(const ModelInfo& info, std::string_view signature_name) {
  if (info.traits.any_signature) return "inputs";
  const Signature* const signature = info.FindSignature(signature_name);
  // The engine finds the same, and has the better words.
  if (signature == nullptr || signature->inputs.empty()) return "inputs";
  if (signature->inputs.size() == 1) return signature->inputs[0].name;
  std::string names;
  const TensorSpec* required = nullptr;
  size_t required_inputs = 0;
  for (const TensorSpec& input : signature->inputs) {
    if (!names.empty()) names += ", ";
    names += input.name;
    if (input.optional) continue;
    required = &input;
    ++required_inputs;
  }
  if (required_inputs == 1) return required->name;
  return InvalidArgument(
      "the signature has {} inputs ({}), and an .npy file is only one tensor: send an .npz file "
      "with "
      "an array for each (application/x-npz)",
      signature->inputs.size(), names);
}

}  // namespace

StatusOr<NumpyQuery> ParseNumpyQuery(std::string_view query) {
  NumpyQuery parsed;
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equals = std::min(field.find('='), field.size());
    const std::string_view key = field.substr(0, equals);
    std::optional<std::string> value =
        PercentDecodedStrictly(field.substr(std::min(equals + 1, field.size())));
    if (!value)
      return InvalidArgument("'%' must be followed by two hexadecimal digits in: {:.100}", field);
    if (key == "signature_name") {
      parsed.signature_name = *std::move(value);
    } else if (key == "output_filter") {
      if (parsed.output_filter.size() == kNamesMax)
        return InvalidArgument("the query has more than {} outputs", kNamesMax);
      parsed.output_filter.push_back(*std::move(value));
    } else {
      return InvalidArgument(
          "the query has the key '{:.100}'; known are signature_name and output_filter", key);
    }
  }
  return parsed;
}

Status DecodeNpy(const Slice& body, const ModelInfo& info, RequestMemory& memory,
                 InferRequest& request) {
  ASSIGN_OR_RETURN(const std::string_view name, OnlyInput(info, request.signature_name));
  ASSIGN_OR_RETURN(Tensor tensor, npy::ReadNpy(body, memory));
  request.inputs.clear();
  request.inputs.push_back({name, std::move(tensor)});
  return OkStatus();
}

Status DecodeNpz(const Slice& body, const ModelInfo& info, size_t arrays_max, RequestMemory& memory,
                 InferRequest& request) {
  ASSIGN_OR_RETURN(const std::vector<npy::ZipEntry> arrays,
                   npy::ReadZip(body, info.traits.any_signature ? arrays_max : kNamesMax, memory));
  std::set<std::string_view> names;
  request.inputs.clear();
  request.names_owner = body.owner;
  for (const npy::ZipEntry& array : arrays) {
    std::string_view name = array.name;
    if (name.ends_with(kFileSuffix)) name.remove_suffix(kFileSuffix.size());
    if (!IsUtf8(name)) return InvalidArgument("the .npz file has an array whose name is not UTF-8");
    if (!names.insert(name).second)
      return InvalidArgument("the .npz file has the array '{:.100}' twice", name);
    StatusOr<Tensor> tensor = npy::ReadNpy(array.data, memory);
    if (!tensor.ok()) return WithName(tensor.status(), "the array", name);
    request.inputs.push_back({name, *std::move(tensor)});
  }
  return OkStatus();
}

StatusOr<ByteChain> EncodeNpy(const NamedTensors& outputs, RequestMemory& memory) {
  if (outputs.size() != 1) {
    return InvalidArgument(
        "the answer has {} outputs ({}), and an .npy file is only one tensor: accept "
        "application/x-npz, or choose one with output_filter. A body in numpy's formats has it in "
        "the query of the URL, a body in protobuf in its message, a body in JSON has none",
        outputs.size(), NamesOf(outputs));
  }
  return npy::WriteNpy(outputs[0].tensor, &memory);
}

StatusOr<ByteChain> EncodeNpz(const NamedTensors& outputs, RequestMemory& memory) {
  npy::ZipWriter archive;
  for (const NamedTensor& output : outputs) {
    StatusOr<ByteChain> file = npy::WriteNpy(output.tensor, &memory);
    if (!file.ok()) return WithName(file.status(), "the output", output.name);
    TRY(archive.Add(fmt::format("{}{}", output.name, kFileSuffix), *std::move(file)));
  }
  return archive.Finish();
}

}  // namespace penstock::tfs_rest
