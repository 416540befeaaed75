// SPDX-License-Identifier: Apache-2.0
#include "cache/frozen_files.h"

#include <rocksdb/file_system.h>

#include <atomic>
#include <string>
#include <utility>

#include "base/mutex.h"

namespace penstock::cache {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

// What a file has to know of the others. Thread-safe.
class Failures {
 public:
  explicit Failures(std::function<void()> on_failure) : on_failure_(std::move(on_failure)) {}

  bool is_frozen() const { return is_frozen_.load(std::memory_order_acquire); }
  Status first() const {
    MutexLock lock(mutex_);
    return first_;
  }
  // Makes a change, unless one has failed before.
  template <typename Change>
  IOStatus Do(Change change) {
    if (is_frozen()) return IOStatus::OK();
    const IOStatus status = change();
    if (!status.ok()) Freeze(status);
    return IOStatus::OK();
  }
  void Freeze(const IOStatus& status) {
    {
      MutexLock lock(mutex_);
      if (!first_.ok()) return;
      first_ = absl::InternalError(status.ToString());
      is_frozen_.store(true, std::memory_order_release);
    }
    on_failure_();
  }

 private:
  const std::function<void()> on_failure_;
  std::atomic<bool> is_frozen_{false};
  mutable Mutex mutex_;
  Status first_ GUARDED_BY(mutex_);
};

// A file that RocksDB writes. One thread at a time.
class FrozenFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  FrozenFile(std::unique_ptr<FSWritableFile> file, std::shared_ptr<Failures> failures)
      : FSWritableFileOwnerWrapper(std::move(file)), failures_(std::move(failures)) {}

  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Append(data, options, debug); });
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& info, IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Append(data, options, info, debug); });
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* debug) override {
    return failures_->Do([&] { return target()->PositionedAppend(data, offset, options, debug); });
  }
  IOStatus PositionedAppend(const rocksdb::Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo& info,
                            IODebugContext* debug) override {
    return failures_->Do(
        [&] { return target()->PositionedAppend(data, offset, options, info, debug); });
  }
  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Truncate(size, options, debug); });
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Flush(options, debug); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Fsync(options, debug); });
  }
  IOStatus RangeSync(uint64_t offset, uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return failures_->Do([&] { return target()->RangeSync(offset, bytes, options, debug); });
  }
  IOStatus Allocate(uint64_t offset, uint64_t bytes, const IOOptions& options,
                    IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Allocate(offset, bytes, options, debug); });
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus status = target()->Close(options, debug);
    if (!status.ok()) failures_->Freeze(status);
    return IOStatus::OK();
  }

 private:
  const std::shared_ptr<Failures> failures_;
};

// A file that could not be made. RocksDB thinks that it writes it. One thread at a time.
class NoFile final : public rocksdb::FSWritableFile {
 public:
  using FSWritableFile::Append;
  IOStatus Append(const rocksdb::Slice& data, const IOOptions&, IODebugContext*) override {
    size_ += data.size();
    return IOStatus::OK();
  }
  IOStatus Append(const rocksdb::Slice& data, const IOOptions&,
                  const rocksdb::DataVerificationInfo&, IODebugContext*) override {
    size_ += data.size();
    return IOStatus::OK();
  }
  IOStatus Truncate(uint64_t, const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }

 private:
  uint64_t size_ = 0;
};

// A folder whose entries RocksDB writes. Thread-safe.
class FrozenFolder final : public rocksdb::FSDirectoryWrapper {
 public:
  FrozenFolder(std::unique_ptr<FSDirectory> folder, std::shared_ptr<Failures> failures)
      : FSDirectoryWrapper(std::move(folder)), failures_(std::move(failures)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return failures_->Do([&] { return FSDirectoryWrapper::Fsync(options, debug); });
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& how) override {
    return failures_->Do(
        [&] { return FSDirectoryWrapper::FsyncWithDirOptions(options, debug, how); });
  }

 private:
  const std::shared_ptr<Failures> failures_;
};

}  // namespace

// The file system. Thread-safe.
class FrozenFiles::Files final : public rocksdb::FileSystemWrapper {
 public:
  explicit Files(std::function<void()> on_failure)
      : FileSystemWrapper(rocksdb::FileSystem::Default()),
        failures_(std::make_shared<Failures>(std::move(on_failure))) {}

  const char* Name() const override { return "FrozenFiles"; }
  Status failure() const { return failures_->first(); }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* made,
                           IODebugContext* debug) override {
    return Make(made, [&] { return target()->NewWritableFile(path, options, made, debug); });
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* made,
                              IODebugContext* debug) override {
    return Make(made, [&] { return target()->ReopenWritableFile(path, options, made, debug); });
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string& former,
                             const FileOptions& options,
                             std::unique_ptr<rocksdb::FSWritableFile>* made,
                             IODebugContext* debug) override {
    return Make(made,
                [&] { return target()->ReuseWritableFile(path, former, options, made, debug); });
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* made,
                        IODebugContext* debug) override {
    IOStatus status = target()->NewDirectory(path, options, made, debug);
    if (status.ok()) *made = std::make_unique<FrozenFolder>(std::move(*made), failures_);
    return status;
  }
  // Old files stay, too: they are what can be opened again.
  IOStatus DeleteFile(const std::string& path, const IOOptions& options,
                      IODebugContext* debug) override {
    if (failures_->is_frozen()) return IOStatus::OK();
    return target()->DeleteFile(path, options, debug);
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions& options,
                      IODebugContext* debug) override {
    return failures_->Do([&] { return target()->RenameFile(from, to, options, debug); });
  }
  IOStatus Truncate(const std::string& path, size_t size, const IOOptions& options,
                    IODebugContext* debug) override {
    return failures_->Do([&] { return target()->Truncate(path, size, options, debug); });
  }

 private:
  template <typename Change>
  IOStatus Make(std::unique_ptr<rocksdb::FSWritableFile>* made, Change change) {
    if (!failures_->is_frozen()) {
      const IOStatus status = change();
      if (status.ok()) {
        *made = std::make_unique<FrozenFile>(std::move(*made), failures_);
        return status;
      }
      failures_->Freeze(status);
    }
    *made = std::make_unique<NoFile>();
    return IOStatus::OK();
  }

  const std::shared_ptr<Failures> failures_;
};

FrozenFiles::FrozenFiles(std::function<void()> on_failure)
    : files_(std::make_shared<Files>(std::move(on_failure))),
      env_(rocksdb::NewCompositeEnv(files_)) {}

FrozenFiles::~FrozenFiles() = default;

rocksdb::Env* FrozenFiles::env() const { return env_.get(); }

Status FrozenFiles::failure() const { return files_->failure(); }

}  // namespace penstock::cache
