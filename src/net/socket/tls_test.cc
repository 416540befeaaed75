// SPDX-License-Identifier: Apache-2.0
// TLS over real sockets, with certificates made here.
#include "net/socket/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/os/test_folder.h"
#include "net/socket/client_fake.h"
#include "net/socket/identity_fake.h"
#include "net/socket/server.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

std::string EncryptedKey() {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  const std::string pem = PemOf([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "secret", 6, nullptr,
                                         nullptr);
  });
  EVP_PKEY_free(key);
  return pem;
}

// What a client tries. Immutable.
struct ClientOptions {
  const Identity* identity = nullptr;
  std::string alpn = {};  // in wire form
  int version_max = 0;
};

// A blocking TLS client. One thread.
class TlsClient final {
 public:
  explicit TlsClient(int port, const ClientOptions& options = {})
      : socket_(port), context_(SSL_CTX_new(TLS_client_method())) {
    if (options.version_max != 0) SSL_CTX_set_max_proto_version(context_, options.version_max);
    ssl_ = SSL_new(context_);
    if (options.identity != nullptr) UseIdentity(*options.identity);
    if (!options.alpn.empty())
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                          static_cast<unsigned>(options.alpn.size()));
    SSL_set_fd(ssl_, socket_.handle());
    is_connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool is_connected() const { return is_connected_; }
  std::string server_name() const {
    char name[64] = {};
    X509* const certificate = SSL_get1_peer_certificate(ssl_);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                              sizeof name);
    X509_free(certificate);
    return name;
  }
  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  // Asks for new keys on both sides. False: the server has closed.
  bool UpdateKeys() {
    return SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl_) == 1;
  }
  // The first piece of what comes.
  std::string Ask(std::string_view request) {
    SSL_write(ssl_, request.data(), static_cast<int>(request.size()));
    std::string piece(16384, '\0');
    piece.resize(static_cast<size_t>(std::max(SSL_read(ssl_, piece.data(), 16384), 0)));
    return piece;
  }
  // All that comes until the server closes; empty if the request was refused.
  std::string AskAndClose(std::string_view request) {
    SSL_write(ssl_, request.data(), static_cast<int>(request.size()));
    std::string all;
    char piece[16384];
    for (int bytes = 0; (bytes = SSL_read(ssl_, piece, sizeof piece)) > 0;)
      all.append(piece, static_cast<size_t>(bytes));
    return all;
  }

 private:
  void UseIdentity(const Identity& identity) {
    BIO* bio = BIO_new_mem_buf(identity.certificate.data(), -1);
    X509* const certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    SSL_use_certificate(ssl_, certificate);
    X509_free(certificate);
    BIO_free(bio);
    bio = BIO_new_mem_buf(identity.key.data(), -1);
    EVP_PKEY* const key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
    SSL_use_PrivateKey(ssl_, key);
    EVP_PKEY_free(key);
    BIO_free(bio);
  }

  SocketClient socket_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  bool is_connected_ = false;
};

// A TLS server that echoes. One thread.
class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    router_.AddHttp(EchoRoute());
    options_.loops = 1;
    options_.inflight_bytes_max = 256 << 20;
    options_.listen = {{.address = "127.0.0.1", .port = 0, .tls = true}};
    options_.tls.certificate_pem = identity_.certificate;
    options_.tls.key_pem = identity_.key;
  }

  void Start(const Clock& clock = Clock::Real()) {
    auto server = Server::Start(options_, router_, metrics_, clock);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  int port() { return server_->ports()[0]; }
  static std::string Post(std::string_view body) {
    return fmt::format(
        "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        body.size(), body);
  }
  // At once: the server reads no half of it.
  void Replace(const std::string& file, const std::string& text) const {
    std::filesystem::rename(folder_.Write(file + ".new", text), folder_ / file);
  }

  const TestFolder folder_;
  const Identity identity_ = MakeIdentity("first");
  Router router_;
  MetricsRegistry metrics_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, CarriesSmallAndBigBodies) {
  Start();
  for (const size_t size : {5u, 3'000'000u}) {
    const std::string body(size, 'b');
    EXPECT_THAT(TlsClient(port()).AskAndClose(Post(body)), testing::EndsWith("\r\n\r\n" + body));
  }
}

TEST_F(TlsTest, AgreesOnTheProtocol) {
  Start();
  EXPECT_EQ(TlsClient(port(), {.alpn = "\x02h2\x08http/1.1"}).alpn(), "h2");
  EXPECT_EQ(TlsClient(port(), {.alpn = "\x08http/1.1"}).alpn(), "http/1.1");
  EXPECT_EQ(TlsClient(port()).alpn(), "");
  EXPECT_FALSE(TlsClient(port(), {.alpn = "\x04none"}).is_connected());
}

TEST_F(TlsTest, RefusesOldVersions) {
  Start();
  EXPECT_FALSE(TlsClient(port(), {.version_max = TLS1_1_VERSION}).is_connected());
  EXPECT_TRUE(TlsClient(port(), {.version_max = TLS1_2_VERSION}).is_connected());
}

// The clock stands still, so a connection that lingers would stay until the drain times out.
TEST_F(TlsTest, DrainDoesNotWaitForIdleClients) {
  const FakeClock clock;
  options_.drain_timeout = std::chrono::seconds(20);
  Start(clock);
  const SocketClient without_handshake(port());
  const TlsClient has_not_asked(port());
  TlsClient has_asked(port());
  EXPECT_THAT(has_asked.Ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n"), HasSubstr(" 404 "));
  EXPECT_TRUE(server_->Drain());
  EXPECT_THAT(metrics_.Text(), HasSubstr("\npenstock_net_connections_open 0\n"));
  server_.reset();  // it uses the clock
}

TEST_F(TlsTest, TellsClientsInClearText) {
  Start();
  const auto answer = [&](const std::string& bytes) {
    SocketClient plain(port());
    plain.Send(bytes);
    return plain.ReadUntilClosed();
  };
  const std::string text = answer(Post("hi"));
  EXPECT_THAT(text, AllOf(testing::StartsWith("HTTP/1.1 400 Bad Request\r\n"),
                          testing::EndsWith("this port speaks TLS only: ask it by https://\"\n}")));
  const size_t body = text.size() - text.find("\r\n\r\n") - 4;
  EXPECT_THAT(text, HasSubstr(fmt::format("\r\nContent-Length: {}\r\n", body)));
  EXPECT_EQ(answer("G"), text);
  for (const char* other : {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "rubbish, as it were"})
    EXPECT_THAT(answer(other), testing::Not(HasSubstr("HTTP")));
}

TEST_F(TlsTest, AFewKeyUpdatesAreServedAndAFloodEndsTheConnection) {
  Start();
  TlsClient calm(port());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(calm.UpdateKeys());
  EXPECT_THAT(calm.AskAndClose(Post("hi")), HasSubstr("200 OK"));
  TlsClient flood(port());
  // The first ones past the limit may still be written: the server has not read them.
  for (int i = 0; i < 2000 && flood.UpdateKeys(); ++i) {
  }
  EXPECT_EQ(flood.AskAndClose(Post("hi")), "");
}

TEST_F(TlsTest, ChecksClientCertificates) {
  const Identity client = MakeIdentity("client");
  options_.tls.client_ca_pem = client.certificate;
  options_.tls.require_client_certificate = true;
  Start();
  EXPECT_THAT(TlsClient(port(), {.identity = &client}).AskAndClose(Post("hi")),
              HasSubstr("200 OK"));
  EXPECT_EQ(TlsClient(port()).AskAndClose(Post("hi")), "");
  const Identity stranger = MakeIdentity("stranger");
  EXPECT_EQ(TlsClient(port(), {.identity = &stranger}).AskAndClose(Post("hi")), "");
}

TEST_F(TlsTest, TakesChangedFilesAndKeepsTheOldOnesIfTheNewAreBad) {
  const Identity second = MakeIdentity("second");
  options_.tls = {.certificate_file = folder_.Write("cert.pem", identity_.certificate),
                  .key_file = folder_.Write("key.pem", identity_.key),
                  .reload_interval = Duration(1)};
  Start();
  EXPECT_EQ(TlsClient(port()).server_name(), "first");
  Replace("cert.pem", "rubbish");
  EXPECT_EQ(TlsClient(port()).server_name(), "first");
  Replace("cert.pem", second.certificate);  // its key is not there yet
  EXPECT_EQ(TlsClient(port()).server_name(), "first");
  Replace("key.pem", second.key);
  EXPECT_EQ(TlsClient(port()).server_name(), "second");
}

TEST_F(TlsTest, SaysWhatIsWrongWithItsFiles) {
  const auto message = [&](TlsOptions tls) {
    options_.tls = std::move(tls);
    return std::string(MessageOf(Server::Start(options_, router_, metrics_).status()));
  };
  EXPECT_THAT(message({.certificate_file = "/no/such.pem", .key_file = "/no/key.pem"}),
              HasSubstr("cannot read the certificate /no/such.pem"));
  EXPECT_THAT(message({.certificate_pem = "x", .key_pem = identity_.key}),
              HasSubstr("the certificate given as text cannot be used"));
  EXPECT_THAT(message({.certificate_pem = "x", .key_pem = "y", .pem_source = "/my/ssl.config"}),
              AllOf(HasSubstr("the certificate in /my/ssl.config cannot be used"),
                    HasSubstr("must be PEM text (-----BEGIN CERTIFICATE-----)")));
  EXPECT_THAT(message({.certificate_pem = identity_.certificate, .key_pem = EncryptedKey()}),
              AllOf(HasSubstr("the private key given as text cannot be used"),
                    HasSubstr("without passphrase")));
  EXPECT_THAT(
      message({.certificate_pem = identity_.certificate, .key_pem = MakeIdentity("other").key}),
      HasSubstr("private key given as text cannot be used with the certificate"));
  EXPECT_THAT(message({.require_client_certificate = true,
                       .certificate_pem = identity_.certificate,
                       .key_pem = identity_.key}),
              HasSubstr("no CA to check them"));
}

TEST_F(TlsTest, HandshakesThatStallAreEnded) {
  options_.header_timeout = milliseconds(60);
  Start();
  SocketClient stalled(port());
  EXPECT_EQ(stalled.ReadUntilClosed(), "");
}

}  // namespace
}  // namespace penstock::net
