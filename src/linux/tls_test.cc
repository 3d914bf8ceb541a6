// What only this side can show: records, keys, ends without a farewell, and what OpenSSL's own
// programs say about our certificates and handshakes.

#include <array>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/scope.h"
#include "linux/security_certificates.h"
#include "linux/test_runtime.h"
#include "linux/tls_context.h"
#include "linux/tls_stream.h"

namespace blixard::linux_side {
namespace {

using env::Endpoint;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kCluster = "11111111-2222-4333-8444-555555555555";
constexpr std::size_t kMebibyte = std::size_t{1} << 20;

// The other end of a TLS connection, spoken by OpenSSL without our stream, and what crosses the
// wire on the way.
class RawPeer {
 public:
  RawPeer(std::unique_ptr<env::Stream> stream, std::shared_ptr<const TlsContext> context)
      : stream_(std::move(stream)), context_(std::move(context)) {
    check_.cluster = context_->cluster();
    ssl_ = *context_->start(TlsRole::kDial, check_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_.get(), in_, out_);
  }

  [[nodiscard]] SSL* ssl() { return ssl_.get(); }
  [[nodiscard]] env::Stream& stream() { return *stream_; }
  // Lengths of the records that came since the handshake.
  [[nodiscard]] std::vector<std::size_t> records() const {
    std::vector<std::size_t> lengths;
    std::string_view rest = raw_;
    while (rest.size() >= 5) {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(rest[i]); };
      const std::size_t length = (std::size_t{byte(3)} << 8) + byte(4);
      lengths.push_back(length);
      rest.remove_prefix(std::min(rest.size(), length + 5));
    }
    return lengths;
  }
  void forget_records() { raw_.clear(); }

  env::Task<Result<void>> shake_hands() {
    while (SSL_do_handshake(ssl_.get()) != 1) {
      BLX_CO_TRY(co_await send());
      BLX_CO_TRY(co_await receive());
    }
    BLX_CO_TRY(co_await send());
    BLX_CO_TRY(const std::string welcome, co_await read(1));
    EXPECT_EQ(welcome, std::string(1, '\1'));
    raw_.clear();
    co_return Result<void>();
  }

  env::Task<Result<void>> write(std::string_view bytes) {
    std::size_t written = 0;
    EXPECT_EQ(SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written), 1);
    co_return co_await send();
  }

  env::Task<Result<std::string>> read(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      std::size_t got = 0;
      if (SSL_read_ex(ssl_.get(), bytes.data() + have, size - have, &got) == 1) {
        have += got;
      } else {
        BLX_CO_TRY(co_await receive());
      }
    }
    co_return bytes;
  }

  env::Task<Result<void>> send() {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out_, &data);
    const std::string bytes(data, static_cast<std::size_t>(size));
    (void)BIO_reset(out_);
    co_return co_await stream_->write_all(bytes);
  }

 private:
  env::Task<Result<void>> receive() {
    std::vector<char> buffer(100'000);
    BLX_CO_TRY(const std::size_t count, co_await stream_->read_some(buffer));
    if (count == 0) co_return fail(Code::kUnavailable, "ended");
    raw_.append(buffer.data(), count);
    BIO_write(in_, buffer.data(), static_cast<int>(count));
    co_return Result<void>();
  }

  std::unique_ptr<env::Stream> stream_;
  std::shared_ptr<const TlsContext> context_;
  TlsPeerCheck check_;
  SslPtr ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  std::string raw_;
};

class TlsTest : public RuntimeTest {
 protected:
  TlsTest() {
    authority_ = *env().security.make_authority(kCluster, env().clock.wall(), 240h);
    credentials_ = enrol(NodeId(1));
    transport_ = *env().security.open(credentials_);
  }

  env::Credentials enrol(NodeId node) {
    env::KeyRequest request = *env().security.make_request();
    return {*env().security.issue(authority_, request.request, {kCluster, node}, env().clock.wall(),
                                  1h),
            std::move(request.key), authority_.certificate};
  }

  struct Ends {
    std::unique_ptr<env::Listener> listener;
    std::unique_ptr<env::Stream> ours;
    std::unique_ptr<RawPeer> raw;
  };
  env::Task<Result<Ends>> connect_raw() {
    Ends ends;
    BLX_CO_TRY(ends.listener, co_await transport_->listen(Endpoint::tcp("127.0.0.1", 0)));
    BLX_CO_TRY(auto plain, co_await env().network.dial(ends.listener->local(), in(10s)));
    BLX_CO_TRY(auto context, TlsContext::make(enrol(NodeId(2))));
    ends.raw = std::make_unique<RawPeer>(std::move(plain), std::move(context));
    BLX_CO_TRY(co_await ends.raw->shake_hands());
    BLX_CO_TRY(ends.ours, co_await ends.listener->accept());
    co_return std::move(ends);
  }

  env::Authority authority_;
  env::Credentials credentials_;
  std::unique_ptr<env::SecureTransport> transport_;
};

TEST_F(TlsTest, ManyPartsMakeFewRecords) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    const std::string part(128, 'e');
    const std::vector<std::string_view> parts(100, part);
    BLX_CO_ASSERT(co_await ends->ours->write(parts));
    BLX_CO_ASSERT(co_await ends->raw->read(12'800));
    EXPECT_THAT(ends->raw->records(), testing::SizeIs(1));

    ends->raw->forget_records();
    const std::string large(50'000, 'l');  // between two small ones
    const std::array<std::string_view, 3> mixed{part, large, part};
    BLX_CO_ASSERT(co_await ends->ours->write(mixed));
    BLX_CO_ASSERT(co_await ends->raw->read(50'256));
    EXPECT_THAT(ends->raw->records(), testing::SizeIs(4));
  });
}

TEST_F(TlsTest, NothingIsResumedAndTheVersionIsFixed) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    EXPECT_EQ(SSL_version(ends->raw->ssl()), TLS1_3_VERSION);
    EXPECT_STREQ(SSL_get_cipher_name(ends->raw->ssl()), "TLS_AES_128_GCM_SHA256");
    EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get_session(ends->raw->ssl())), 0);
    EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(ends->raw->ssl())), 2);  // for enrolment
  });
}

TEST_F(TlsTest, NewKeysAreToBeHadButNotForNothing) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    std::array<char, 16> buffer{};
    const auto ask = [&]() -> env::Task<Result<std::size_t>> {
      EXPECT_EQ(SSL_key_update(ends->raw->ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
      EXPECT_EQ(SSL_do_handshake(ends->raw->ssl()), 1);
      BLX_CO_TRY(co_await ends->raw->write("a"));
      co_return co_await ends->ours->read_some(buffer);
    };
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(co_await ask(), 1u);
    BLX_CO_ASSERT(co_await ends->ours->write_all("b"));
    EXPECT_EQ(co_await ends->raw->read(1), "b");
    // Who asks on and on, while we write nothing, would make us keep all the answers.
    int asked = 0;
    while (asked < 1000 && co_await ask())
      ++asked;
    EXPECT_GT(asked, 100);
    EXPECT_LT(asked, 250);
    EXPECT_EQ(reason_of(co_await ends->ours->read_some(buffer)), "connection_lost");
  });
}

void count_key_updates(int writing, int /*version*/, int kind, const void* bytes, std::size_t size,
                       SSL* /*ssl*/, void* count) {
  const bool is_update = writing == 0 && kind == SSL3_RT_HANDSHAKE && size > 0 &&
                         *static_cast<const unsigned char*>(bytes) == SSL3_MT_KEY_UPDATE;
  if (is_update) ++*static_cast<int*>(count);
}

TEST_F(TlsTest, KeysChangeAfterManyRecords) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await env.network.listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(listener);
    auto dialled = co_await env.network.dial((*listener)->local(), in(10s));
    auto accepted = co_await (*listener)->accept();
    BLX_CO_ASSERT(dialled);
    BLX_CO_ASSERT(accepted);
    RawPeer raw(std::move(*dialled), *TlsContext::make(enrol(NodeId(2))));
    const auto context = TlsContext::make(credentials_);
    BLX_CO_ASSERT(context);
    std::unique_ptr<env::Stream> ours;
    const auto accept = [&]() -> env::Task<void> {
      auto shaken = co_await shake_hands(
          std::unique_ptr<SocketStream>(static_cast<SocketStream*>(accepted->release())), *context,
          TlsRole::kAccept, {.cluster = kCluster}, 10);
      BLX_CO_ASSERT(shaken);
      ours = std::move(*shaken);
    };
    env::Scope scope(env.executor, co_await env::this_cancellation());
    scope.spawn(accept());
    BLX_CO_ASSERT(co_await raw.shake_hands());
    co_await scope.join();
    int updates = 0;
    SSL_set_msg_callback(raw.ssl(), count_key_updates);
    SSL_set_msg_callback_arg(raw.ssl(), &updates);
    for (int i = 0; i < 100; ++i) {
      BLX_CO_ASSERT(co_await ours->write_all(std::to_string(i % 10)));
      EXPECT_EQ(co_await raw.read(1), std::to_string(i % 10));
    }
    EXPECT_EQ(updates, 10);
    // The welcome and the hundred, then a megabyte.
    const std::string much(kMebibyte, 'm');
    const auto write = [&]() -> env::Task<void> { EXPECT_TRUE(co_await ours->write_all(much)); };
    scope.spawn(write());
    EXPECT_EQ(co_await raw.read(much.size()), much);
    co_await scope.join();
    EXPECT_GE(updates, 15);
  });
}

TEST_F(TlsTest, AnEndWithoutFarewellIsNone) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    BLX_CO_ASSERT(co_await ends->raw->write("half"));
    ends->raw->stream().close();
    std::array<char, 16> buffer{};
    EXPECT_EQ(co_await ends->ours->read_some(buffer), 4u);
    EXPECT_EQ(reason_of(co_await ends->ours->read_some(buffer)), "truncated");
    EXPECT_EQ(reason_of(co_await ends->ours->read_some(buffer)), "truncated");
  });
}

TEST_F(TlsTest, AFarewellIsAnEnd) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    ends->ours->close();
    EXPECT_EQ(reason_of(co_await ends->raw->read(1)), "ended");
    EXPECT_EQ(SSL_get_shutdown(ends->raw->ssl()), SSL_RECEIVED_SHUTDOWN);
  });
}

TEST_F(TlsTest, DamagedRecordsEndTheStream) {
  run([this](env::Env) -> env::Task<void> {
    auto ends = co_await connect_raw();
    BLX_CO_ASSERT(ends);
    BLX_CO_ASSERT(co_await ends->raw->write("good"));
    BLX_CO_ASSERT(co_await ends->raw->stream().write_all(std::string("\x17\x03\x03\x00\x20", 5) +
                                                         std::string(32, 'x')));
    std::array<char, 16> buffer{};
    EXPECT_EQ(co_await ends->ours->read_some(buffer), 4u);
    EXPECT_EQ(reason_of(co_await ends->ours->read_some(buffer)), "connection_lost");
    EXPECT_EQ(reason_of(co_await ends->ours->read_some(buffer)), "connection_lost");
    EXPECT_FALSE(co_await ends->ours->write_all("x"));
  });
}

TEST_F(TlsTest, FailuresMakeOneLineASecond) {
  run([this](env::Env env) -> env::Task<void> {
    auto listener = co_await transport_->listen(Endpoint::tcp("127.0.0.1", 0));
    BLX_CO_ASSERT(listener);
    for (std::uint64_t count = 1; count <= 5; ++count) {
      auto plain = co_await env.network.dial((*listener)->local(), in(10s));
      BLX_CO_ASSERT(plain);
      BLX_CO_ASSERT(co_await (*plain)->write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
      EXPECT_TRUE(co_await eventually([&] { return transport_->handshakes_failed() == count; }));
    }
  });
  ASSERT_THAT(warnings(), testing::SizeIs(testing::AllOf(testing::Ge(1), testing::Le(2))));
  EXPECT_THAT(warnings().front(), HasSubstr("handshake with 127.0.0.1:"));
  EXPECT_THAT(warnings().front(), HasSubstr("handshake_failed"));
}

TEST(IdentityUri, HasOneForm) {
  const auto parsed = parse_identity_uri("blixard://a-1/node/18446744073709551615");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->cluster, "a-1");
  EXPECT_EQ(parsed->node, NodeId(18446744073709551615u));
  EXPECT_EQ(identity_uri(*parsed), "blixard://a-1/node/18446744073709551615");
  EXPECT_FALSE(parsed->server);
  const auto server = parse_identity_uri("blixard://a-1/server/7");
  ASSERT_TRUE(server);
  EXPECT_TRUE(server->server);
  EXPECT_EQ(server->node, NodeId(7));
  EXPECT_EQ(identity_uri(*server), "blixard://a-1/server/7");
  EXPECT_EQ(parse_identity_uri("blixard://a")->node, NodeId());
  for (const char* wrong : {"",
                            "blixard://",
                            "blixard:///node/1",
                            "blixard://a/",
                            "blixard://a/node",
                            "blixard://a/node/",
                            "blixard://a/node/0",
                            "blixard://a/node/01",
                            "blixard://a/node/-1",
                            "blixard://a/node/+1",
                            "blixard://a/node/1/",
                            "blixard://a/node/1 ",
                            "blixard://a/node/18446744073709551616",
                            "blixard://a/server/0",
                            "blixard://a/server/",
                            "blixard://a/server/node/1",
                            "blixard://a/vm/1",
                            "https://a/node/1",
                            "Blixard://a/node/1",
                            "blixard://A/node/1",
                            "blixard://a/node/1x"}) {
    EXPECT_FALSE(parse_identity_uri(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_identity_uri(std::string_view("blixard://a/node/1\0", 19)));
  EXPECT_FALSE(parse_identity_uri("blixard://" + std::string(64, 'a')));
}

// OpenSSL's programs, which nobody here wrote.
class OpensslJudge : public TlsTest {
 protected:
  env::Task<void> find() {
    program_ = (co_await env().process.find_program("openssl")).value_or("");
  }
  void SetUp() override {
    run([this](env::Env) { return find(); });
    if (program_.empty()) GTEST_SKIP() << "SKIPPED: there is no openssl: ./do setup";
    run([this](env::Env) { return write_files(); });
  }

  env::Task<void> write_files() {
    const env::Credentials two = enrol(NodeId(2));
    BLX_CO_ASSERT(co_await env().disk.replace_file(path("ca.pem"), authority_.certificate));
    BLX_CO_ASSERT(co_await env().disk.replace_file(path("ca.key"), authority_.key));
    BLX_CO_ASSERT(co_await env().disk.replace_file(path("node.pem"), two.certificate));
    BLX_CO_ASSERT(co_await env().disk.replace_file(path("node.key"), two.key));
  }

  env::Task<std::string> openssl(std::vector<std::string> arguments) {
    auto result = co_await env().process.run(
        {.executable = program_, .arguments = std::move(arguments)}, in(20s), 100'000);
    EXPECT_TRUE(result) << result.error().message();
    co_return result ? std::move(result->output) : "";
  }

  // s_client with `arguments` against a listener of ours; it ends with its empty input.
  env::Task<std::string> dial_with_openssl(std::vector<std::string> arguments) {
    if (!listener_) listener_ = *co_await transport_->listen(Endpoint::tcp("127.0.0.1", 0));
    const Endpoint at = listener_->local();
    arguments.insert(arguments.begin(),
                     {"s_client", "-connect", at.host + ":" + std::to_string(at.port), "-CAfile",
                      path("ca.pem"), "-verify_return_error", "-purpose", "sslserver"});
    co_return co_await openssl(std::move(arguments));
  }

  std::string program_;
  std::unique_ptr<env::Listener> listener_;
};

TEST_F(OpensslJudge, AcceptsTheCertificates) {
  run([this](env::Env) -> env::Task<void> {
    for (const char* purpose : {"sslserver", "sslclient"}) {
      const std::vector<std::string> verify{"verify",  "-x509_strict", "-purpose",      purpose,
                                            "-CAfile", path("ca.pem"), path("node.pem")};
      EXPECT_EQ(co_await openssl(verify), path("node.pem") + ": OK\n");
    }
    const std::string node = co_await openssl({"x509", "-noout", "-text", "-in", path("node.pem")});
    EXPECT_THAT(node, HasSubstr("URI:blixard://" + std::string(kCluster) + "/node/2\n"));
    EXPECT_THAT(node, HasSubstr("TLS Web Server Authentication, TLS Web Client Authentication"));
    EXPECT_THAT(node, HasSubstr("CA:FALSE"));
    EXPECT_THAT(node, HasSubstr("ecdsa-with-SHA256"));
    const std::string root = co_await openssl({"x509", "-noout", "-text", "-in", path("ca.pem")});
    EXPECT_THAT(root, HasSubstr("CA:TRUE, pathlen:0"));
    EXPECT_THAT(root, HasSubstr("Certificate Sign\n"));
    std::string print =
        co_await openssl({"x509", "-noout", "-fingerprint", "-sha256", "-in", path("ca.pem")});
    std::erase(print, ':');
    std::ranges::transform(print, print.begin(), [](unsigned char c) { return std::tolower(c); });
    EXPECT_THAT(print, HasSubstr(env().security.inspect(authority_.certificate)->fingerprint));
  });
}

TEST_F(OpensslJudge, ShakesHandsWithAndWithoutCertificate) {
  run([this](env::Env) -> env::Task<void> {
    const std::string with =
        co_await dial_with_openssl({"-cert", path("node.pem"), "-key", path("node.key")});
    EXPECT_THAT(with, HasSubstr("Verify return code: 0 (ok)"));
    EXPECT_THAT(with, HasSubstr("New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"));
    EXPECT_THAT(with, Not(HasSubstr("New Session Ticket")));
    auto stream = co_await listener_->accept();
    BLX_CO_ASSERT(stream);
    EXPECT_EQ((*stream)->peer().node, NodeId(2));
    const std::string without = co_await dial_with_openssl({});
    EXPECT_THAT(without, HasSubstr("Verify return code: 0 (ok)"));
    stream = co_await listener_->accept();
    BLX_CO_ASSERT(stream);
    EXPECT_EQ((*stream)->peer().node, NodeId());
    EXPECT_EQ(transport_->handshakes_failed(), 0u);
  });
}

TEST_F(OpensslJudge, IsRefusedAnythingOlder) {
  run([this](env::Env) -> env::Task<void> {
    const std::string old = co_await dial_with_openssl({"-tls1_2"});
    EXPECT_THAT(old, HasSubstr("alert protocol version"));
    EXPECT_TRUE(co_await eventually([&] { return transport_->handshakes_failed() == 1; }));
  });
}

// Signed with our authority's very key, but not of our form.
TEST_F(OpensslJudge, IsRefusedWithOtherNames) {
  run([this](env::Env env) -> env::Task<void> {
    const std::string ours = "blixard://" + std::string(kCluster);
    const std::vector<std::string> names{
        "", "subjectAltName=URI:" + ours, "subjectAltName=URI:blixard://another/node/2",
        "subjectAltName=DNS:localhost", "subjectAltName=URI:" + ours + "/node/2,DNS:localhost"};
    std::uint64_t failures = 0;
    for (const std::string& name : names) {
      const std::string extensions = "keyUsage=critical,digitalSignature\n" + name + "\n";
      BLX_CO_ASSERT(co_await env.disk.replace_file(path("extensions"), extensions));
      (void)co_await openssl(
          {"req", "-new", "-key", path("node.key"), "-subj", "/CN=x", "-out", path("x.req")});
      (void)co_await openssl({"x509", "-req", "-in", path("x.req"), "-CA", path("ca.pem"), "-CAkey",
                              path("ca.key"), "-CAcreateserial", "-days", "1", "-extfile",
                              path("extensions"), "-out", path("x.pem")});
      const std::string said =
          co_await dial_with_openssl({"-cert", path("x.pem"), "-key", path("node.key")});
      EXPECT_THAT(said, HasSubstr("CONNECTED")) << name;
      ++failures;
      EXPECT_TRUE(co_await eventually([&] { return transport_->handshakes_failed() == failures; }))
          << name;
    }
  });
}

TEST_F(OpensslJudge, MayMakeTheRequestIfItsKeyIsRight) {
  run([this](env::Env env) -> env::Task<void> {
    const auto request_with = [&](std::string algorithm,
                                  std::string option) -> env::Task<std::string> {
      std::vector<std::string> arguments{"req",     "-new",    "-nodes",  "-newkey",
                                         algorithm, "-keyout", path("k"), "-subj",
                                         "/CN=x",   "-out",    path("r")};
      if (!option.empty()) arguments.insert(arguments.end(), {"-pkeyopt", option});
      (void)co_await openssl(std::move(arguments));
      const auto request = co_await env.disk.read_file(path("r"), 100'000);
      EXPECT_TRUE(request);
      co_return reason_of(env.security.issue(authority_, request.value_or(""),
                                             {kCluster, NodeId(9)}, env.clock.wall(), 1h));
    };
    EXPECT_EQ(co_await request_with("ec", "ec_paramgen_curve:P-256"), "ok");
    EXPECT_EQ(co_await request_with("ec", "ec_paramgen_curve:P-384"), "request_invalid");
    EXPECT_EQ(co_await request_with("rsa:2048", ""), "request_invalid");
  });
}

}  // namespace
}  // namespace blixard::linux_side
