#include "base/name.h"

#include <deque>
#include <limits>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/assert.h"

namespace blixard {
namespace {

struct Text {
  std::string text;
  std::uint32_t names = 0;
};

// Texts stay where they are: the index refers to them.
struct Table {
  std::deque<Text> texts{1};  // the first is the empty one
  std::vector<std::uint32_t> free;
  boost::unordered_flat_map<std::string_view, std::uint32_t> numbers;
  std::size_t bytes = 0;

  std::uint32_t add(std::string_view text);
  void drop(std::uint32_t number);
};

std::uint32_t Table::add(std::string_view text) {
  std::uint32_t number = 0;
  if (free.empty()) {
    BLX_ASSERT(texts.size() < std::numeric_limits<std::uint32_t>::max());
    number = static_cast<std::uint32_t>(texts.size());
    texts.emplace_back();
  } else {
    number = free.back();
    free.pop_back();
  }
  texts[number].text = text;
  numbers.emplace(texts[number].text, number);
  bytes += text.size();
  return number;
}

void Table::drop(std::uint32_t number) {
  std::string& text = texts[number].text;
  numbers.erase(text);
  bytes -= text.size();
  std::string().swap(text);
  free.push_back(number);
}

// Never destroyed, since names with static lifetime may outlive anything else of the thread.
Table& table() {
  thread_local Table* const mine = new Table;
  return *mine;
}

}  // namespace

Name::Name(std::string_view text) {
  if (text.empty()) return;
  Table& all = table();
  const auto found = all.numbers.find(text);
  number_ = found == all.numbers.end() ? all.add(text) : found->second;
  retain();
}

Name Name::find(std::string_view text) {
  Name name;
  const Table& all = table();
  if (const auto found = all.numbers.find(text); found != all.numbers.end()) {
    name.number_ = found->second;
    name.retain();
  }
  return name;
}

const std::string& Name::text() const { return table().texts[number_].text; }

Name::Usage Name::usage() {
  const Table& all = table();
  return {.texts = all.numbers.size(), .bytes = all.bytes};
}

void Name::retain() const noexcept {
  if (number_ != 0) ++table().texts[number_].names;
}

void Name::release() const noexcept {
  if (number_ == 0) return;
  Table& all = table();
  if (--all.texts[number_].names == 0) all.drop(number_);
}

}  // namespace blixard
