#pragma once

// What is compared of the two sides: a sequence of numbers, mixed into a digest, and on demand the
// same sequence as text with its names. canon.go says the same in the same order.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/raft/core.h"

namespace blixard::raft::lockstep {

class Canon {
 public:
  void begin(bool with_text);
  [[nodiscard]] std::uint64_t digest() const { return digest_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  static std::string words(const Message& message);

  void put(std::string_view name, std::uint64_t value) {
    const std::uint64_t mixed = (digest_ ^ value) * 0xff51afd7ed558ccdULL;
    digest_ = mixed ^ mixed >> 32;
    if (with_text_) [[unlikely]]
      write(name, value);
  }
  void note(std::string_view text);

  void conf(std::string_view name, const ConfState& conf);
  // What is ready; `messages` in the order in which they leave.
  void ready(const Output& output, const std::vector<Message>& messages);
  void lists(const ConfState& conf);
  void progress(NodeId node, const Progress& progress);

 private:
  void write(std::string_view name, std::uint64_t value);
  void ids(std::string_view name, const std::vector<NodeId>& ids);
  void read(ReadId read);
  void entry(const Entry& entry);
  void entries(std::string_view name, const std::vector<Entry>& entries);
  void snapshot(const SnapshotMeta* snapshot);
  void message(const Message& message);

  std::uint64_t digest_ = 0;
  bool with_text_ = false;
  std::string text_;
};

}  // namespace blixard::raft::lockstep
