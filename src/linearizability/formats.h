#pragma once

// Readers of history files, each in a file of its own. docs/formats/history.md says what each form
// means. All errors: kInvalidArgument "history_invalid" with the line, kResourceExhausted
// "history_too_long".

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "linearizability/calls.h"

namespace blixard::linearizability {

enum class Format : std::uint8_t { kPorcupineEtcd, kPorcupineKv, kJepsenEdn, kBlixardJson };

inline constexpr std::array<std::string_view, 4> kFormatNames{"porcupine-etcd", "porcupine-kv",
                                                              "jepsen-edn", "blixard-json"};
std::optional<Format> parse_format(std::string_view name);

Result<RecordedHistory> read_history(Format format, std::string_view text);

Result<RecordedHistory> read_porcupine_etcd(std::string_view text);
Result<RecordedHistory> read_porcupine_kv(std::string_view text);
Result<RecordedHistory> read_jepsen_edn(std::string_view text);
Result<RecordedHistory> read_blixard_json(std::string_view text);

// Takes the lines of a text one by one, without their ends, and counts them.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}
  // Nothing at the end. Errors: kInvalidArgument "history_invalid" if it is too long.
  Result<std::optional<std::string_view>> next();
  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  std::string_view rest_;
  std::uint64_t number_ = 0;
};

}  // namespace blixard::linearizability
