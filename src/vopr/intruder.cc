#include "vopr/intruder.h"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "blixard/v1/enrol.pb.h"
#include "env/sync.h"
#include "node/cluster/join_token.h"
#include "node/peer/frame_reader.h"
#include "node/peer/peers.h"
#include "sim/certificate.h"

namespace blixard::vopr {
namespace {

constexpr Duration kDialPatience = 3s;
// The longest that a node may need to end what keeps silent (a request's bytes, kHttpRequestTimeout
// and a moment to read on), on a clock that is slow, and some more.
constexpr Duration kPatience = 25s;
constexpr Duration kLifetime = 24h;
constexpr std::size_t kAnswerBytes = 64 * 1024;
constexpr std::uint64_t kStrangers = 10;
constexpr std::uint64_t kReplays = 5;

// A message of a simulated handshake.
std::string handshake_message(std::string_view text) {
  std::string bytes{static_cast<char>(text.size() >> 8), static_cast<char>(text.size() & 0xff)};
  return bytes.append(text);
}

env::Task<Result<void>> read_exactly(env::Stream& stream, std::span<char> buffer) {
  while (!buffer.empty()) {
    BLX_CO_TRY(const std::size_t count, co_await stream.read_some(buffer));
    if (count == 0) co_return fail(Code::kUnavailable, "peer_closed");
    buffer = buffer.subspan(count);
  }
  co_return Result<void>();
}

env::Task<Result<void>> read_handshake_message(env::Stream& stream) {
  std::array<char, 2> head{};
  BLX_CO_TRY(co_await read_exactly(stream, head));
  std::string text(static_cast<std::size_t>(static_cast<unsigned char>(head[0])) << 8 |
                       static_cast<unsigned char>(head[1]),
                   '\0');
  co_return co_await read_exactly(stream, text);
}

// "HTTP/1.1 401" and so on; 0: there is none from `from` on, which is moved behind it.
int next_status(std::string_view answer, std::size_t& from) {
  constexpr std::string_view kBegin = "HTTP/1.1 ";
  const auto at = answer.find(kBegin, from);
  if (at == std::string_view::npos || at + kBegin.size() + 3 > answer.size()) return 0;
  from = at + kBegin.size() + 3;
  int status = 0;
  for (const char digit : answer.substr(at + kBegin.size(), 3))
    status = status * 10 + (digit - '0');
  return status;
}

}  // namespace

env::Task<void> Intruder::act(const Step& step) {
  steal();
  Site* site = cluster_.resolve(step.node);
  if (site == nullptr || !site->running) co_return;
  const Victim victim{*site, site->lives, site->ready && !site->removed};
  const auto random = cluster_.env().random.fork(
      fmt::format("intruder {} {} {} {}", step.at.count(), static_cast<int>(step.action), step.node,
                  step.amount));
  if (step.action == Action::kStranger) {
    co_return co_await act_as_stranger(step.amount, victim, *random);
  }
  // Whose frames are good or bad is for a node's state to say.
  if (!victim.was_ready || site->replica() == nullptr) co_return;
  switch (step.action) {
    case Action::kForgedSender:
      co_return co_await forge(step.amount, victim, *random);
    case Action::kReplayedFrames:
      co_return co_await replay(step.amount, victim, *random);
    default:
      co_return co_await come_from_the_future(step.amount, victim, *random);
  }
}

// The four actions.

env::Task<void> Intruder::act_as_stranger(std::uint64_t amount, Victim victim,
                                          env::Random& random) {
  const std::uint64_t number = amount / kStrangers;
  switch (amount % kStrangers) {
    case 0:
      co_return co_await say_plainly(
          victim, Site::kPeerPort,
          {.what = "garbage", .bytes = garbage(random, 1 + random.below(4096))});
    case 1:
      co_return co_await say_plainly(
          victim, Site::kPeerPort,
          {.what = "half a handshake", .bytes = handshake_message("hello")});
    case 2:
      co_return co_await say_plainly(
          victim, Site::kPeerPort,
          {.what = "silence in a handshake", .bytes = std::string("\0", 1)});
    case 3: {
      const auto kind = static_cast<std::uint32_t>(number % 3);
      constexpr std::array<std::uint32_t, 3> kMembersOnly{1, 2, 4};
      co_return co_await say_without_certificate(
          victim, {.what = "a member's request without a certificate",
                   .bytes = encoded({.id = 1,
                                     .content = wire::Request{.kind = kMembersOnly.at(kind),
                                                              .timeout_ms = 1000}})});
    }
    case 4:
      co_return co_await say_without_certificate(
          victim, {.what = "silence without a certificate", .bytes = ""});
    case 5:
      co_return co_await enrol(victim, false, random);
    case 6:
      co_return co_await enrol(victim, true, random);
    case 7:
      co_return co_await say_plainly(victim, Site::kApiPort, http_request(number, ""));
    case 8:
      co_return co_await say_plainly(victim, Site::kApiPort, http_request(number, random.hex(16)));
    default:
      co_return co_await say_plainly(victim, Site::kApiPort, http_junk(number, random));
  }
}

env::Task<void> Intruder::forge(std::uint64_t amount, Victim victim, env::Random& random) {
  const std::uint64_t which = amount % (kForgeries + 4);
  const Audience to = audience(victim);
  const std::string bytes = encoded({.content = wire::Hello{.cluster = to.cluster}});
  if (which == kForgeries) co_return co_await displace(victim, random);
  if (which == kForgeries + 1) {
    co_return co_await say_with(victim, foreign_certificate(victim),
                                {.what = "a member's id under another authority", .bytes = bytes});
  }
  if (which == kForgeries + 2) {
    co_return co_await say_with(victim, altered_certificate(victim, random),
                                {.what = "an altered certificate", .bytes = bytes});
  }
  if (which == kForgeries + 3) {
    const env::Credentials* of_removed = credentials(victim, Whose::kRemoved, random);
    if (of_removed == nullptr) co_return;
    co_return co_await say_as(victim, *of_removed,
                              {.what = "a removed node's greeting", .bytes = bytes});
  }
  if (const env::Credentials* of_member = credentials(victim, Whose::kMember, random)) {
    co_await say_as(victim, *of_member, forgery(to, which, random));
  }
}

env::Task<void> Intruder::replay(std::uint64_t amount, Victim victim, env::Random& random) {
  Speech speech{.what = "a replay", .bytes = record(audience(victim))};
  switch (amount % kReplays) {
    case 0:
      speech.what += " under another authority";
      co_return co_await say_with(victim, foreign_certificate(victim), std::move(speech));
    case 1:
      speech.what += " without a certificate";
      co_return co_await say_without_certificate(victim, std::move(speech));
    case 2: {
      const bool to_peers = amount / kReplays % 2 == 0;
      speech.what += to_peers ? " without a handshake" : " at the API";
      co_return co_await say_plainly(victim, to_peers ? Site::kPeerPort : Site::kApiPort,
                                     std::move(speech));
    }
    default: {
      const env::Credentials* of_removed = credentials(victim, Whose::kRemoved, random);
      if (of_removed == nullptr) {
        speech.what += " under an altered certificate";
        co_return co_await say_with(victim, altered_certificate(victim, random), std::move(speech));
      }
      speech.what += " of a removed node";
      co_return co_await say_as(victim, *of_removed, std::move(speech));
    }
  }
}

env::Task<void> Intruder::come_from_the_future(std::uint64_t amount, Victim victim,
                                               env::Random& random) {
  Speech speech = future(audience(victim), amount % kFutures, random);
  const env::Credentials* as = nullptr;
  if (amount / kFutures % 2 == 0) as = credentials(victim, Whose::kRemoved, random);
  if (as != nullptr) {
    speech.what += ", of a removed node";
    speech.greeted = false;
    speech.told = "";
    speech.ends = true;
  } else {
    as = credentials(victim, Whose::kMember, random);
  }
  if (as != nullptr) co_await say_as(victim, *as, std::move(speech));
}

// Connections.

env::Task<void> Intruder::say_plainly(Victim victim, std::uint16_t port, Speech speech) {
  auto stream = co_await cluster_.env().network.dial(
      env::Endpoint::tcp(victim.site.machine->address(), port), cluster_.now() + kDialPatience);
  if (!stream) co_return;
  co_await converse_in_text(victim, std::move(*stream), std::move(speech));
}

env::Task<void> Intruder::say_without_certificate(Victim victim, Speech speech) {
  const std::string authority = fingerprint(victim);
  if (authority.empty()) co_return;
  auto stream = co_await cluster_.env().security.dial_to_enrol(
      env::Endpoint::tcp(victim.site.machine->address(), Site::kPeerPort), authority,
      cluster_.now() + kDialPatience);
  if (!stream) co_return;
  co_await converse(victim, std::move(*stream), std::move(speech));
}

env::Task<void> Intruder::say_as(Victim victim, env::Credentials credentials, Speech speech) {
  const auto transport = cluster_.env().security.open(credentials);
  if (!transport) co_return;
  auto stream = co_await (*transport)
                    ->dial(env::Endpoint::tcp(victim.site.machine->address(), Site::kPeerPort),
                           NodeId(), cluster_.now() + kDialPatience);
  // Another life may have forgotten who was removed.
  if (!lives(victim)) co_return;
  if (stream) {
    co_await converse(victim, std::move(*stream), std::move(speech));
  } else if (stream.error().code() == Code::kPermissionDenied) {
    refused(victim, speech.what, stream.error().reason());
  }
}

env::Task<void> Intruder::say_with(Victim victim, std::string certificate, Speech speech) {
  if (certificate.empty()) co_return;
  const env::Env env = cluster_.env();
  auto stream =
      co_await env.network.dial(env::Endpoint::tcp(victim.site.machine->address(), Site::kPeerPort),
                                cluster_.now() + kDialPatience);
  if (!stream) co_return;
  const std::string hello = handshake_message("hello");
  if (!co_await (*stream)->write_all(hello)) co_return;
  if (!co_await env::with_deadline(env.executor, env.clock, cluster_.now() + kDialPatience,
                                   read_handshake_message(**stream))) {
    co_return;
  }
  speech.bytes = handshake_message(certificate) + speech.bytes;
  co_await converse_in_text(victim, std::move(*stream), std::move(speech));
}

// As a member that is connected; it is back after one attempt to connect.
env::Task<void> Intruder::displace(Victim victim, env::Random& random) {
  const env::Credentials* as = credentials(victim, Whose::kMember, random);
  if (as == nullptr) co_return;
  Speech speech{.what = "a connection in a member's place", .greeted = true};
  speech.bytes = encoded({.content = wire::Hello{.cluster = audience(victim).cluster}});
  co_await say_as(victim, *as, std::move(speech));
}

env::Task<void> Intruder::enrol(Victim victim, bool with_secret, env::Random& random) {
  // A token that a member has used.
  const Site* member = nullptr;
  for (const auto& site : cluster_.sites())
    if (site->ready && site->id && !site->join.empty()) member = site.get();
  const std::string authority = fingerprint(victim);
  if (member == nullptr || authority.empty()) co_return;
  const auto target = membership::JoinTarget::parse(member->join);
  const auto key = cluster_.env().security.make_request();
  if (!target || !key) co_return;
  v1::EnrolRequest request;
  request.set_token_id(target->token.id.value);
  request.set_secret(with_secret ? target->token.secret : random.hex(8));
  request.set_name("intruder");
  request.set_peer_address("10.9.9.9:7481");
  request.set_certificate_request(key->request);
  const Instant deadline = cluster_.now() + kPatience;
  auto stream = co_await cluster_.env().security.dial_to_enrol(
      env::Endpoint::tcp(victim.site.machine->address(), Site::kPeerPort), authority, deadline);
  if (!stream) co_return;
  const auto answer =
      co_await peer::ask_once(cluster_.env(), std::move(*stream), peer::RequestKind::kEnrol,
                              request.SerializeAsString(), deadline);
  const std::string what = with_secret ? "a token that was used" : "a token with another secret";
  if (answer) {
    accepted(victim, what, "is let in");
  } else if (answer.error().code() != Code::kCancelled) {
    refused(victim, what, answer.error().reason());
  }
}

// Speaking and hearing.

env::Task<void> Intruder::converse(Victim victim, std::unique_ptr<env::Stream> stream,
                                   Speech speech) {
  const env::Env env = cluster_.env();
  const Instant deadline = cluster_.now() + kPatience;
  if (!speech.bytes.empty()) {
    ignore(co_await env::with_deadline(env.executor, env.clock, deadline,
                                       stream->write_all(speech.bytes)),
           "the end is read, too");
  }
  peer::FrameReader reader(*stream);
  std::string how;
  while (true) {
    const auto answer =
        co_await env::with_deadline(env.executor, env.clock, deadline, reader.next());
    if (!answer) co_return judge_end(victim, speech, std::move(how), answer.error());
    if (std::string refusal = judge(victim, speech, *answer); !refusal.empty()) {
      how = std::move(refusal);
      if (!speech.ends) co_return refused(victim, speech.what, how);
    }
  }
}

env::Task<void> Intruder::converse_in_text(Victim victim, std::unique_ptr<env::Stream> stream,
                                           Speech speech) {
  const env::Env env = cluster_.env();
  const Instant deadline = cluster_.now() + kPatience;
  ignore(co_await env::with_deadline(env.executor, env.clock, deadline,
                                     stream->write_all(speech.bytes)),
         "the end is read, too");
  std::string answer;
  std::array<char, 4096> buffer{};
  std::size_t seen = 0;
  std::string how;
  while (true) {
    const auto count =
        co_await env::with_deadline(env.executor, env.clock, deadline, stream->read_some(buffer));
    if (!count) co_return judge_end(victim, speech, std::move(how), count.error());
    if (*count == 0) break;
    answer.append(buffer.data(), *count);
    // Behind a length, which text of the API has not.
    if (answer.find("welcome") == 2) accepted(victim, speech.what, "is welcome");
    if (answer.find("refused ") == 2) how = "certificate_refused";
    while (const int status = next_status(answer, seen)) {
      how = std::to_string(status);
      if (status < 400) accepted(victim, speech.what, how);
    }
    if (answer.size() > kAnswerBytes) co_return accepted(victim, speech.what, "is told too much");
  }
  judge_end(victim, speech, std::move(how), Error(Code::kUnavailable, "peer_closed"));
}

std::string Intruder::judge(const Victim& victim, const Speech& speech,
                            const wire::Message& answer) {
  if (const auto* told = std::get_if<wire::Refused>(&answer.content)) return told->why.reason;
  if (std::holds_alternative<wire::Hello>(answer.content)) {
    if (!speech.greeted) accepted(victim, speech.what, "is greeted");
    return {};
  }
  if (const auto* reply = std::get_if<wire::Reply>(&answer.content)) {
    if (reply->failure && !speech.told.empty() && reply->failure->reason == speech.told) {
      return reply->failure->reason;
    }
  }
  accepted(victim, speech.what,
           fmt::format("is answered with a frame of kind {}",
                       static_cast<int>(wire::kind_of(answer.content))));
  return {};
}

void Intruder::judge_end(const Victim& victim, const Speech& speech, std::string how,
                         const Error& end) {
  if (end.code() == Code::kCancelled || !lives(victim)) return;
  if (end.code() != Code::kDeadlineExceeded) {
    refused(victim, speech.what, how.empty() ? "hung up on" : how);
  } else if (speech.ends && victim.was_ready) {
    accepted(victim, speech.what, "is not hung up on");
  }
}

void Intruder::refused(const Victim& victim, const std::string& what, std::string_view how) {
  cluster_.recorder().note(victim.site.number, Event::kFrameRefused,
                           fmt::format("{}: {}", what, how));
}

void Intruder::accepted(const Victim& victim, const std::string& what, std::string_view how) {
  cluster_.recorder().fail("intruder", fmt::format("{}: {} {}", victim.site.name, what, how));
}

bool Intruder::lives(const Victim& victim) const {
  return victim.site.lives == victim.life && victim.site.running && !victim.site.removed;
}

// Credentials.

void Intruder::steal() {
  for (const auto& site : cluster_.sites()) {
    if (site->terms == 0) continue;
    const auto content = [&](std::string_view name) {
      return site->machine->content(env::join_path(site->data(), name)).value_or("");
    };
    env::Credentials found{.certificate = content("node.crt"),
                           .key = content("node.key"),
                           .authority = content("authority.crt")};
    const bool is_known = std::ranges::any_of(stolen_, [&](const auto& stolen) {
      const env::Credentials& old = stolen.second;
      return old.certificate == found.certificate && old.key == found.key &&
             old.authority == found.authority;
    });
    if (is_known) continue;
    const auto facts = cluster_.env().security.inspect(found.certificate);
    if (!facts || !facts->subject.node) continue;
    // What is half-written or damaged lets nobody in.
    if (!cluster_.env().security.open(found)) continue;
    stolen_[facts->subject.node] = std::move(found);
  }
}

const env::Credentials* Intruder::credentials(const Victim& victim, Whose whose,
                                              env::Random& random) const {
  const replica::Replica* replica = victim.site.replica();
  if (replica == nullptr) return nullptr;
  std::vector<const env::Credentials*> found;
  for (const auto& [node, one] : stolen_) {
    if (replica->state().was_removed(node) == (whose == Whose::kRemoved)) found.push_back(&one);
  }
  return found.empty() ? nullptr : found[random.below(found.size())];
}

// Of a member's id and cluster, signed by somebody else.
std::string Intruder::foreign_certificate(const Victim& victim) {
  const env::Env env = cluster_.env();
  const Audience to = audience(victim);
  const auto authority = env.security.make_authority(to.cluster, env.clock.wall(), kLifetime);
  const auto key = env.security.make_request();
  if (!authority || !key) return {};
  return env.security
      .issue(*authority, key->request, {.cluster = to.cluster, .node = to.other, .server = true},
             env.clock.wall(), kLifetime)
      .value_or("");
}

// A member's, with what somebody might want it to say.
std::string Intruder::altered_certificate(const Victim& victim, env::Random& random) const {
  const env::Credentials* of_member = credentials(victim, Whose::kMember, random);
  if (of_member == nullptr) return {};
  auto certificate = sim::Certificate::parse(of_member->certificate);
  if (!certificate) return {};
  switch (random.below(4)) {
    case 0:
      certificate->node = NodeId(certificate->node.value + 1);
      break;
    case 1:
      certificate->server = !certificate->server;
      break;
    case 2:
      certificate->not_after_s += 86'400;
      break;
    default:
      certificate->node = NodeId();  // an authority's
  }
  return certificate->text();
}

Audience Intruder::audience(const Victim& victim) const {
  const replica::Replica* replica = victim.site.replica();
  Audience to{.node = victim.site.id, .other = NodeId(victim.site.id.value + 1)};
  for (const auto& site : cluster_.sites())
    if (site->id && site->id != to.node) to.other = site->id;
  if (replica != nullptr) {
    const replica::Status status = replica->status();
    to.cluster = replica->state().cluster().text();
    to.term = status.term;
    to.last = status.last;
  }
  return to;
}

std::string Intruder::fingerprint(const Victim& victim) {
  const std::string path = env::join_path(victim.site.data(), "authority.crt");
  const auto facts =
      cluster_.env().security.inspect(victim.site.machine->content(path).value_or(""));
  return facts ? facts->fingerprint : "";
}

}  // namespace blixard::vopr
