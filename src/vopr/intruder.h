#pragma once

// Strangers and broken peers: bytes that no node of ours would send, with every kind of credentials
// that somebody outside may have: none, those of another authority, altered ones, those of a node
// that was removed, and those of a member. They must be refused and counted, their connections must
// end in time, and they must be harmless. What an intruder itself can see of that is judged here
// ("intruder"); that nothing came of it is for the other judges to see.
//
// Nothing is said in a member's name that its node could believe. A member's own key is trusted by
// design: who has it and speaks of consensus in good form is a Byzantine server, which Raft does
// not promise to survive. So with a member's certificate come only frames that are refused as a
// whole, and what a removed node would say is said only to those who know that it was removed.
//
// Handshakes with certificates that no transport of ours would offer are made by hand, in the words
// of sim/security.cc.

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "env/scope.h"
#include "env/security.h"
#include "vopr/cluster.h"
#include "vopr/intruder_speech.h"

namespace blixard::vopr {

class Intruder {
 public:
  explicit Intruder(Cluster& cluster) : cluster_(cluster) {}

  // Of a step of Group::kIntruder, against its node; its amount says how. Ends in bounded time.
  env::Task<void> act(const Step& step);

 private:
  // The life of a daemon that is spoken to.
  struct Victim {
    Site& site;
    std::uint64_t life = 0;
    bool was_ready = false;  // what one owes that is not, is not judged
  };
  enum class Whose : std::uint8_t { kRemoved, kMember };

  env::Task<void> act_as_stranger(std::uint64_t amount, Victim victim, env::Random& random);
  env::Task<void> forge(std::uint64_t amount, Victim victim, env::Random& random);
  env::Task<void> replay(std::uint64_t amount, Victim victim, env::Random& random);
  env::Task<void> come_from_the_future(std::uint64_t amount, Victim victim, env::Random& random);

  env::Task<void> say_plainly(Victim victim, std::uint16_t port, Speech speech);
  env::Task<void> say_without_certificate(Victim victim, Speech speech);
  env::Task<void> say_as(Victim victim, env::Credentials credentials, Speech speech);
  env::Task<void> say_with(Victim victim, std::string certificate, Speech speech);
  env::Task<void> displace(Victim victim, env::Random& random);
  env::Task<void> enrol(Victim victim, bool with_secret, env::Random& random);

  // Says it and hears the answers.
  env::Task<void> converse(Victim victim, std::unique_ptr<env::Stream> stream, Speech speech);
  env::Task<void> converse_in_text(Victim victim, std::unique_ptr<env::Stream> stream,
                                   Speech speech);
  // Of a frame: how it refuses; empty: it is none of a refusal.
  [[nodiscard]] std::string judge(const Victim& victim, const Speech& speech,
                                  const wire::Message& answer);
  void judge_end(const Victim& victim, const Speech& speech, std::string how, const Error& end);
  void refused(const Victim& victim, const std::string& what, std::string_view how);
  void accepted(const Victim& victim, const std::string& what, std::string_view how);
  [[nodiscard]] bool lives(const Victim& victim) const;

  // Keeps the credentials that lie on the machines' disks.
  void steal();
  // Of a node that the victim knows to be removed, or does not; none: there is none.
  [[nodiscard]] const env::Credentials* credentials(const Victim& victim, Whose whose,
                                                    env::Random& random) const;
  [[nodiscard]] std::string foreign_certificate(const Victim& victim);
  [[nodiscard]] std::string altered_certificate(const Victim& victim, env::Random& random) const;
  [[nodiscard]] Audience audience(const Victim& victim) const;
  [[nodiscard]] std::string fingerprint(const Victim& victim);

  Cluster& cluster_;
  std::map<NodeId, env::Credentials> stolen_;  // the newest of each
};

}  // namespace blixard::vopr
