// Whatever text a peer or a user hands in as a certificate, a request or an identity, it is read
// within bounds, and what is accepted is of our one form.

#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "linux/security_certificates.h"

using namespace blixard;  // NOLINT(google-build-using-namespace): a fuzzer is one function

namespace {

// Random bytes never are PEM, so the rest of the input is the DER inside.
void check_der(std::string_view bytes) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes to OpenSSL
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const linux_side::X509Ptr certificate(d2i_X509(nullptr, &data, static_cast<long>(bytes.size())));
  if (!certificate) return;
  if (const auto facts = linux_side::facts_of(*certificate)) {
    const auto again = linux_side::parse_identity_uri(linux_side::identity_uri(facts->subject));
    BLX_ASSERT(again && again->node == facts->subject.node);
    BLX_ASSERT(again->server == facts->subject.server);
    BLX_ASSERT(facts->fingerprint.size() == 64);
  }
}

const env::Authority& authority() {
  static const env::Authority made =
      linux_side::make_authority("c", WallTime{1'767'225'600'000}, 24h).value();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes from libFuzzer
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      if (const auto subject = linux_side::parse_identity_uri(input)) {
        BLX_ASSERT(linux_side::identity_uri(*subject) == input);  // one form for each identity
      }
      break;
    case 1:
      check_der(input);
      break;
    case 2:
      if (const auto parsed = linux_side::read_certificate(input)) {
        ignore(linux_side::facts_of(**parsed), "any answer will do");
      }
      break;
    default:
      ignore(
          linux_side::issue(authority(), input, {"c", NodeId(1)}, WallTime{1'767'225'600'000}, 1h),
          "any answer will do");
  }
  return 0;
}
