// SPDX-License-Identifier: Apache-2.0
// The server has no generated gRPC services; its routes are texts. But the messages are linked into
// the program, and protobuf keeps their descriptors in one pool. So reflection needs no list of its
// own: services come from the router, and everything else from the pool.
#include "frontends/admin/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace penstock {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorProto;

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

// Appends the file and all its imports, each once.
template <typename FileResponse>
void AppendFiles(const FileDescriptor& file, std::set<const FileDescriptor*>& seen,
                 FileResponse& response) {
  // Clients cannot use a file without its imports. To send them all saves a round trip for each.
  // The recursion is no danger: the files are the program's own.
  if (!seen.insert(&file).second) return;
  FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.SerializeToString(response.add_file_descriptor_proto());
  for (int i = 0; i < file.dependency_count(); ++i)
    AppendFiles(*file.dependency(i), seen, response);
}

// Answers requests of one version. The two versions have the same messages in different packages:
// `Request` and `Response` are those of one of them. Immutable.
template <typename Request, typename Response>
class Answerer final {
 public:
  explicit Answerer(const net::Router& router) : router_(router) {}

  Response Answer(const Request& request) const {
    Response response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case Request::kFileByFilename:
        AddFile(Pool().FindFileByName(request.file_by_filename()), request.file_by_filename(),
                response);
        break;
      case Request::kFileContainingSymbol:
        AddFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                request.file_containing_symbol(), response);
        break;
      case Request::kFileContainingExtension:
        AddExtension(request, response);
        break;
      case Request::kAllExtensionNumbersOfType:
        AddExtensionNumbers(request.all_extension_numbers_of_type(), response);
        break;
      case Request::kListServices:
        for (const std::string& service : router_.GrpcServices())
          response.mutable_list_services_response()->add_service()->set_name(service);
        break;
      default:
        AddError(StatusCode::kInvalidArgument, "the request asks for nothing", response);
    }
    return response;
  }

 private:
  static void AddError(StatusCode code, std::string message, Response& response) {
    response.mutable_error_response()->set_error_code(static_cast<int>(code));
    response.mutable_error_response()->set_error_message(std::move(message));
  }
  static void AddFile(const FileDescriptor* file, const std::string& what, Response& response) {
    if (file == nullptr)
      return AddError(StatusCode::kNotFound, fmt::format("there is no '{}' here", what), response);
    std::set<const FileDescriptor*> seen;
    AppendFiles(*file, seen, *response.mutable_file_descriptor_response());
  }
  static void AddExtension(const Request& request, Response& response) {
    const auto& wanted = request.file_containing_extension();
    const Descriptor* type = Pool().FindMessageTypeByName(wanted.containing_type());
    const FieldDescriptor* extension =
        type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, wanted.extension_number());
    AddFile(extension == nullptr ? nullptr : extension->file(),
            fmt::format("extension {} of {}", wanted.extension_number(), wanted.containing_type()),
            response);
  }
  static void AddExtensionNumbers(const std::string& name, Response& response) {
    const Descriptor* type = Pool().FindMessageTypeByName(name);
    if (type == nullptr)
      return AddError(StatusCode::kNotFound, fmt::format("there is no message '{}' here", name),
                      response);
    std::vector<const FieldDescriptor*> extensions;
    Pool().FindAllExtensions(type, &extensions);
    auto& answer = *response.mutable_all_extension_numbers_response();
    answer.set_base_type_name(name);
    for (const FieldDescriptor* extension : extensions)
      answer.add_extension_number(extension->number());
  }

  const net::Router& router_;
};

// One call. Answers each request before it reads the next. One thread at a time.
template <typename Request, typename Response>
class Conversation final : public std::enable_shared_from_this<Conversation<Request, Response>> {
 public:
  Conversation(const net::Router& router, net::GrpcCallRef call)
      : answerer_(router), call_(std::move(call)) {}

  void Next() {
    call_->Read([self = this->shared_from_this()](std::optional<Slice> message) {
      if (!message) return self->call_->Finish(OkStatus());
      Request request;
      if (!request.ParseFromArray(message->data, static_cast<int>(message->size)))
        return self->call_->Finish(InvalidArgument("the message is no ServerReflectionRequest"));
      ByteChain answer;
      answer.AppendCopy(self->answerer_.Answer(request).SerializeAsString());
      // Read the next request only after the answer is out. So a client that sends requests and
      // reads nothing holds one answer, not thousands.
      self->call_->Write(std::move(answer), [self](bool ok) {
        if (ok) self->Next();
      });
    });
  }

 private:
  const Answerer<Request, Response> answerer_;
  const net::GrpcCallRef call_;
};

template <typename Request, typename Response>
void AddMethod(net::Router& router, std::string version) {
  router.AddGrpc(
      {.method = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo",
       .is_unary = false,
       .handler =
           [&router](net::GrpcCallRef call) {
             std::make_shared<Conversation<Request, Response>>(router, std::move(call))->Next();
           },
       .message_bytes_max = net::kControlMessageBytesMax,
       // As probes: an operator may need it while the server is full.
       .counts_as_request = false,
       .on_every_port = true,
       .access = net::RouteAccess::kCallers});
}

}  // namespace

void ReflectionFrontend::Register(net::Router& router) {
  AddMethod<grpc::reflection::v1::ServerReflectionRequest,
            grpc::reflection::v1::ServerReflectionResponse>(router, "v1");
  AddMethod<grpc::reflection::v1alpha::ServerReflectionRequest,
            grpc::reflection::v1alpha::ServerReflectionResponse>(router, "v1alpha");
}

}  // namespace penstock
