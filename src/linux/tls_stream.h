#pragma once

// A TLS stream over a socket's stream.
//
// OpenSSL works on memory only: what comes from the socket is put before it 64 KiB at a time, what
// it makes is collected, so a write of many small parts becomes few records and one call of the
// kernel. It never waits, so one coroutine may read while another writes.
//
// In TLS 1.3 a dialler is done before the acceptor has seen its certificate. So that dial() can say
// that it was refused, the acceptor's first byte of data is 0x01, "welcome", and the dialler waits
// for it. docs/formats/certificates.md describes it.

#include <memory>

#include "env/network.h"
#include "linux/socket_stream.h"
#include "linux/tls_context.h"

namespace blixard::linux_side {

// After so many records a direction gets a new key: AES-GCM's bound is 2^24.5 (RFC 8446, 5.5).
inline constexpr std::uint64_t kRecordsPerKey = std::uint64_t{1} << 22;

// Who came, once both ends have accepted each other. Without a deadline of its own. The socket is
// closed on failure. Errors: as SecureTransport::dial.
env::Task<Result<std::unique_ptr<env::Stream>>> shake_hands(
    std::unique_ptr<SocketStream> socket, std::shared_ptr<const TlsContext> context, TlsRole role,
    TlsPeerCheck check, std::uint64_t records_per_key = kRecordsPerKey);

}  // namespace blixard::linux_side
