#pragma once

// The clients of a run, over HTTP. Each does its steps of the plan in order, one at a time; what it
// asks and is told goes into the history. A patient one asks again, with the same request id and
// at the next node, until there is an answer that says what became of it; a noisy one asks several
// nodes at once; a vanishing one does not wait for the answer.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "env/scope.h"
#include "vopr/cluster.h"
#include "vopr/history.h"
#include "vopr/rest.h"

namespace blixard::vopr {

class Clients {
 public:
  explicit Clients(Cluster& cluster);

  // The steps of client `number`, until the last one has ended or it is cancelled.
  env::Task<void> run(std::uint32_t number, Instant trouble_begins);
  // What noisy clients left running ends.
  env::Task<void> stop();
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  [[nodiscard]] const History& history() const { return history_; }
  // From now on nobody begins anything.
  void finish() { finishing_ = true; }

  // Once, at this node.
  env::Task<rest::Reply> call(Site& site, http::Method method, std::string target, std::string body,
                              std::string key, Duration patience);

  [[nodiscard]] static std::string vm_name(std::uint32_t number);

 private:
  struct Request {
    const Step* step = nullptr;
    http::Method method = http::Method::kGet;
    std::string target;
    std::string body;
    std::string key;       // the request id; empty: a read
    std::string function;  // in the history; empty: it is not part of it
    std::string vm;
    std::string argument;
  };
  enum class Meaning : std::uint8_t {
    kDone,
    kTold,       // a refusal that tells something of the object
    kRefused,    // a refusal that changed nothing
    kUncertain,  // nobody knows
  };
  struct Answer {
    Meaning meaning = Meaning::kUncertain;
    rest::Reply reply;
    const Site* site = nullptr;  // who gave it
    bool was_uncertain = false;  // an earlier attempt had no answer
  };

  env::Task<void> carry_out(const Step& step);
  [[nodiscard]] Request request_of(const Step& step);
  env::Task<void> ask(Request request);
  env::Task<Answer> ask_patiently(const Request& request);
  env::Task<void> ask_again(Request request, std::uint32_t node);
  env::Task<void> follow(const Step& step);
  env::Task<void> scrape(const Step& step);
  [[nodiscard]] static Meaning meaning_of(const Request& request, const rest::Reply& reply);
  // There was no such VM; or there was, what was asked was done, and it went before the answer.
  [[nodiscard]] static bool may_be_gone_since(const Request& request, const rest::Reply& reply);
  void conclude(const Request& request, const Answer& answer, LogIndex read_floor);
  void check_counters(Site& site, std::string_view text);

  Cluster& cluster_;
  History history_;
  env::Scope noise_;
  std::size_t waiting_ = 0;
  bool finishing_ = false;
  struct Counters {
    std::uint64_t life = 0;
    Instant read;
    std::map<std::string, double, std::less<>> values;
  };
  std::map<std::uint32_t, Counters> counters_;  // by machine
};

}  // namespace blixard::vopr
