#pragma once

// Dividing a history by what its operations touch. Operations that share a key, directly or by way
// of others, stay together, so that each part is whole.

#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "linearizability/history.h"

namespace blixard::linearizability {

// `keys_of(operation)` gives the keys it touches, at least one.
template <class Operations, class KeysOf>
std::vector<Part> partition_by_keys(const Operations& history, const KeysOf& keys_of) {
  std::map<std::string, std::size_t, std::less<>> numbers;
  std::vector<std::size_t> parent;
  const auto root = [&](std::size_t at) {
    while (parent[at] != at)
      at = parent[at] = parent[parent[at]];
    return at;
  };
  std::vector<std::size_t> first_key;
  for (const auto& operation : history) {
    bool is_first = true;
    for (const auto& key : keys_of(operation)) {
      const auto [at, is_new] = numbers.try_emplace(std::string(key), parent.size());
      if (is_new) parent.push_back(at->second);
      if (is_first) first_key.push_back(at->second);
      is_first = false;
      parent[root(at->second)] = root(first_key.back());
    }
  }
  std::vector<Part> parts;
  std::map<std::size_t, std::size_t> part_of;
  for (const auto& [key, number] : numbers) {
    const auto [at, is_new] = part_of.try_emplace(root(number), parts.size());
    if (is_new) {
      parts.push_back({.key = key, .operations = {}});
    } else {
      parts[at->second].key += " " + key;
    }
  }
  for (std::size_t i = 0; i < first_key.size(); ++i)
    parts[part_of.at(root(first_key[i]))].operations.push_back(i);
  return parts;
}

// Where every operation touches the one key of its input.
template <class Operations>
std::vector<Part> partition_by_key(const Operations& history) {
  return partition_by_keys(history, [](const auto& operation) {
    return std::array<std::string_view, 1>{operation.input.key};
  });
}

// All together.
template <class Operations>
std::vector<Part> one_part(const Operations& history) {
  std::vector<Part> parts(1);
  parts[0].operations.resize(history.size());
  std::iota(parts[0].operations.begin(), parts[0].operations.end(), std::size_t{0});
  return parts;
}

}  // namespace blixard::linearizability
