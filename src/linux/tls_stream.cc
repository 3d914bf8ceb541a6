#include "linux/tls_stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include <fmt/format.h>

namespace blixard::linux_side {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{64} << 10;
constexpr std::size_t kRecordBytes = std::size_t{16} << 10;
// Answers to requests for new keys, which wait for our next write. Far more than an honest peer
// asks for.
constexpr std::size_t kOwedBytes = std::size_t{4} << 10;
constexpr char kWelcome = 1;

std::unexpected<Error> closed() { return fail(Code::kUnavailable, "closed"); }

// What OpenSSL reads from and writes to.
struct Wire {
  std::string_view incoming;
  std::string outgoing;
};

int wire_write(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  static_cast<Wire*>(BIO_get_data(bio))->outgoing.append(data, size);
  *written = size;
  return 1;
}

int wire_read(BIO* bio, char* data, std::size_t size, std::size_t* read) {
  BIO_clear_retry_flags(bio);
  std::string_view& incoming = static_cast<Wire*>(BIO_get_data(bio))->incoming;
  *read = std::min(size, incoming.size());
  if (*read == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(data, incoming.data(), *read);
  incoming.remove_prefix(*read);
  return 1;
}

long wire_control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* wire_method() {
  static const BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    BLX_ASSERT(method != nullptr);
    BIO_meth_set_write_ex(method, wire_write);
    BIO_meth_set_read_ex(method, wire_read);
    BIO_meth_set_ctrl(method, wire_control);
    return method;
  }();
  return kMethod;
}

// Alerts by which the other end says that it does not like our certificate.
bool is_about_certificate(int alert) {
  return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
         alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED ||
         alert == SSL_AD_CERTIFICATE_REQUIRED;
}

class TlsStream final : public env::Stream {
 public:
  TlsStream(std::unique_ptr<SocketStream> socket, TlsPeerCheck check, std::uint64_t records_per_key)
      : socket_(std::move(socket)),
        peer_(socket_->peer()),
        check_(std::move(check)),
        records_per_key_(records_per_key),
        incoming_(std::make_unique_for_overwrite<char[]>(kBufferBytes)) {}
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream() override { close(); }

  env::Task<Result<void>> shake_hands(const TlsContext& context, TlsRole role);

  env::Task<Result<std::size_t>> read_some(std::span<char> buffer) override;
  env::Task<Result<void>> write(std::span<const std::string_view> parts) override;
  void close() override;
  [[nodiscard]] const env::PeerIdentity& peer() const override { return peer_; }
  [[nodiscard]] std::uint64_t bytes_joined() const override { return bytes_joined_; }

 private:
  enum class End : std::uint8_t { kOpen, kTold, kBroken };

  env::Task<Result<void>> finish_handshake(TlsRole role);
  env::Task<Result<void>> receive();
  env::Task<Result<void>> flush();
  env::Task<Result<void>> write_parts(std::span<const std::string_view> parts);
  std::size_t decrypt(std::span<char> buffer);
  Result<void> encrypt(std::string_view bytes);
  Error failure(const char* reason);

  std::unique_ptr<SocketStream> socket_;
  env::PeerIdentity peer_;
  TlsPeerCheck check_;
  std::uint64_t records_per_key_;
  SslPtr ssl_;
  Wire wire_;
  std::unique_ptr<char[]> incoming_;  // NOLINT(*-avoid-c-arrays): left uninitialised
  std::string plain_;                 // of a record to be
  std::string in_flight_;             // while the socket writes it
  std::uint64_t records_ = 0;         // since the last new key
  std::uint64_t bytes_joined_ = 0;
  std::optional<Error> read_failure_;
  End incoming_end_ = End::kOpen;
  bool established_ = false;
  bool writing_ = false;
  bool write_failed_ = false;
  bool closed_ = false;
};

// Why OpenSSL gave up: our own refusal, theirs, or something else.
Error TlsStream::failure(const char* reason) {
  if (check_.refusal) return *check_.refusal;
  const int number = ERR_GET_REASON(ERR_peek_error());
  const int alert = number - SSL_AD_REASON_OFFSET;
  if (is_about_certificate(alert)) {
    ERR_clear_error();
    return {Code::kPermissionDenied, "certificate_refused",
            fmt::format("{}: the other end refused our certificate: {}", peer_.address,
                        SSL_alert_desc_string_long(alert))};
  }
  return {Code::kUnavailable, reason, peer_.address + ": " + openssl_reason()};
}

env::Task<Result<void>> TlsStream::receive() {
  BLX_CO_TRY(const std::size_t count, co_await socket_->read_some({incoming_.get(), kBufferBytes}));
  if (count == 0) incoming_end_ = End::kBroken;
  wire_.incoming = {incoming_.get(), count};
  co_return Result<void>();
}

env::Task<Result<void>> TlsStream::flush() {
  in_flight_.clear();
  in_flight_.swap(wire_.outgoing);
  if (in_flight_.empty()) co_return Result<void>();
  const std::string_view bytes = in_flight_;
  co_return co_await socket_->write({&bytes, 1});
}

env::Task<Result<void>> TlsStream::shake_hands(const TlsContext& context, TlsRole role) {
  BLX_CO_TRY(ssl_, context.start(role, check_));
  BIO* bio = BIO_new(wire_method());
  if (bio == nullptr) co_return crypto_failed("begin a handshake");
  BIO_set_data(bio, &wire_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // owns it
  while (true) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1 && SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) {
      Error error = failure("handshake_failed");
      ignore(co_await flush(), "the alert is a courtesy");
      co_return std::unexpected(std::move(error));
    }
    if (result == 1) break;
    BLX_CO_TRY(co_await flush());
    BLX_CO_TRY(co_await receive());
    if (incoming_end_ != End::kOpen) {
      co_return fail(Code::kUnavailable, "connection_lost",
                     peer_.address + ": it ended during the handshake");
    }
  }
  BLX_CO_TRY(co_await finish_handshake(role));
  if (check_.subject) {
    peer_.node = check_.subject->node;
    peer_.cluster = std::move(check_.subject->cluster);
    peer_.server = check_.subject->server;
  }
  established_ = true;
  co_return Result<void>();
}

env::Task<Result<void>> TlsStream::finish_handshake(TlsRole role) {
  if (role == TlsRole::kAccept) {
    BLX_CO_TRY(encrypt({&kWelcome, 1}));
    co_return co_await flush();
  }
  BLX_CO_TRY(co_await flush());
  std::array<char, 1> answer{};
  BLX_CO_TRY(const std::size_t count, co_await read_some(answer));
  if (count == 0 || answer[0] != kWelcome) {
    co_return fail(Code::kUnavailable, "handshake_failed",
                   peer_.address + ": the other end does not welcome us");
  }
  co_return Result<void>();
}

// As much as there is, at most the buffer. Sets read_failure_ or incoming_end_ where it ends.
std::size_t TlsStream::decrypt(std::span<char> buffer) {
  std::size_t count = 0;
  while (count < buffer.size()) {
    ERR_clear_error();
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), buffer.data() + count, buffer.size() - count, &got);
    count += got;
    if (result == 1) continue;
    const int why = SSL_get_error(ssl_.get(), result);
    if (why == SSL_ERROR_ZERO_RETURN) {
      incoming_end_ = End::kTold;
    } else if (why != SSL_ERROR_WANT_READ) {
      read_failure_ = failure("connection_lost");
    }
    break;
  }
  // A writer leaves nothing there when it waits, so this is what reading made us owe.
  if (wire_.outgoing.size() > kOwedBytes) {
    read_failure_.emplace(Code::kUnavailable, "connection_lost",
                          peer_.address + ": it asks for new keys too often");
  }
  return count;
}

env::Task<Result<std::size_t>> TlsStream::read_some(std::span<char> buffer) {
  BLX_ASSERT(!buffer.empty());
  while (true) {
    if (closed_) co_return closed();
    if (read_failure_) co_return std::unexpected(*read_failure_);
    if (incoming_end_ == End::kTold) co_return 0;
    if (const std::size_t count = decrypt(buffer); count > 0) co_return count;
    if (read_failure_ || incoming_end_ == End::kTold) continue;
    if (incoming_end_ == End::kBroken) {
      read_failure_.emplace(Code::kUnavailable, "truncated",
                            peer_.address + ": it ended without saying so");
      continue;
    }
    BLX_CO_TRY(co_await receive());
  }
}

// At most one write's worth is in wire_.outgoing when it returns.
Result<void> TlsStream::encrypt(std::string_view bytes) {
  ERR_clear_error();
  if (records_ >= records_per_key_) {
    records_ = 0;
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1) {
      return crypto_failed("change the key");
    }
  }
  records_ += (bytes.size() + kRecordBytes - 1) / kRecordBytes;
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) {
    return std::unexpected(failure("connection_lost"));
  }
  BLX_ASSERT(written == bytes.size());  // the wire takes all
  return {};
}

env::Task<Result<void>> TlsStream::write_parts(std::span<const std::string_view> parts) {
  plain_.clear();
  for (std::string_view part : parts) {
    while (!part.empty()) {
      // Whole records go without a copy; what is smaller is put together.
      const bool direct = plain_.empty() && part.size() >= kRecordBytes;
      const std::size_t most =
          direct ? std::min(part.size() / kRecordBytes, kBufferBytes / kRecordBytes) * kRecordBytes
                 : kRecordBytes - plain_.size();
      const std::string_view piece = part.substr(0, most);
      part.remove_prefix(piece.size());
      if (direct) {
        BLX_CO_TRY(encrypt(piece));
      } else {
        plain_ += piece;
        bytes_joined_ += piece.size();
        if (plain_.size() < kRecordBytes) continue;
        BLX_CO_TRY(encrypt(plain_));
        plain_.clear();
      }
      if (wire_.outgoing.size() < kBufferBytes) continue;
      BLX_CO_TRY(co_await flush());
      if (closed_) co_return closed();
    }
  }
  if (!plain_.empty()) BLX_CO_TRY(encrypt(plain_));
  co_return co_await flush();
}

env::Task<Result<void>> TlsStream::write(std::span<const std::string_view> parts) {
  BLX_ASSERT(!writing_);
  if (closed_) co_return closed();
  if (write_failed_) {
    co_return fail(Code::kUnavailable, "connection_lost", peer_.address + ": a write has failed");
  }
  writing_ = true;
  Result<void> result = co_await write_parts(parts);
  writing_ = false;
  if (!result) write_failed_ = true;
  co_return std::move(result);
}

void TlsStream::close() {
  if (closed_) return;
  closed_ = true;
  if (established_ && !writing_ && !write_failed_ && !read_failure_) {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());
    ERR_clear_error();
    socket_->write_last(wire_.outgoing);
  }
  socket_->close();
}

}  // namespace

env::Task<Result<std::unique_ptr<env::Stream>>> shake_hands(
    std::unique_ptr<SocketStream> socket, std::shared_ptr<const TlsContext> context, TlsRole role,
    TlsPeerCheck check, std::uint64_t records_per_key) {
  check.address = socket->peer().address;
  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(check), records_per_key);
  BLX_CO_TRY(co_await stream->shake_hands(*context, role));
  co_return std::move(stream);
}

}  // namespace blixard::linux_side
