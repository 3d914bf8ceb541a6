#include "node/vm/sim/soul.h"

#include <sstream>
#include <utility>

namespace blixard::vm_sim {

std::string machine_id(const Uuid& uuid) {
  std::string digits = uuid.text();
  std::erase(digits, '-');
  return digits;
}

std::string mac_address(const Uuid& uuid) {
  const std::string digits = machine_id(uuid);
  std::string mac = "02";
  for (std::size_t i = 22; i < digits.size(); i += 2)
    mac += ":" + digits.substr(i, 2);
  return mac;
}

Soul Soul::born(std::string name, const Uuid& uuid, std::string_view secret) {
  return {
      .name = std::move(name),
      .machine_id = vm_sim::machine_id(uuid),
      .mac = mac_address(uuid),
      .boot_id = image::digest_text(image::digest_of("boot" + std::string(secret))).substr(0, 32),
      .seed = image::digest_of(secret)};
}

std::string Soul::draw() {
  ++drawn;
  return image::digest_text(
      image::digest_of(image::digest_text(seed) + " " + std::to_string(drawn)));
}

void Soul::add_entropy(std::string_view entropy) {
  seed = image::digest_of(draw() + std::string(entropy));
}

std::string Soul::encode(WallTime now) const {
  return name + " " + machine_id + " " + mac + " " + boot_id + " " + image::digest_text(seed) +
         " " + std::to_string(drawn) + " " + std::to_string(now.unix_ms - late_ms) + "\n";
}

Result<Soul> Soul::decode(std::string_view text, WallTime now) {
  Soul soul;
  std::string seed;
  std::int64_t saved_ms = 0;
  std::istringstream words{std::string(text)};
  words >> soul.name >> soul.machine_id >> soul.mac >> soul.boot_id >> seed >> soul.drawn >>
      saved_ms;
  const auto parsed = image::parse_digest(seed);
  if (text.size() > kSoulBytes || !words || !parsed) return fail(Code::kDataLoss, "soul_invalid");
  soul.seed = *parsed;
  soul.late_ms = now.unix_ms - saved_ms;
  return soul;
}

std::string Soul::encode_saved(WallTime now) const {
  std::string bytes = encode(now);
  bytes.resize(kSavedBytes, '\0');
  return bytes;
}

Result<Soul> Soul::decode_saved(std::string_view bytes, WallTime now) {
  const std::size_t end = bytes.find('\n');
  if (bytes.size() != kSavedBytes || end == std::string_view::npos) {
    return fail(Code::kDataLoss, "soul_invalid");
  }
  return decode(bytes.substr(0, end + 1), now);
}

}  // namespace blixard::vm_sim
