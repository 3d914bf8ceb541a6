#pragma once

// The token a machine joins with, as text: `blx1.<id>.<secret>.<authority>`, all in lower-case hex
// (docs/formats/token.md). It holds the fingerprint of the cluster's authority, so that the machine
// knows whom it speaks to before it says the secret; the cluster keeps only the secret's hash.
//
// A token is made from the id of the request that asks for it, under a key that only the node has:
// a repeated request is answered with the same token, and nobody else can compute it.

#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "core/cluster/model.h"
#include "env/network.h"

namespace blixard::membership {

struct JoinToken {
  static constexpr std::size_t kSecretBytes = 16;
  static constexpr std::size_t kTextBytes = 4 + 1 + 16 + 1 + 2 * kSecretBytes + 1 + 64;

  cluster::TokenId id;
  std::string secret;     // kSecretBytes
  std::string authority;  // SHA-256 of its certificate, in hex

  // `key` is secret and long; `authority` as the token has it.
  static JoinToken make(std::string_view key, const Uuid& request_id, std::string authority);
  // Errors: kInvalidArgument "token_malformed" with what is wrong.
  static Result<JoinToken> parse(std::string_view text);
  [[nodiscard]] std::string text() const;

  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

// What `--join` takes: TOKEN@HOST:PORT.
struct JoinTarget {
  JoinToken token;
  env::Endpoint address;

  // Errors: kInvalidArgument "token_malformed", "address_invalid".
  static Result<JoinTarget> parse(std::string_view text);
};

// What the cluster knows of a secret.
cluster::Digest hash_of(std::string_view secret);

}  // namespace blixard::membership
