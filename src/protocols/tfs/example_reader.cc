// SPDX-License-Identifier: Apache-2.0
// Each input has a column: the tensor that is filled row by row. Entries of the map in an Example
// come in any order, but often in the same order in all Examples of a request. So a column is
// looked for first at the place where its name stood in the Example before. Clients whose maps have
// another order each time need a table.
//
// An entry may be replaced by a later one of the same name. So a wrong value is no error before its
// Example ends, and an entry does not decide the size of the rows before.
//
// A short message can hold very many Examples and entries. So the work must be linear in the bytes
// of the message and of the tensors: read each value of the context once, and allocate each tensor
// once.
#include "protocols/tfs/example_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "protocols/tfs/feature_values.h"
#include "protocols/tfs/map_entry.h"

namespace penstock::tfs {
namespace {

// The bytes of one Feature.
struct FeatureBytes {
  std::string_view feature;
  std::string_view entry = {};  // the map entry, if it has the Feature in several pieces
};

// Gives all values of a Feature to `sink`.
template <typename Sink>
bool ReadPieces(const FeatureBytes& bytes, Sink& sink, WireError& error) {
  if (bytes.entry.empty()) [[likely]]
    return ReadFeature(bytes.feature, sink, error);
  return VisitPieces(bytes.entry, error,
                     [&](std::string_view piece) { return ReadFeature(piece, sink, error); });
}

// How an entry was written. kCounted: not yet, because it may decide the size of the rows. kLate:
// earlier Examples lack it.
enum class Written : uint8_t { kWhole, kCounted, kWithoutKind, kWrong, kLate };

// One input while it is filled. One thread at a time.
struct Column {
  explicit Column(const FeatureInput& the_input) : input(&the_input), values(the_input.values) {}

  std::string_view name() const { return input->feature; }

  const FeatureInput* input;
  int64_t values;  // in a row; -1 until the first Example ends
  Tensor tensor;   // allocated when the first row is written
  std::byte* data = nullptr;
  size_t row_bytes = 0;
  int64_t row = -1;  // the Example that wrote to it last
  Written written = Written::kWhole;
  FeatureBytes last;    // of a row that was not written whole
  int64_t counted = 0;  // the values of `last`, if it is kCounted
  FeatureBytes context;
  bool has_context = false;  // false also if its feature proved to have no kind
  int64_t filled_row = -1;   // a row with the value for Examples without the feature
};

// A hash of a name. Names of features mostly differ at their ends.
uint64_t HashName(std::string_view name) {
  uint64_t first = 0, last = 0;
  if (name.size() >= sizeof first) {
    std::memcpy(&first, name.data(), sizeof first);
    std::memcpy(&last, name.data() + name.size() - sizeof last, sizeof last);
  } else {
    for (const char c : name) first = first << 8 | static_cast<unsigned char>(c);
  }
  const uint64_t hash = (first + name.size()) * 0x9E3779B97F4A7C15;
  return (hash ^ hash >> 32 ^ last) * 0xFF51AFD7ED558CCD;
}

// Finds the columns of a request with many Examples by name. Open addressing; a quarter of the
// slots is used. The names are the model's, so a client cannot choose names that collide. One
// thread at a time.
class ColumnTable final {
 public:
  template <typename Columns>
  void Build(const Columns& columns) {
    const int bits = std::bit_width(columns.size()) + 2;
    shift_ = 64 - bits;
    slots_.assign(size_t{1} << bits, 0);
    for (size_t i = 0; i < columns.size(); ++i) {
      size_t slot = HashName(columns[i].name()) >> shift_;
      while (slots_[slot] != 0) slot = (slot + 1) % slots_.size();
      slots_[slot] = static_cast<uint32_t>(i + 1);
    }
  }
  bool empty() const { return slots_.empty(); }
  // Returns null if no column takes the feature.
  template <typename Columns>
  Column* Find(Columns& columns, std::string_view name) const {
    for (size_t slot = HashName(name) >> shift_;; slot = (slot + 1) % slots_.size()) {
      if (slots_[slot] == 0) return nullptr;
      Column& column = columns[slots_[slot] - 1];
      if (column.name() == name) return &column;
    }
  }

 private:
  std::vector<uint32_t> slots_;  // the index of a column, and 1; 0: empty
  int shift_ = 0;
};

// Reads the Examples of one request. One thread at a time.
class ExampleReader final {
 public:
  ExampleReader(const ExamplePlan& plan, int64_t rows, const BufferRef& owner,
                RequestMemory& memory)
      : rows_(rows), owner_(owner), memory_(memory) {
    columns_.reserve(plan.features.size());
    for (const FeatureInput& each : plan.features) columns_.emplace_back(each);
    // For few look-ups the table is not worth its cost.
    if (rows > 4 && columns_.size() > 4) table_.Build(columns_);
  }

  Status Read(const ExampleInput& input);
  void Finish(NamedTensors& inputs);

 private:
  // A name, and the column that takes it; null: no input does.
  struct NamedColumn {
    std::string_view name;
    Column* column;
  };

  bool ReadExample(std::string_view example);
  bool ReadFeatures(std::string_view features);
  bool ReadEntry(std::string_view entry);
  bool FindColumn(std::string_view name, WireReader& reader, Column*& column);
  Column* SearchColumn(std::string_view name);
  bool Put(Column& column, const FeatureBytes& bytes);
  bool Write(Column& column, const FeatureBytes& bytes);
  bool WriteValues(Column& column, const FeatureBytes& bytes);
  bool Count(Column& column, const FeatureBytes& bytes);
  bool WriteCounted(Column& column);
  bool Allocate(Column& column);
  bool FillMissing();
  bool Fill(Column& column);
  bool Fail(Status status) {
    status_ = std::move(status);
    return false;
  }
  bool FailMissing(const Column& column, int64_t row);
  bool FailWrong(const Column& column, const FeatureBytes& bytes, bool is_context);
  std::string Where(bool is_context) const {
    return is_context ? "the context" : fmt::format("example {}", row_);
  }

  const int64_t rows_;
  const BufferRef& owner_;
  RequestMemory& memory_;
  absl::InlinedVector<Column, 4> columns_;     // sorted by name
  ColumnTable table_;                          // empty: columns are found by binary search
  absl::InlinedVector<NamedColumn, 16> last_;  // of the Example before
  size_t position_ = 0;                        // of the next entry in the Example
  int64_t row_ = -1;                           // -1: the context
  size_t filled_ = 0;                          // columns that this Example has written
  bool has_odd_ = false;                       // one of them is not whole
  WireError error_;
  Status status_;
};

Status ExampleReader::Read(const ExampleInput& input) {
  const auto read = [&](std::string_view bytes) {
    position_ = 0;
    filled_ = 0;
    has_odd_ = false;
    error_ = {};
    if (ReadExample(bytes) && (row_ < 0 || FillMissing())) return true;
    if (!status_.ok()) return false;
    return Fail(InvalidArgument("{} is malformed: {} at byte {} of {}", Where(row_ < 0),
                                error_.what, error_.where - bytes.data(), bytes.size()));
  };
  // The context may come behind the Examples, but is needed first.
  if (input.has_context()) {
    input.Visit(
        [&](std::string_view bytes, bool is_context) { return !is_context || read(bytes); });
    TRY(status_);
  }
  input.Visit([&](std::string_view bytes, bool is_context) {
    if (is_context) return true;
    ++row_;
    return read(bytes);
  });
  return status_;
}

bool ExampleReader::ReadExample(std::string_view example) {
  WireReader reader(example, error_);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    std::string_view features;
    if (tag != MakeTag(1, WireType::kLength)) {
      if (!reader.SkipField(tag, kValuesNesting + 4)) return false;
    } else if (!reader.ReadBytes(features) || !ReadFeatures(features)) {
      return false;
    }
  }
  return true;
}

bool ExampleReader::ReadFeatures(std::string_view features) {
  WireReader reader(features, error_);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    std::string_view entry;
    if (tag != MakeTag(1, WireType::kLength)) {
      if (!reader.SkipField(tag, kValuesNesting + 3)) return false;
    } else if (!reader.ReadBytes(entry) || !ReadEntry(entry)) {
      return false;
    }
  }
  return true;
}

bool ExampleReader::ReadEntry(std::string_view entry) {
  WireReader reader(entry, error_);
  std::string_view name;
  FeatureBytes bytes;
  bool has_feature = false;
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    if (tag == MakeTag(1, WireType::kLength)) {
      if (!reader.ReadBytes(name)) return false;
    } else if (tag == MakeTag(2, WireType::kLength)) {
      if (has_feature) bytes.entry = entry;
      has_feature = true;
      if (!reader.ReadBytes(bytes.feature)) return false;
    } else if (!reader.SkipField(tag, kValuesNesting + 2)) {
      return false;
    }
  }
  Column* column = nullptr;
  if (!FindColumn(name, reader, column)) return false;
  return column == nullptr || Put(*column, bytes);
}

bool ExampleReader::FindColumn(std::string_view name, WireReader& reader, Column*& column) {
  // More names would take memory that nothing limits.
  constexpr size_t kNamesKeptMax = 4096;
  const size_t position = position_++;
  if (position < last_.size() && last_[position].name == name) [[likely]] {
    column = last_[position].column;
    return true;
  }
  column = SearchColumn(name);
  // The names of inputs are UTF-8.
  if (column == nullptr && !IsUtf8(name)) {
    return reader.Fail("the name of a feature is not UTF-8");
  }
  if (position < last_.size()) {
    last_[position] = {name, column};
  } else if (position < kNamesKeptMax) {
    last_.push_back({name, column});
  }
  return true;
}

Column* ExampleReader::SearchColumn(std::string_view name) {
  if (!table_.empty()) return table_.Find(columns_, name);
  const auto found = std::ranges::lower_bound(columns_, name, {}, &Column::name);
  return found != columns_.end() && found->name() == name ? &*found : nullptr;
}

bool ExampleReader::Put(Column& column, const FeatureBytes& bytes) {
  if (row_ < 0) {
    column.context = bytes;
    column.has_context = true;
    return true;
  }
  if (column.row != row_) {
    column.row = row_;
    ++filled_;
  }
  return Write(column, bytes);
}

// Writes the current row of the column. Everything but a whole row is only noted, because a later
// entry of the same name may replace this one.
bool ExampleReader::Write(Column& column, const FeatureBytes& bytes) {
  // A later Example than the first one comes too late to decide the size of the rows.
  if (column.values < 0 || (column.data == nullptr && row_ > 0)) return Count(column, bytes);
  if (column.data == nullptr && !Allocate(column)) return false;
  return WriteValues(column, bytes);
}

bool ExampleReader::WriteValues(Column& column, const FeatureBytes& bytes) {
  ValueWriter writer(column.input->input->dtype,
                     column.data + static_cast<size_t>(row_) * column.row_bytes, column.values);
  if (!ReadPieces(bytes, writer, error_)) return false;
  column.written = Written::kWhole;
  if (writer.is_whole()) [[likely]]
    return true;
  column.written = writer.kind() == FeatureKind::kNone ? Written::kWithoutKind : Written::kWrong;
  column.last = bytes;
  has_odd_ = true;
  return true;
}

// Notes how many values the feature has, of a column whose rows have no size yet.
bool ExampleReader::Count(Column& column, const FeatureBytes& bytes) {
  ValueCounter counter;
  if (!ReadPieces(bytes, counter, error_)) return false;
  // The sizes that are known must divide the number of values.
  int64_t known = 1;
  for (const int64_t dim : column.input->row.dims()) known *= dim < 0 ? 1 : dim;
  if (counter.kind() == FeatureKind::kNone) {
    column.written = Written::kWithoutKind;
  } else if (row_ > 0) {
    column.written = Written::kLate;
  } else if (!IsAccepted(counter.kind(), column.input->input->dtype) || known == 0 ||
             counter.count() % known != 0) {
    column.written = Written::kWrong;
  } else {
    column.written = Written::kCounted;
    column.counted = counter.count();
  }
  column.last = bytes;
  has_odd_ = true;
  return true;
}

// Decides the size of the column's rows by its last entry, and writes the first row.
bool ExampleReader::WriteCounted(Column& column) {
  column.values = column.counted;
  return Allocate(column) && WriteValues(column, column.last);
}

bool ExampleReader::Allocate(Column& column) {
  // The sizes are limited: no row has more values than the message has bytes, or than its default.
  Shape shape{rows_};
  int64_t known = 1;
  for (const int64_t dim : column.input->row.dims()) known *= dim < 0 ? 1 : dim;
  for (const int64_t dim : column.input->row.dims()) {
    shape.Append(dim < 0 ? column.values / known : dim);
  }
  const TensorSpec& spec = *column.input->input;
  StatusOr<Tensor> tensor = Tensor::Allocate(spec.dtype, std::move(shape), memory_);
  if (!tensor.ok()) {
    return Fail(Error(tensor.status().code(), "the input \"{}\": {}", spec.name,
                      MessageOf(tensor.status())));
  }
  column.tensor = *std::move(tensor);
  column.data = column.tensor.mutable_data();
  column.row_bytes = column.tensor.bytes() / static_cast<size_t>(rows_);
  return true;
}

// Ends an Example: gives a value to each column that it has not filled.
bool ExampleReader::FillMissing() {
  if (filled_ == columns_.size() && !has_odd_) [[likely]]
    return true;
  for (Column& column : columns_) {
    const bool is_sent = column.row == row_;
    if (is_sent && column.written == Written::kCounted && !WriteCounted(column)) return false;
    if (is_sent && column.written == Written::kWhole) continue;
    if (is_sent && column.written == Written::kWrong) {
      return FailWrong(column, column.last, /*is_context=*/false);
    }
    if (is_sent && column.written == Written::kLate) return FailMissing(column, 0);
    // An entry without a kind, `[]` in JSON, is as good as none. TensorFlow's parser takes it so
    // for features of a fixed length.
    if (!Fill(column)) return false;
  }
  return true;
}

// Fills the current row with the value of the context, or with the default.
bool ExampleReader::Fill(Column& column) {
  const auto row = static_cast<size_t>(row_);
  // Copy a row that was filled before: it costs less than reading the context again for each
  // Example.
  if (column.filled_row >= 0) {
    std::memcpy(column.data + row * column.row_bytes,
                column.data + static_cast<size_t>(column.filled_row) * column.row_bytes,
                column.row_bytes);
    return true;
  }
  if (column.has_context) {
    if (!Write(column, column.context)) {
      if (!status_.ok()) return false;
      return Fail(InvalidArgument("the context is malformed: {}, in the feature \"{:.100}\"",
                                  error_.what, column.name()));
    }
    if (column.written == Written::kCounted && !WriteCounted(column)) return false;
    if (column.written == Written::kWrong) {
      return FailWrong(column, column.context, /*is_context=*/true);
    }
    if (column.written == Written::kLate) return FailMissing(column, 0);
    if (column.written == Written::kWhole) {
      column.filled_row = row_;
      return true;
    }
    column.has_context = false;  // The other Examples need not read it again.
  }
  if (column.input->default_row) {
    if (column.data == nullptr && !Allocate(column)) return false;
    std::memcpy(column.data + row * column.row_bytes, column.input->default_row->data(),
                column.row_bytes);
    column.filled_row = row_;
    return true;
  }
  // It may be left out, but then by all Examples.
  if (!column.input->input->optional || (column.data != nullptr && row_ > 0)) {
    return FailMissing(column, row_);
  }
  memory_.GiveBack(column.tensor.bytes());
  column.tensor = {};
  column.data = nullptr;
  return true;
}

bool ExampleReader::FailMissing(const Column& column, int64_t row) {
  const TensorSpec& spec = *column.input->input;
  if (spec.optional) {
    return Fail(InvalidArgument(
        "example {} has no feature \"{:.100}\", which other Examples have: the input \"{}\" may be "
        "left out only by all of them",
        row, column.name(), spec.name));
  }
  return Fail(InvalidArgument(
      "example {} has no feature \"{:.100}\": the input \"{}\" needs {} of {} for each Example, "
      "and has no default",
      row, column.name(), spec.name,
      column.values < 0 ? "values" : fmt::format("{} value(s)", column.values),
      DTypeName(spec.dtype)));
}

// Reports a feature that does not fit its input. Reads it again to tell what came.
bool ExampleReader::FailWrong(const Column& column, const FeatureBytes& bytes, bool is_context) {
  const TensorSpec& spec = *column.input->input;
  ValueCounter counter;
  WireError ignored;
  ReadPieces(bytes, counter, ignored);
  const std::string wanted =
      column.values < 0 ? std::string("any number of") : fmt::format("{}", column.values);
  if (IsAccepted(counter.kind(), spec.dtype) && counter.count() == column.values) {
    std::byte* const to = column.data + static_cast<size_t>(row_) * column.row_bytes;
    ValueWriter writer(spec.dtype, to, column.values);
    ReadPieces(bytes, writer, ignored);
    return Fail(InvalidArgument(
        "{}: the feature \"{:.100}\" has the value {}, which is not in the "
        "range of the input \"{}\" of {}",
        Where(is_context), column.name(), writer.bad_value(), spec.name, DTypeName(spec.dtype)));
  }
  return Fail(InvalidArgument(
      "{}: the feature \"{:.100}\" has {} value(s) of {}, but the input \"{}\" takes {} value(s) "
      "of {} for each Example{}",
      Where(is_context), column.name(), counter.count(), FeatureKindName(counter.kind()), spec.name,
      wanted, DTypeName(spec.dtype),
      spec.unknown_rank ? "" : fmt::format(" (its shape is {})", spec.shape.ToString())));
}

void ExampleReader::Finish(NamedTensors& inputs) {
  for (Column& column : columns_) {
    if (column.data == nullptr) continue;
    if (column.tensor.dtype() == DType::kString) column.tensor.set_string_owner(owner_);
    inputs.push_back({column.input->input->name, std::move(column.tensor)});
  }
}

}  // namespace

Status ReadExamples(const ExampleInput& input, const ExamplePlan& plan, const BufferRef& owner,
                    RequestMemory& memory, NamedTensors& inputs) {
  inputs.clear();
  if (input.count() == 0) return absl::InvalidArgumentError("Input is empty.");
  if (plan.examples != nullptr) {
    ASSIGN_OR_RETURN(Tensor serialized, SerializedExamples(input, owner, memory));
    inputs.push_back({plan.examples->name, std::move(serialized)});
    return OkStatus();
  }
  ExampleReader reader(plan, static_cast<int64_t>(input.count()), owner, memory);
  TRY(reader.Read(input));
  reader.Finish(inputs);
  return OkStatus();
}

}  // namespace penstock::tfs
