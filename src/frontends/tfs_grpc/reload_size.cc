// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_grpc/reload_size.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <cstdint>

#include "serving/model_management.pb.h"

namespace penstock::tfs {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;
using tensorflow::serving::ReloadConfigRequest;

// Counts the fields of a message and of those in it, without building them. One thread at a time.
class FieldCounter final {
 public:
  explicit FieldCounter(std::string_view message)
      : in_(reinterpret_cast<const uint8_t*>(message.data()), static_cast<int>(message.size())) {}

  // Stops at the end of the message, soon after the limits, and where it is malformed.
  void Count(const Descriptor& type) {
    while (fields_ <= kReloadFieldsMax && metrics_ <= kReloadMetricsMax) {
      const uint32_t tag = in_.ReadTag();
      if (tag == 0) return;
      ++fields_;
      const FieldDescriptor* const field =
          type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
      if (IsMetricName(field)) ++metrics_;
      const bool has_length =
          WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
      if (has_length && field != nullptr ? !CountValue(*field)
                                         : !WireFormatLite::SkipField(&in_, tag))
        return;
    }
  }

  size_t fields() const { return fields_; }
  size_t metrics() const { return metrics_; }

 private:
  static bool IsMetricName(const FieldDescriptor* field) {
    return field != nullptr && field->number() == ReloadConfigRequest::kMetricNamesFieldNumber &&
           field->containing_type() == ReloadConfigRequest::descriptor();
  }

  bool CountValue(const FieldDescriptor& field) {
    uint32_t length = 0;
    if (!in_.ReadVarint32(&length)) return false;
    if (field.message_type() == nullptr) {
      // A packed value has at least one byte.
      if (field.is_packable()) fields_ += length;
      return in_.Skip(static_cast<int>(length));
    }
    const auto outer = in_.PushLimit(static_cast<int>(length));
    Count(*field.message_type());  // not deeper than the types: none has itself in it
    in_.Skip(in_.BytesUntilLimit());
    in_.PopLimit(outer);
    return true;
  }

  google::protobuf::io::CodedInputStream in_;
  size_t fields_ = 0;
  size_t metrics_ = 0;
};

}  // namespace

Status CheckReloadSize(std::string_view message) {
  FieldCounter counter(message);
  counter.Count(*ReloadConfigRequest::descriptor());
  if (counter.metrics() > kReloadMetricsMax)
    return InvalidArgument("ReloadConfigRequest has more than {} metric_names", kReloadMetricsMax);
  if (counter.fields() <= kReloadFieldsMax) return OkStatus();
  return Error(StatusCode::kResourceExhausted,
               "ReloadConfigRequest has more than {} fields and values", kReloadFieldsMax);
}

}  // namespace penstock::tfs
