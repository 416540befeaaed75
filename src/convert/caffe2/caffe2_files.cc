// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/caffe2_files.h"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/os/read_file.h"
#include "convert/caffe2/net_importer.h"

namespace penstock::convert {
namespace {

constexpr size_t kValueInputsBytesMax = 1 << 20;

// A file descriptor. One thread at a time.
class File final {
 public:
  explicit File(const std::string& path) {
    do {
      // O_NONBLOCK: to open a pipe would otherwise wait for a writer.
      number_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    } while (number_ < 0 && errno == EINTR);
  }
  ~File() {
    if (number_ >= 0) close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  int number() const { return number_; }

 private:
  int number_ = -1;
};

StatusOr<::caffe2::NetDef> ReadNet(const std::string& path) {
  const File file(path);
  struct stat info = {};
  if (file.number() < 0 || fstat(file.number(), &info) != 0)
    return Error(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
                 "cannot read {}: {}", path, std::system_category().message(errno));
  if (!S_ISREG(info.st_mode)) return InvalidArgument("{} is no regular file", path);
  if (info.st_size > INT_MAX)
    return InvalidArgument("{} has {} bytes; a net has at most 2 GiB", path, info.st_size);
  google::protobuf::io::FileInputStream stream(file.number());
  ::caffe2::NetDef net;
  if (!net.ParseFromZeroCopyStream(&stream) || stream.GetErrno() != 0)
    return InvalidArgument(
        "{} is no Caffe2 net (a NetDef in protobuf's binary form){}", path,
        stream.GetErrno() == 0 ? "" : ": " + std::system_category().message(stream.GetErrno()));
  return net;
}

StatusOr<std::vector<ValueInput>> ReadValueInputs(const std::string& path) {
  StatusOr<std::string> text = ReadWholeFile(path, kValueInputsBytesMax);
  if (!text.ok())
    return Error(
        access(path.c_str(), F_OK) != 0 ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
        "cannot read {}, which says the type and shape of each input, as "
        R"({{"data_0": [1, [1, 3, 227, 227]]}}: {})",
        path, MessageOf(text.status()));
  StatusOr<std::vector<ValueInput>> inputs = ParseValueInputs(*text);
  if (!inputs.ok()) return InvalidArgument("{}: {}", path, MessageOf(inputs.status()));
  return inputs;
}

}  // namespace

Caffe2Files Caffe2FilesIn(const std::string& folder) {
  return {.init_net = folder + "/init_net.pb",
          .predict_net = folder + "/predict_net.pb",
          .value_inputs = folder + "/value_inputs.json"};
}

StatusOr<std::string> ImportCaffe2(const Caffe2Files& files) {
  ASSIGN_OR_RETURN(const std::vector<ValueInput> inputs, ReadValueInputs(files.value_inputs));
  ASSIGN_OR_RETURN(::caffe2::NetDef predict_net, ReadNet(files.predict_net));
  // Any bytes of another kind of protobuf message may parse as a net without operators.
  if (predict_net.op_size() == 0)
    return InvalidArgument(
        "{} holds no operators; right would be a Caffe2 net (a NetDef in "
        "protobuf's binary form)",
        files.predict_net);
  ASSIGN_OR_RETURN(::caffe2::NetDef init_net, ReadNet(files.init_net));
  const StatusOr<onnx::ModelProto> model =
      ImportNets(std::move(init_net), std::move(predict_net), inputs);
  const std::string folder = std::filesystem::path(files.predict_net).parent_path();
  if (!model.ok())
    return InvalidArgument("{}{}{}", folder, folder.empty() ? "" : ": ", MessageOf(model.status()));
  std::string bytes;
  if (!model->SerializeToString(&bytes)) return InvalidArgument("the model cannot be written");
  return bytes;
}

}  // namespace penstock::convert
