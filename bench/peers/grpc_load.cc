// SPDX-License-Identifier: Apache-2.0
// Sends one message many times with grpc++, as applications do:
//   grpc_load PORT METHOD MESSAGE_FILE REQUESTS CONNECTIONS STREAMS [AUTHORIZATION]
// Fails unless every call succeeds. h2load sends more requests a second, but encodes the field
// "authorization" as no gRPC client does: with Huffman's code, anew in each request.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace {

// One of the streams: sends its next request as soon as an answer has arrived. One thread.
class Stream final {
 public:
  Stream(grpc::GenericStub& stub, grpc::CompletionQueue& queue, const char* const* arguments)
      : stub_(stub), queue_(queue), method_(arguments[2]), authorization_(arguments[7]) {
    std::ifstream file(arguments[3], std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const grpc::Slice slice(bytes);
    message_ = grpc::ByteBuffer(&slice, 1);
  }

  void Start() {
    context_ = std::make_unique<grpc::ClientContext>();
    if (authorization_ != nullptr) context_->AddMetadata("authorization", authorization_);
    call_ = stub_.PrepareUnaryCall(context_.get(), method_, message_, &queue_);
    call_->StartCall();
    call_->Finish(&answer_, &status_, this);
  }
  const grpc::Status& status() const { return status_; }

 private:
  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  const std::string method_;
  const char* const authorization_;  // may be null
  grpc::ByteBuffer message_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  const long requests = std::atol(argv[4]);
  const int connections = std::atoi(argv[5]);
  const int streams = std::atoi(argv[6]);

  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs;
  std::vector<std::unique_ptr<Stream>> all;
  for (int i = 0; i < connections; ++i) {
    grpc::ChannelArguments own_connection;
    own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs.push_back(std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
        std::string("127.0.0.1:") + argv[1], grpc::InsecureChannelCredentials(), own_connection)));
    // argv ends with a null pointer, which stands for no authorization.
    for (int k = 0; k < streams; ++k)
      all.push_back(std::make_unique<Stream>(*stubs.back(), queue, argv));
  }

  long started = 0;
  long failed = 0;
  for (const auto& stream : all) {
    if (started++ < requests) stream->Start();
  }
  for (long done = 0; done < requests; ++done) {
    void* tag = nullptr;
    bool ok = false;
    if (!queue.Next(&tag, &ok)) return 1;
    auto* const stream = static_cast<Stream*>(tag);
    if (!stream->status().ok() && failed++ == 0)
      std::fprintf(stderr, "%s\n", stream->status().error_message().c_str());
    if (started++ < requests) stream->Start();
  }
  return failed == 0 ? 0 : 1;
}
