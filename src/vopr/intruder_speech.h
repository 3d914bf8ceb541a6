#pragma once

// What intruders say: bytes, and what may be answered to them. All of it is to be refused as a
// whole, so that nothing in it is ever trusted; the tables say what each one gets wrong.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "core/wire/message.h"
#include "env/random.h"

namespace blixard::vopr {

struct Speech {
  std::string what;
  std::string bytes;
  bool greeted = false;   // it may be answered with Hello
  std::string_view told;  // the reason that one request may be answered with; empty: no answer
  bool ends = true;       // the node has to end the connection
};

std::string encoded(const wire::Message& message);
// The header's checksum is made good for what the header says now.
void seal(std::string& frame);

// Whom it is said to, and what a liar would know.
struct Audience {
  NodeId node;
  NodeId other;  // of the same cluster
  std::string cluster;
  Term term;
  LogIndex last;
};

// Over a connection with a certificate that is good: Hello and what follows it. By number, modulo
// the count.
inline constexpr std::size_t kForgeries = 9;
Speech forgery(const Audience& to, std::uint64_t number, env::Random& random);
inline constexpr std::size_t kFutures = 17;
Speech future(const Audience& to, std::uint64_t number, env::Random& random);

// What a node of that cluster says on its connection: a greeting, consensus, requests, a snapshot.
std::string record(const Audience& to);

// Requests that no client of ours sends.
inline constexpr std::size_t kHttpJunks = 12;
Speech http_junk(std::uint64_t number, env::Random& random);
// Good ones but for `token`, which is not the node's; empty: none.
inline constexpr std::size_t kHttpRequests = 7;
Speech http_request(std::uint64_t number, std::string_view token);

std::string garbage(env::Random& random, std::size_t bytes);

}  // namespace blixard::vopr
