#pragma once

// What the generator knows of its VMs, and what it asks for next.
//
// A VM is asked for one thing at a time: while a request about it is under way it is chosen for no
// other, so every answer can be judged. What the cluster acknowledged is what must be there at the
// end; a VM whose request ended without an answer may be either way from then on.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "env/random.h"

namespace blixard::load {

enum class Operation : std::uint8_t { kGet, kList, kCreate, kStart, kStop, kDelete, kStatus };
inline constexpr std::size_t kOperations = 7;
std::string_view operation_name(Operation operation);  // "get"

// Of a hundred operations; creations and deletions alike, so that the number of VMs stays.
using Mix = std::array<unsigned, kOperations>;
inline constexpr Mix kUsualMix{50, 5, 10, 10, 10, 10, 5};

struct Choice {
  Operation operation = Operation::kStatus;
  std::string vm;  // of those about one; of a list: where the page begins
};

class Fleet {
 public:
  explicit Fleet(std::string prefix) : prefix_(std::move(prefix)) {}

  // A VM that was there before. Names of others are none of ours.
  [[nodiscard]] bool is_ours(std::string_view name) const { return name.starts_with(prefix_); }
  void adopt(std::string name, bool runs);

  // Something that is possible now: where nothing can be started, something is stopped, and so on.
  Choice choose(env::Random& random, const Mix& mix);
  Choice choose_create();
  // The answer to a choice: it is so now; it is not; or nobody knows.
  enum class Answer : std::uint8_t { kDone, kRefused, kUnknown };
  void answered(const Choice& choice, Answer answer);

  [[nodiscard]] std::size_t size() const { return runs_.size(); }
  // By name: wanted running or stopped.
  [[nodiscard]] const std::map<std::string, bool, std::less<>>& wanted() const { return runs_; }
  [[nodiscard]] const std::set<std::string, std::less<>>& uncertain() const { return uncertain_; }

 private:
  // Names that may be chosen, in no order: taking one out is one exchange.
  struct Idle {
    std::vector<std::string> names;
    std::optional<std::string> take(env::Random& random);
  };

  std::optional<Choice> change(Operation operation, env::Random& random);

  std::string prefix_;
  std::uint64_t next_ = 0;
  std::map<std::string, bool, std::less<>> runs_;
  std::set<std::string, std::less<>> uncertain_;
  std::array<Idle, 2> idle_;  // stopped, running
};

}  // namespace blixard::load
