// SPDX-License-Identifier: Apache-2.0
// How it works. Boost.Beast parses the lines of the head, and this file adds the checks that Beast
// leaves out. They guard against request smuggling: a proxy and this server must agree on the
// length of a body and on the host. So a head with two lengths, a length and a transfer coding, two
// hosts or a folded line is refused, although RFC 9112 allows a server to repair some of them.
//
// The head may arrive in several reads, and its bytes may move in memory in between. So the parser
// keeps no pointers. Every part is a Piece: an offset from the first byte of the head. When the
// head is complete, its bytes are copied to the HeadStorage in one go, at offset 0, and the pieces
// become views.
#include "net/http1/head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <charconv>

#include "net/headers.h"

namespace penstock::net {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using BeastView = boost::beast::string_view;

// The position of a piece of the head.
struct Piece {
  size_t at = 0;
  size_t size = 0;
};

// The characters of a name or an address with a port. A comma would mean two hosts, and some
// servers read an '@' or '/' as another host.
bool IsHostChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~:[]%!$&'()*+;=").find(c) != std::string_view::npos;
}

// The error of a request, as it is answered. Immutable.
struct HeadError {
  int status = 400;
  std::string message;
};

// Parses one head. Beast's parser cannot be restarted, so each head needs a new object. Owned by
// loop.
class OneHead final : public http::basic_parser<true> {
 public:
  OneHead(HeadStorage& storage, size_t head_bytes_max) : storage_(storage) {
    header_limit(static_cast<uint32_t>(std::min<size_t>(head_bytes_max, UINT32_MAX)));
    // The session reads the body itself. Beast must stop after the head, and must not refuse a
    // large Content-Length.
    body_limit(boost::none);
    eager(false);
  }

  void set_bytes(std::string_view bytes) { bytes_ = bytes; }
  const Piece& method() const { return method_; }
  const Piece& target() const { return target_; }
  const Piece& host() const { return host_; }
  int version() const { return version_; }
  bool has_transfer_encoding() const { return transfer_encodings_ > 0; }
  bool expects_continue() const { return expects_continue_; }
  const std::optional<uint64_t>& length() const { return length_; }
  const std::optional<HeadError>& wrong() const { return wrong_; }

  // Checks the rules that need all fields.
  void CheckFraming() {
    if (wrong_.has_value()) return;
    if (has_transfer_encoding() && length_.has_value())
      return Refuse(400, "a request has either Content-Length or Transfer-Encoding, not both");
    if (has_transfer_encoding() && version_ == 10)
      return Refuse(400, "HTTP/1.0 knows no Transfer-Encoding");
    if (hosts_ != 1 && version_ == 11)
      return Refuse(400, "an HTTP/1.1 request has exactly one Host header");
  }

 private:
  Piece PieceOf(BeastView text) const {
    return {static_cast<size_t>(text.data() - bytes_.data()), text.size()};
  }
  void Refuse(int status, std::string message) {
    if (!wrong_.has_value()) wrong_ = HeadError{status, std::move(message)};
  }

  void on_request_impl(http::verb, BeastView method, BeastView target, int version,
                       error_code&) override {
    method_ = PieceOf(method);
    target_ = PieceOf(target);
    version_ = version;
  }

  void on_field_impl(http::field field, BeastView name, BeastView value, error_code&) override {
    const Piece name_at = PieceOf(name);
    // Beast copies folded lines to memory of its own, or skips the line break before the value.
    const bool is_inside = value.empty() || (value.data() >= bytes_.data() &&
                                             value.data() < bytes_.data() + bytes_.size());
    if (!is_inside) return Refuse(400, "a header folded over several lines is not accepted");
    const size_t colon = name_at.at + name_at.size;
    const Piece value_at = value.empty() ? Piece{colon + 1, 0} : PieceOf(value);
    if (IsFolded(colon + 1, value))
      return Refuse(400, "a header folded over several lines is not accepted");
    storage_.AddField(name_at.at, name_at.size, value_at.at, value_at.size);
    CheckField(field, {value.data(), value.size()}, value_at);
  }

  bool IsFolded(size_t at, BeastView value) const {
    const char* const end = value.data();
    for (const char* c = bytes_.data() + at; c < end; ++c)
      if (*c != ' ' && *c != '\t') return true;
    return false;
  }

  void CheckField(http::field field, std::string_view value, const Piece& at) {
    switch (field) {
      case http::field::host:
        host_ = at;
        ++hosts_;
        if (!std::all_of(value.begin(), value.end(), IsHostChar))
          Refuse(400, "the Host header is not a name or an address");
        break;
      case http::field::content_length:
        CheckLength(value);
        break;
      case http::field::transfer_encoding:
        if (++transfer_encodings_ > 1) Refuse(400, "there is more than one Transfer-Encoding");
        if (!EqualsIgnoringCase(value, "chunked"))
          Refuse(501,
                 fmt::format("transfer-encoding {} is not supported; supported: chunked", value));
        break;
      case http::field::expect:
        if (EqualsIgnoringCase(value, "100-continue")) {
          expects_continue_ = true;
        } else {
          Refuse(417,
                 fmt::format("expectation {} is not supported; supported: 100-continue", value));
        }
        break;
      default:
        break;
    }
  }

  void CheckLength(std::string_view value) {
    if (length_.has_value()) return Refuse(400, "there is more than one Content-Length");
    uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (error != std::errc() || end != value.data() + value.size())
      return Refuse(400, fmt::format("Content-Length '{}' is not a number of bytes", value));
    length_ = length;
  }

  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(BeastView, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, BeastView, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, BeastView, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}
  // A request has no status line.
  void on_response_impl(int, BeastView, int, error_code&) override {}

  HeadStorage& storage_;
  std::string_view bytes_;
  Piece method_, target_, host_;
  int version_ = 11;
  int hosts_ = 0;
  int transfer_encodings_ = 0;
  bool expects_continue_ = false;
  std::optional<uint64_t> length_;
  std::optional<HeadError> wrong_;
};

}  // namespace

// Does the work of Http1HeadParser. Owned by loop.
class Http1HeadParser::Impl final {
 public:
  explicit Impl(size_t bytes_max) : head_bytes_max(bytes_max) {}

  Result Parse(std::string_view bytes) {
    error_code error;
    one->set_bytes(bytes);
    parsed += one->put({bytes.data() + parsed, bytes.size() - parsed}, error);
    // Beast applies its limit to the start line and to the fields separately. The server's limit is
    // for both together.
    if (error == http::error::need_more) {
      if (bytes.size() < head_bytes_max) return Result::kMore;
      error = http::error::header_limit;
    }
    if (one->wrong().has_value()) return Bad(*one->wrong());
    if (error) return Bad(Translate(error, bytes));
    if (!one->is_header_done()) return Result::kMore;
    one->CheckFraming();
    if (one->wrong().has_value()) return Bad(*one->wrong());
    storage->Append(bytes.substr(0, parsed));
    return CheckTarget();
  }

  Result Bad(HeadError error) {
    wrong = std::move(error);
    return Result::kBad;
  }

  HeadError Translate(const error_code& error, std::string_view bytes) const {
    if (error == http::error::header_limit) {
      const bool in_first_line =
          bytes.substr(0, head_bytes_max).find('\n') == std::string_view::npos;
      return in_first_line
                 ? HeadError{414, fmt::format("the request line is longer than {} bytes",
                                              head_bytes_max)}
                 : HeadError{431, fmt::format("the request's head is larger than {} bytes",
                                              head_bytes_max)};
    }
    if (error == http::error::bad_version && IsOtherVersion(bytes))
      return {505, "this server speaks HTTP/1.0, HTTP/1.1 and HTTP/2"};
    return {400, fmt::format("malformed request: {}", error.message())};
  }

  // True if the first line is complete and only its version is wrong, as in "GET / HTTP/2.0".
  static bool IsOtherVersion(std::string_view bytes) {
    const std::string_view line = bytes.substr(0, bytes.find('\r'));
    const size_t target_at = line.find(' ') + 1;
    const size_t version_at = line.find(' ', target_at) + 1;
    if (target_at == 0 || version_at == 0) return false;
    const std::string_view version = line.substr(version_at);
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    return version.size() == 8 && version.starts_with("HTTP/") && is_digit(version[5]) &&
           version[6] == '.' && is_digit(version[7]);
  }

  // Splits the three forms of the target: "/path?query", "http://host/path?query", and "*" for
  // OPTIONS.
  Result CheckTarget() {
    path = one->target();
    authority = one->host();
    std::string_view target = storage->View(path.at, path.size);
    const size_t scheme = std::min(target.find("://"), target.size());
    if (EqualsIgnoringCase(target.substr(0, scheme), "http") ||
        EqualsIgnoringCase(target.substr(0, scheme), "https")) {
      const size_t host_at = target.find("//") + 2;
      const size_t path_at = std::min(target.find_first_of("/?", host_at), target.size());
      // The host in the target replaces the Host header (RFC 9112, section 3.2.2).
      authority = {path.at + host_at, path_at - host_at};
      path = {path.at + path_at, path.size - path_at};
      target.remove_prefix(path_at);
    } else if (!target.starts_with('/') && target != "*") {
      return Bad(
          {400, fmt::format("the request target '{:.256}' does not begin with '/'", target)});
    }
    const size_t query_at = target.find('?');
    query = {};
    if (query_at != std::string_view::npos) {
      query = {path.at + query_at + 1, path.size - query_at - 1};
      path.size = query_at;
    }
    return Result::kDone;
  }

  const size_t head_bytes_max;
  std::optional<OneHead> one;
  HeadStorage* storage = nullptr;
  size_t parsed = 0;
  Piece path, query, authority;
  HeadError wrong;
};

Http1HeadParser::Http1HeadParser(size_t head_bytes_max)
    : impl_(std::make_unique<Impl>(head_bytes_max)) {}
Http1HeadParser::~Http1HeadParser() = default;

void Http1HeadParser::Start(HeadStorage& storage) {
  impl_->one.emplace(storage, impl_->head_bytes_max);
  impl_->storage = &storage;
  impl_->parsed = 0;
}

Http1HeadParser::Result Http1HeadParser::Parse(std::string_view bytes) {
  return impl_->Parse(bytes);
}

void Http1HeadParser::FillHead(RequestHead& head) {
  HeadStorage& storage = *impl_->storage;
  const auto view = [&](const Piece& piece) { return storage.View(piece.at, piece.size); };
  head.method = view(impl_->one->method());
  head.path = view(impl_->path);
  if (head.path.empty()) head.path = "/";
  head.query = view(impl_->query);
  head.authority = view(impl_->authority);
  head.headers = storage.Fields();
  head.protocol = Protocol::kHttp1;
}

size_t Http1HeadParser::head_bytes() const { return impl_->parsed; }
bool Http1HeadParser::is_chunked() const { return impl_->one->has_transfer_encoding(); }
std::optional<uint64_t> Http1HeadParser::content_length() const { return impl_->one->length(); }
bool Http1HeadParser::keep_alive() const { return impl_->one->keep_alive(); }
bool Http1HeadParser::is_http10() const { return impl_->one->version() == 10; }
// A client of HTTP/1.0 does not know the answer 100, and would take it for the whole answer (RFC
// 9110, section 10.1.1).
bool Http1HeadParser::expects_continue() const {
  return impl_->one->expects_continue() && !is_http10();
}
int Http1HeadParser::error_status() const { return impl_->wrong.status; }
const std::string& Http1HeadParser::error_message() const { return impl_->wrong.message; }

}  // namespace penstock::net
