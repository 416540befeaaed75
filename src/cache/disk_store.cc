// SPDX-License-Identifier: Apache-2.0
// The database is RocksDB with FIFO compaction: rows are written once and never changed, files of
// them are dropped when there are too many, the oldest first, and each block has a checksum
// (docs/decisions/0035).
//
// A process that is killed loses nothing that was written: it is in the kernel's page cache. What a
// power cut damages, checksums find. So nothing is synced.
#include "cache/disk_store.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstring>

#include "base/executor.h"
#include "base/log.h"
#include "cache/frozen_files.h"

namespace penstock::cache {
namespace {

constexpr uint32_t kFormat = 0x31575250;  // "PRW1"
constexpr uint64_t kEntryKind = 4;        // of the messages of RowMac; row_mac.cc has the others
constexpr uint64_t kBatchBytesMax = 4 << 20;

constexpr double kReadBoundsUs[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000, 100000};

// The start of a row on disk. The sizes of the dimensions follow, then the lengths of strings, then
// the elements or the characters, then a MAC of all that and of the key.
struct Head {
  uint32_t format;
  uint16_t dtype;
  uint16_t rank;
  int64_t expires;  // Unix seconds; 0: never
  uint64_t element_bytes;
  uint64_t string_bytes;
};

// The bytes of an EntryKey. A view of them is the key in the database.
struct KeyBytes {
  explicit KeyBytes(const EntryKey& key) {
    std::memcpy(bytes, &key.row, sizeof(key.row));
    std::memcpy(bytes + sizeof(key.row), &key.output, sizeof(key.output));
  }
  rocksdb::Slice slice() const { return {bytes, sizeof(bytes)}; }
  char bytes[sizeof(RowKey) + sizeof(uint32_t)];
};

void Append(const void* data, size_t size, std::string& to) {
  to.append(static_cast<const char*>(data), size);
}

// A status of the database. DATA_LOSS: its files are damaged. Else the disk, or the limits of the
// process, did not let it work.
Status FromDatabase(const rocksdb::Status& status) {
  if (status.ok()) return OkStatus();
  if (status.IsIOError() && !status.IsPathNotFound()) return absl::InternalError(status.ToString());
  return absl::DataLossError(status.ToString());
}

// The database has nothing to say that its status does not. Thread-safe.
class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// The bytes of rows that go into a file together.
uint64_t BufferBytes(const DiskOptions& options) {
  return std::clamp<uint64_t>(options.bytes_max / 32, 64 << 10, 32 << 20);
}

rocksdb::Options DatabaseOptions(const DiskOptions& options) {
  rocksdb::Options made;
  made.create_if_missing = true;
  // What is not in a table file yet takes room, too: in the logs, in tables that are made, and in
  // files that are about to be removed.
  made.write_buffer_size = BufferBytes(options);
  made.max_write_buffer_number = 2;
  made.allow_fallocate = false;
  made.compression = rocksdb::kNoCompression;  // rows are numbers: it saves little, and costs time
  made.compaction_style = rocksdb::kCompactionStyleFIFO;
  made.compaction_options_fifo.allow_compaction = true;
  made.compaction_options_fifo.max_table_files_size = std::max<uint64_t>(
      options.bytes_max - std::min<uint64_t>(options.bytes_max, 6 * made.write_buffer_size),
      made.write_buffer_size);
  made.ttl =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(options.ttl).count());
  made.periodic_compaction_seconds = 0;
  // All tables are on one level, and none slows writes down.
  made.level0_slowdown_writes_trigger = 1 << 30;
  made.level0_stop_writes_trigger = 1 << 30;
  made.max_background_jobs = 2;
  made.avoid_flush_during_shutdown = true;
  made.skip_stats_update_on_db_open = true;
  made.stats_dump_period_sec = 0;
  made.stats_persist_period_sec = 0;
  made.info_log = std::make_shared<NoLog>();
  made.max_bgerror_resume_count = 0;
  made.max_manifest_file_size = BufferBytes(options);
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, /*use_block_based_builder=*/false));
  table.no_block_cache = true;  // the memory tier is the cache, and the kernel has one
  made.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return made;
}

}  // namespace

int64_t UnixSeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// A database, perhaps open. Thread-safe once it is.
struct DiskStore::Database {
  explicit Database(std::function<void()> on_failure) : files(std::move(on_failure)) {}
  FrozenFiles files;
  std::unique_ptr<rocksdb::DB> db;
};

// What is counted of a store. Thread-safe.
struct DiskStore::Metrics {
  Metrics(MetricsRegistry& registry, const std::string& model)
      : series(registry),
        bytes(series.AddGauge("penstock_row_cache_disk_bytes",
                              "Bytes of the files of rows on disk.", {{"model_name", model}})),
        is_on(series.AddGauge("penstock_row_cache_disk_on",
                              "1: rows are read from disk and written to it. 0: the disk is full, "
                              "fails, or is not free; the log says why.",
                              {{"model_name", model}})),
        written(series.AddCounter("penstock_row_cache_disk_written_total",
                                  "Rows of outputs that were written to disk.",
                                  {{"model_name", model}})),
        dropped(series.AddCounter("penstock_row_cache_disk_dropped_total",
                                  "Rows of outputs that were not written, because too many waited "
                                  "for the disk.",
                                  {{"model_name", model}})),
        read_time(series.AddHistogram("penstock_row_cache_disk_read_us",
                                      "Time to look for a row on disk, microseconds.",
                                      kReadBoundsUs, {{"model_name", model}})) {}
  MetricSeries series;
  Gauge& bytes;
  Gauge& is_on;
  Counter& written;
  Counter& dropped;
  Histogram& read_time;
};

DiskStore::DiskStore(DiskOptions options, const std::string& model, MetricsRegistry& metrics)
    : options_(std::move(options)),
      metrics_(std::make_unique<Metrics>(metrics, model)),
      folder_(options_.folder),
      mac_key_(RandomMacKey()) {
  Status status = folder_.Open(mac_key_);
  if (status.ok()) {
    status = OpenDatabase();
    if (status.code() == StatusCode::kDataLoss) status = Rebuild(status);
  }
  if (!status.ok()) {
    TurnOff(status);
    MutexLock lock(mutex_);
    fault_ = OkStatus();
    return;
  }
  is_on_.store(true, std::memory_order_release);
  metrics_->is_on.Set(1);
  writer_ = std::thread([this] { Write(); });
}

DiskStore::~DiskStore() {
  {
    MutexLock lock(mutex_);
    must_stop_ = true;
    changed_.NotifyAll();
  }
  if (writer_.joinable()) writer_.join();
  CloseDatabase();
}

Status DiskStore::OpenDatabase() {
  const auto on_failure = [this] {
    MutexLock lock(mutex_);
    if (fault_.ok()) fault_ = absl::InternalError("the disk is full or fails");
    changed_.NotifyAll();
  };
  const std::shared_ptr<Database> made(new Database(on_failure), [this](Database* database) {
    delete database;
    open_databases_.fetch_sub(1, std::memory_order_release);
  });
  open_databases_.fetch_add(1, std::memory_order_relaxed);
  rocksdb::Options options = DatabaseOptions(options_);
  options.env = made->files.env();
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, folder_.rows(), &opened);
  made->db.reset(opened);
  // A database whose writes do nothing may look damaged.
  TRY(made->files.failure());
  TRY(FromDatabase(status));
  CountBytes(*made);
  MutexLock lock(mutex_);
  database_ = made;
  return OkStatus();
}

void DiskStore::CloseDatabase() {
  {
    std::shared_ptr<Database> taken;  // ends without the lock: its threads may need that
    MutexLock lock(mutex_);
    taken = std::exchange(database_, nullptr);
  }
  // Readers are under way for some microseconds, or as long as the disk takes. The last one closes
  // the database: until it has done so, the folder is locked.
  while (open_databases_.load(std::memory_order_acquire) > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

Status DiskStore::Rebuild(const Status& why) {
  is_on_.store(false, std::memory_order_release);
  PENSTOCK_LOG(kWarning, "the row cache in {} is made anew: {}", options_.folder, MessageOf(why));
  CloseDatabase();
  TRY(folder_.Clear());
  TRY(OpenDatabase());
  is_on_.store(true, std::memory_order_release);
  return OkStatus();
}

void DiskStore::TurnOff(const Status& why) {
  is_on_.store(false, std::memory_order_release);
  PENSTOCK_LOG(kWarning,
               "the row cache uses no disk: {}. Requests are served, with the rows in memory",
               MessageOf(why));
  CloseDatabase();
  metrics_->bytes.Set(0);
  metrics_->is_on.Set(0);
}

std::shared_ptr<DiskStore::Database> DiskStore::database() const {
  if (!is_on()) return nullptr;
  MutexLock lock(mutex_);
  return database_;
}

bool DiskStore::MayHave(const EntryKey& key) const {
  const std::shared_ptr<Database> database = this->database();
  if (database == nullptr) return false;
  rocksdb::ReadOptions in_memory;
  in_memory.read_tier = rocksdb::kBlockCacheTier;  // filters are in memory
  rocksdb::PinnableSlice found;
  return !database->db
              ->Get(in_memory, database->db->DefaultColumnFamily(), KeyBytes(key).slice(), &found)
              .IsNotFound();
}

DiskStore::Found DiskStore::Find(const EntryKey& key) {
  const std::shared_ptr<Database> database = this->database();
  if (database == nullptr) return {};
  const SteadyTime start = Clock::Real().Now();
  rocksdb::PinnableSlice found;
  const rocksdb::Status status =
      database->db->Get({}, database->db->DefaultColumnFamily(), KeyBytes(key).slice(), &found);
  metrics_->read_time.Record(
      std::chrono::duration<double, std::micro>(Clock::Real().Now() - start).count());
  if (status.ok()) return Decode(key, {found.data(), found.size()});
  if (status.IsNotFound()) return {};
  MutexLock lock(mutex_);
  if (fault_.ok()) fault_ = FromDatabase(status);
  changed_.NotifyAll();
  return {};
}

void DiskStore::Put(const EntryKey& key, RowRef row) {
  if (!is_on()) return;
  const size_t bytes = row->memory_bytes();
  MutexLock lock(mutex_);
  if (queue_bytes_ + bytes > options_.queue_bytes_max) return metrics_->dropped.Add();
  queue_bytes_ += bytes;
  if (queue_.empty()) changed_.NotifyAll();
  queue_.push_back({key, std::move(row)});
}

void DiskStore::Flush() {
  MutexLock lock(mutex_);
  while (!queue_.empty() || is_writing_ || !fault_.ok()) changed_.Wait(mutex_);
}

void DiskStore::Write() {
  SetThreadName("row-cache");
  // A batch goes into one file, however large that becomes.
  const uint64_t batch_bytes_max = std::min(kBatchBytesMax, BufferBytes(options_) / 2);
  for (;;) {
    std::deque<Waiting> taken;
    Status fault;
    {
      MutexLock lock(mutex_);
      is_writing_ = false;
      changed_.NotifyAll();
      while (queue_.empty() && fault_.ok() && !must_stop_) changed_.Wait(mutex_);
      if (queue_.empty() && must_stop_) return;
      is_writing_ = true;
      fault = std::exchange(fault_, OkStatus());
      size_t bytes = 0;
      while (!queue_.empty() && bytes < batch_bytes_max) {
        bytes += queue_.front().row->memory_bytes();
        taken.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      queue_bytes_ -= bytes;
    }
    if (!is_on()) continue;  // it will stay so
    // What the files have noted is the cause of all that readers and writers find then.
    Status status = database()->files.failure();
    if (status.ok()) status = fault.code() == StatusCode::kDataLoss ? Rebuild(fault) : fault;
    if (status.ok()) status = WriteBatch(taken);
    if (!status.ok()) TurnOff(status);
  }
}

Status DiskStore::WriteBatch(const std::deque<Waiting>& rows) {
  const std::shared_ptr<Database> database = this->database();
  if (rows.empty() || database == nullptr) return OkStatus();
  rocksdb::WriteBatch batch;
  for (const Waiting& each : rows)
    batch.Put(KeyBytes(each.key).slice(), Encode(each.key, *each.row));
  const rocksdb::Status status = database->db->Write({}, &batch);
  TRY(database->files.failure());
  if (!status.ok())
    return Error(StatusCode::kInternal, "cannot write to {}: {}", options_.folder,
                 status.ToString());
  metrics_->written.Add(rows.size());
  CountBytes(*database);
  return OkStatus();
}

void DiskStore::CountBytes(const Database& database) const {
  uint64_t tables = 0, buffers = 0;
  database.db->GetIntProperty("rocksdb.total-sst-files-size", &tables);
  database.db->GetIntProperty("rocksdb.cur-size-all-mem-tables", &buffers);
  metrics_->bytes.Set(static_cast<double>(tables + buffers));
}

uint64_t DiskStore::MemoryBytes(const DiskOptions& options) {
  // Two buffers, the queue, and the filters and indexes of all files: a few bytes for each row.
  return 2 * BufferBytes(options) + options.queue_bytes_max + options.bytes_max / 64;
}

std::string DiskStore::Encode(const EntryKey& key, const CachedRow& row) const {
  const bool has_strings = row.dtype() == DType::kString;
  const Head head{.format = kFormat,
                  .dtype = static_cast<uint16_t>(row.dtype()),
                  .rank = static_cast<uint16_t>(row.shape().rank()),
                  .expires = ttl_seconds() == 0 ? 0 : options_.now() + ttl_seconds(),
                  .element_bytes = row.size(),
                  .string_bytes = row.string_bytes()};
  std::string bytes;
  bytes.reserve(sizeof(head) + 8 * head.rank + row.size() + row.string_bytes() + sizeof(RowKey));
  Append(&head, sizeof(head), bytes);
  Append(row.shape().dims().data(), 8 * row.shape().rank(), bytes);
  if (has_strings) {
    for (const StringElement& element : row.strings()) Append(&element.size, 8, bytes);
    Append(row.characters(), row.string_bytes(), bytes);
  } else {
    Append(row.data(), row.size(), bytes);
  }
  RowMac mac(mac_key_);
  mac.AddNumber(kEntryKind);
  mac.AddBytes(KeyBytes(key).bytes, sizeof(KeyBytes::bytes));
  mac.AddText(bytes);
  const RowKey tag = mac.Finish();
  Append(&tag, sizeof(tag), bytes);
  return bytes;
}

DiskStore::Found DiskStore::Decode(const EntryKey& key, std::string_view bytes) const {
  Head head;
  RowKey tag;
  if (bytes.size() < sizeof(head) + sizeof(tag)) return {};
  std::memcpy(&tag, bytes.data() + bytes.size() - sizeof(tag), sizeof(tag));
  bytes.remove_suffix(sizeof(tag));
  RowMac mac(mac_key_);
  mac.AddNumber(kEntryKind);
  mac.AddBytes(KeyBytes(key).bytes, sizeof(KeyBytes::bytes));
  mac.AddText(bytes);
  if (!(mac.Finish() == tag)) return {};
  // From here on it is what Encode has made, perhaps in another release.
  std::memcpy(&head, bytes.data(), sizeof(head));
  bytes.remove_prefix(sizeof(head));
  if (head.format != kFormat) return {};
  Found found;
  if (head.expires != 0) {
    const int64_t left_s = head.expires - options_.now();
    // The clock may have been set back, and rows must not live longer for that.
    if (left_s <= 0 || left_s > ttl_seconds()) return {};
    found.left = std::chrono::seconds(left_s);
  } else if (ttl_seconds() != 0) {
    return {};  // it was written without a time to live
  }
  const bool has_strings = head.dtype == static_cast<uint16_t>(DType::kString);
  const uint64_t strings = has_strings ? head.element_bytes / sizeof(StringElement) : 0;
  const uint64_t expected = uint64_t{8} * head.rank +
                            (has_strings ? 8 * strings + head.string_bytes : head.element_bytes);
  if (bytes.size() != expected) return {};
  Shape shape;
  for (uint16_t axis = 0; axis < head.rank; ++axis) {
    int64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    bytes.remove_prefix(8);
    shape.Append(size);
  }
  RowRef& row = found.row;
  row = CachedRow::Make(static_cast<DType>(head.dtype), std::move(shape), head.element_bytes,
                        head.string_bytes);
  if (!row) return found;
  if (!has_strings) {
    if (!bytes.empty()) std::memcpy(row->data(), bytes.data(), bytes.size());
    return found;
  }
  const std::string_view lengths = bytes.substr(0, 8 * strings);
  const std::string_view characters = bytes.substr(8 * strings);
  if (!characters.empty()) std::memcpy(row->characters(), characters.data(), characters.size());
  auto* const elements = reinterpret_cast<StringElement*>(row->data());
  const auto* place = reinterpret_cast<const char*>(row->characters());
  for (uint64_t i = 0; i < strings; ++i) {
    uint64_t size = 0;
    std::memcpy(&size, lengths.data() + 8 * i, 8);
    elements[i] = {place, size};
    place += size;
  }
  return found;
}

std::string DiskStore::StateJson() const {
  std::string json = fmt::format("{{\"on\":{},\"folder\":\"", is_on());
  AppendJsonEscaped(json, options_.folder);
  return json + fmt::format("\",\"bytes\":{:.0f},\"bytes_max\":{},\"written\":{},\"dropped\":{}}}",
                            metrics_->bytes.Value(), options_.bytes_max, metrics_->written.Value(),
                            metrics_->dropped.Value());
}

std::shared_ptr<DiskStore> DiskStores::Open(const DiskOptions& options, const std::string& model) {
  MutexLock lock(mutex_);
  std::shared_ptr<DiskStore>& store = stores_[options.folder];
  const bool is_same = store != nullptr && store->is_on() &&
                       store->options().bytes_max == options.bytes_max &&
                       store->options().ttl == options.ttl;
  if (is_same || store.use_count() > 1) return store;
  store = nullptr;  // it must let the folder go before it is opened again
  store = std::make_shared<DiskStore>(options, model, metrics_);
  return store;
}

}  // namespace penstock::cache
