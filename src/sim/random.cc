#include "sim/random.h"

#include "base/assert.h"

namespace blixard::sim {
namespace {

std::uint64_t scramble(std::uint64_t word) {
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

}  // namespace

std::uint64_t SeededRandom::next() {
  state_ += 0x9e3779b97f4a7c15;
  return scramble(state_);
}

std::uint64_t SeededRandom::seed_for(std::string_view name) const {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char letter : name)
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  return scramble(seed_ ^ scramble(hash));
}

std::unique_ptr<env::Random> SeededRandom::fork(std::string_view name) {
  return std::make_unique<SeededRandom>(seed_for(name));
}

Duration SeededRandom::between(Duration least, Duration most) {
  BLX_ASSERT(least <= most);
  return least + Duration(below(static_cast<std::uint64_t>((most - least).count()) + 1));
}

}  // namespace blixard::sim
