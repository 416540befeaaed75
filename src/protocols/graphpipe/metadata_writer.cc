// SPDX-License-Identifier: Apache-2.0
// Clients of GraphPipe expect each list, name and shape to be there, and a type that they know. So
// what is unknown is written as empty, and not left out.
#include "protocols/graphpipe/metadata_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "base/log.h"
#include "base/utf8.h"
#include "graphpipe/graphpipe_generated.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
using Specs = std::span<const TensorSpec>;

// GraphPipe can say neither that any shape fits, nor what a type stands for. Here it is in words.
std::string DescriptionOf(const TensorSpec& spec) {
  std::string text;
  const auto add = [&text](std::string_view part) {
    if (!text.empty()) text += "; ";
    text += part;
  };
  if (spec.unknown_rank) add("of any rank");
  if (spec.optional) add("optional");
  const Type type = TypeFor(spec.dtype);
  if (type == Type::kNull) {
    add(fmt::format("{}, which GraphPipe cannot carry", DTypeName(spec.dtype)));
  } else if (DTypeOf(static_cast<uint8_t>(type)) != spec.dtype) {
    add(fmt::format("{} in the model", DTypeName(spec.dtype)));
  }
  return text;
}

std::vector<int64_t> DimsOf(const TensorSpec& spec) {
  if (spec.unknown_rank) return {-1};
  return {spec.shape.dims().begin(), spec.shape.dims().end()};
}

flatbuffers::Offset<flatbuffers::String> Text(Builder& builder, std::string_view text) {
  return builder.CreateString(ToUtf8(text));
}

auto WriteSpecs(Builder& builder, Specs specs) {
  std::vector<flatbuffers::Offset<::graphpipe::IOMetadata>> all;
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& spec = AtPlace(specs, i);
    const auto name = Text(builder, spec.name);
    const auto description = Text(builder, DescriptionOf(spec));
    const auto shape = builder.CreateVector(DimsOf(spec));
    const auto type = static_cast<::graphpipe::Type>(TypeFor(spec.dtype));
    all.push_back(::graphpipe::CreateIOMetadata(builder, name, description, shape, type));
  }
  return builder.CreateVector(all);
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted += '"';
}

std::string SpecsJson(Specs specs) {
  std::string json = "[";
  for (size_t i = 0; i < specs.size(); ++i) {
    const TensorSpec& spec = AtPlace(specs, i);
    json += fmt::format(
        "{}\n    {{\n      \"Name\": {},\n      \"Description\": {},\n      \"Shape\": [{}],\n"
        "      \"Type\": {}\n    }}",
        json == "[" ? "" : ",", Quoted(spec.name), Quoted(DescriptionOf(spec)),
        fmt::join(DimsOf(spec), ", "), static_cast<int>(TypeFor(spec.dtype)));
  }
  return json += specs.empty() ? "]" : "\n  ]";
}

}  // namespace

ByteChain WriteMetadataResponse(const ServerFacts& facts) {
  Builder builder;
  const auto model = Text(builder, facts.model);
  const auto version = Text(builder, facts.version);
  const auto server = Text(builder, facts.server);
  const auto description = Text(builder, facts.description);
  const auto inputs = WriteSpecs(builder, facts.inputs);
  const auto outputs = WriteSpecs(builder, facts.outputs);
  builder.Finish(::graphpipe::CreateMetadataResponse(builder, model, version, server, description,
                                                     inputs, outputs));
  ByteChain answer;
  answer.AppendCopy({reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()});
  return answer;
}

std::string MetadataJson(const ServerFacts& facts) {
  return fmt::format(
      "{{\n  \"Name\": {},\n  \"Version\": {},\n  \"Server\": {},\n  \"Description\": {},\n"
      "  \"Inputs\": {},\n  \"Outputs\": {}\n}}\n",
      Quoted(facts.model), Quoted(facts.version), Quoted(facts.server), Quoted(facts.description),
      SpecsJson(facts.inputs), SpecsJson(facts.outputs));
}

}  // namespace penstock::graphpipe
