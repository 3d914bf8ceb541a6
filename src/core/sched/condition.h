#pragma once

// A constraint made ready to be looked at on many nodes.
//
// An attribute may have several values (hypervisors): a condition holds if one of them meets it,
// and one that denies holds if none of them is denied. Without a value only what denies holds.
//
// Patterns are RE2's: their cost is linear in the text, their memory bounded, and they match whole
// values.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/cluster/model.h"

namespace re2 {
class RE2;
}

namespace blixard::sched {

class Condition {
 public:
  explicit Condition(const cluster::Constraint& constraint);

  // `attributes` by key.
  [[nodiscard]] bool holds(std::span<const cluster::Label> attributes) const;
  [[nodiscard]] const cluster::Constraint& constraint() const { return constraint_; }
  // False: it has a pattern that cannot be read, and holds nowhere.
  [[nodiscard]] bool is_valid() const;
  // What is wrong with the pattern.
  [[nodiscard]] std::string fault() const;

 private:
  [[nodiscard]] bool meets(std::string_view value) const;
  [[nodiscard]] bool meets_number(std::string_view value) const;

  cluster::Constraint constraint_;
  std::optional<std::int64_t> number_;
  std::shared_ptr<const re2::RE2> expression_;
};

// "disk >= 100", for people.
std::string condition_text(const cluster::Constraint& constraint);
// Part by part, digits as numbers and all else as text: "1.10" is above "1.9". Less than 0, 0,
// more.
int compare_versions(std::string_view a, std::string_view b);

}  // namespace blixard::sched
