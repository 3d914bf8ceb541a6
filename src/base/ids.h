#pragma once

// Strong types for every number with a meaning, so that a term never meets an index.
//
// Each is an integer that can be compared, hashed and printed, and nothing else; arithmetic is
// spelled at the place that needs it. 0 means "none" for all of them.

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace blixard {

template <class Tag>
struct Number {
  std::uint64_t value = 0;

  constexpr Number() = default;
  constexpr explicit Number(std::uint64_t number) : value(number) {}
  friend constexpr auto operator<=>(Number, Number) = default;
  constexpr explicit operator bool() const { return value != 0; }
  [[nodiscard]] constexpr Number next() const { return Number(value + 1); }
};

using NodeId = Number<struct NodeIdTag>;          // of a member of the cluster; never reused
using VmId = Number<struct VmIdTag>;              // of a VM; never reused, unlike its name
using ImageId = Number<struct ImageIdTag>;        // of an image record
using Generation = Number<struct GenerationTag>;  // of a VM's assignment: the fencing token
using Term = Number<struct TermTag>;              // of a leader (Raft paper, section 5.1)
using LogIndex = Number<struct LogIndexTag>;      // position in the replicated log, from 1

// 16 random bytes; text form as in RFC 4122. Request ids and the identity of guests.
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;
  [[nodiscard]] bool is_nil() const { return *this == Uuid{}; }
  [[nodiscard]] std::string text() const;
  static std::optional<Uuid> parse(std::string_view text);
  // Version 4, from two random words.
  static Uuid from_random(std::uint64_t high, std::uint64_t low);
};

}  // namespace blixard

template <class Tag>
struct std::hash<blixard::Number<Tag>> {
  std::size_t operator()(blixard::Number<Tag> number) const noexcept {
    return std::hash<std::uint64_t>{}(number.value);
  }
};
