#pragma once

// What the core says, in the words of the reference: its logs, its description of messages,
// entries and of what one round of work holds. The files of judgements are compared byte for byte,
// so every blank counts.
//
// The series differ: 3.4 writes a message on one line, the current one breaks before a snapshot,
// between several entries and between the responses of a storage message.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/raft/core.h"
#include "core/raft/event.h"
#include "core/raft/types.h"

namespace blixard::raft::interaction {

enum class Form : std::uint8_t { k34, kCurrent };
enum class Level : std::uint8_t { kDebug, kInfo, kWarn, kError, kFatal, kNone };

inline constexpr std::string_view kLevelNames[] = {"DEBUG", "INFO",  "WARN",
                                                   "ERROR", "FATAL", "NONE"};

struct LogLine {
  Level level = Level::kInfo;
  std::string text;
};

[[nodiscard]] ProgressRules rules_of(Form form);
[[nodiscard]] std::string quoted(std::string_view bytes);  // as Go quotes a string
[[nodiscard]] std::string_view name_of(Role role);
[[nodiscard]] std::string_view name_of(MessageType type);
[[nodiscard]] std::optional<MessageType> message_type(std::string_view name);

[[nodiscard]] std::string describe(const HardState& state);
[[nodiscard]] std::string describe(const SoftState& state);
[[nodiscard]] std::string describe(const SnapshotMeta& snapshot);
[[nodiscard]] std::string describe(const Entry& entry);
// One line each, all ended.
[[nodiscard]] std::string describe(const std::vector<Entry>& entries);
[[nodiscard]] std::string describe(const Message& message, Form form, std::string_view indent = "");

// The messages between a node and its storage, which the reference has as messages and we do not.
enum class Responses : bool { kHidden, kShown };
[[nodiscard]] std::string describe_append(NodeId node, const Append& append, Responses shown);
[[nodiscard]] std::string describe_apply(NodeId node, const std::vector<Entry>& entries,
                                         Responses shown);
// None: nobody waits for this append (the reference sends no such message then).
[[nodiscard]] std::optional<std::string> describe_appended(NodeId node, const Append& append,
                                                           std::string_view indent = "");
[[nodiscard]] std::string describe_applied(NodeId node, const std::vector<Entry>& entries,
                                           std::string_view indent = "");

// A round of work; `messages` are described already. `must_sync` as the reference has it.
[[nodiscard]] std::string describe_ready(const Output& output, bool must_sync,
                                         const std::vector<std::string>& messages);

// None: of a kind that has no line.
[[nodiscard]] std::optional<LogLine> log_line(const Event& event, Form form);

}  // namespace blixard::raft::interaction
