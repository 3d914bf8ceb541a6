#pragma once

// What the verb "identity" asks a guest to become (docs/formats/guest-agent.md).

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sim/qemu/soul.h"

namespace blixard::sim {

class Identity {
 public:
  // The words behind the nonce. An error is what the agent says.
  static std::expected<Identity, std::string> parse(std::span<const std::string_view> words);

  // All of it, or the error and nothing but, perhaps, the seed.
  std::expected<void, std::string> apply(Soul& soul, Instant now) const;

  // It makes a clone somebody of its own: names it, and leaves it no random byte of another.
  [[nodiscard]] bool is_whole() const { return name_ && seed_; }
  // It has words that agents did not know before there were clones.
  [[nodiscard]] bool is_for_clones() const;

 private:
  std::optional<std::string> take(std::string_view word);

  std::optional<std::string> was_;
  std::optional<std::string> name_;
  std::optional<std::string> mac_;
  std::optional<std::string> machine_;
  std::optional<std::string> seed_;
  std::optional<std::string> time_;
  std::optional<std::string> address_;  // nothing here is reached by it, nor by the gateway
  std::optional<std::string> gateway_;
  WallTime wall_;
};

}  // namespace blixard::sim
