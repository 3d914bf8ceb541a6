#include "app/state_file.h"

#include <fmt/format.h>

#include "core/wire/checksum.h"

namespace blixard::app {
namespace {

constexpr std::string_view kMark = "blixard-state 1 ";

std::unexpected<Error> invalid(std::string detail) {
  return fail(Code::kDataLoss, "state_file_invalid", std::move(detail));
}

}  // namespace

std::string state_file_text(std::string_view encoded) {
  return fmt::format("{}{} {}\n{}", kMark, encoded.size(), wire::hash128_hex(encoded), encoded);
}

Result<cluster::State> read_state_file(std::string_view text) {
  const auto end = text.find('\n');
  if (!text.starts_with(kMark) || end == std::string_view::npos) {
    return invalid("this is no file that blixard plan --save-state wrote");
  }
  const std::string_view head = text.substr(0, end + 1);
  const std::string_view encoded = text.substr(end + 1);
  if (head != fmt::format("{}{} {}\n", kMark, encoded.size(), wire::hash128_hex(encoded))) {
    return invalid("the file is damaged or not whole: save the state again");
  }
  auto state = cluster::State::decode(encoded);
  if (!state && state.error().code() == Code::kDataLoss) {
    return invalid("the state in the file is not valid: " + std::string(state.error().detail()));
  }
  return state;
}

}  // namespace blixard::app
