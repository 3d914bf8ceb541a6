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
  return {.name = std::move(name),
          .machine_id = vm_sim::machine_id(uuid),
          .mac = mac_address(uuid),
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
  return name + " " + machine_id + " " + mac + " " + image::digest_text(seed) + " " +
         std::to_string(drawn) + " " + std::to_string(now.unix_ms - late_ms) + "\n";
}

Result<Soul> Soul::decode(std::string_view text, WallTime now) {
  Soul soul;
  std::string seed;
  std::int64_t saved_ms = 0;
  std::istringstream words{std::string(text)};
  words >> soul.name >> soul.machine_id >> soul.mac >> seed >> soul.drawn >> saved_ms;
  const auto parsed = image::parse_digest(seed);
  if (text.size() > kSoulBytes || !words || !parsed) return fail(Code::kDataLoss, "soul_invalid");
  soul.seed = *parsed;
  soul.late_ms = now.unix_ms - saved_ms;
  return soul;
}

}  // namespace blixard::vm_sim
