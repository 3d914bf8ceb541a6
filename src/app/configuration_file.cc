// The file of a configuration: its text into values, and the table of keys into texts for people.

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include <fmt/format.h>

#include "app/cli.h"
#include "app/configuration.h"
#include "app/output.h"
#include "base/edit_distance.h"
#include "base/limits.h"
#include "toml_text/library.h"
#include "toml_text/lines.h"

namespace blixard::app {
namespace {

constexpr std::size_t kFaultsMost = 20;  // told at once
constexpr std::size_t kNearest = 3;      // changes of letters from what was meant
constexpr std::size_t kColumns = 96;     // of the example file
// As the package has it; a daemon of another user has another default.
constexpr std::string_view kPackagedData = "/var/lib/blixard";

struct Fault {
  std::uint64_t line = 0;
  std::string text;
};

std::string nearest(std::string_view name) {
  std::string_view best;
  std::size_t least = kNearest + 1;
  for (const Key& key : keys()) {
    // Also the right word in the wrong table.
    const std::size_t last = name.rfind('.') + 1;
    const bool same_word = last > 0 && key.name.ends_with(name.substr(last - 1));
    const std::size_t away = same_word ? 1 : edit_distance(name, key.name);
    if (away < least) {
      least = away;
      best = key.name;
    }
  }
  return best.empty() ? "a key of docs/configuration.md" : std::string(best);
}

class Reading {
 public:
  Reading(const ConfigurationFile& file, Effective& effective)
      : file_(file), effective_(effective) {}

  Result<void> read() {
    if (file_.text.size() > limits::kConfigurationBytes) {
      add(1, "the file is too large", fmt::format("at most {} bytes", limits::kConfigurationBytes));
    } else if (const auto refused = toml_text::check_lines(file_.text)) {
      add(refused->line, refused->what, refused->instead);
    } else {
      try {
        walk(toml::parse(file_.text), "");
      } catch (const toml::parse_error& error) {
        add(error.source().begin.line, error.description(), "TOML");
      } catch (const toml_text::LibraryMistaken&) {
        add(1, "not TOML, here or below", "TOML");
      }
    }
    if (faults_.empty()) return {};
    std::ranges::sort(faults_, {}, [](const Fault& fault) {
      return std::pair<std::uint64_t, std::string_view>(fault.line, fault.text);
    });
    std::string text;
    for (const Fault& fault : faults_)
      text +=
          fmt::format("{}{}:{}: {}", text.empty() ? "" : "\n", file_.path, fault.line, fault.text);
    return fail(Code::kInvalidArgument, "configuration_invalid", std::move(text));
  }

 private:
  void add(std::uint64_t line, std::string_view what, std::string_view instead) {
    if (faults_.size() < kFaultsMost) {
      faults_.push_back({line, printable(fmt::format("{}; instead: {}", what, instead))});
    }
  }

  void walk(const toml::table& table, const std::string& prefix) {
    for (const auto& [name, node] : table) {
      const std::string full =
          prefix + std::string(name.str().substr(0, limits::kConfigurationKeyBytes));
      const auto found = std::ranges::find(keys(), full, &Key::name);
      if (found != keys().end()) {
        set(static_cast<std::size_t>(found - keys().begin()), node);
      } else if (const toml::table* below = node.as_table(); below != nullptr && is_table(full)) {
        walk(*below, full + ".");
      } else {
        add(node.source().begin.line,
            fmt::format("unknown {} {}", node.is_table() ? "table" : "key", full), nearest(full));
      }
    }
  }

  static bool is_table(const std::string& name) {
    return std::ranges::any_of(keys(),
                               [&](const Key& key) { return key.name.starts_with(name + "."); });
  }

  void set(std::size_t index, const toml::node& node) {
    const Key& key = keys()[index];
    const std::uint64_t line = node.source().begin.line;
    const std::optional<std::string> text = text_of(key, node);
    if (!text) {
      add(line, fmt::format("{} is of the wrong type", key.name), range_text(key));
      return;
    }
    if (const auto done = set_from_text(key, *text, effective_.values); !done) {
      add(line, fmt::format("{} is refused: {}", key.name, done.error().detail()), range_text(key));
      return;
    }
    effective_.origins[index] = {.kind = Origin::Kind::kFile, .line = line};
  }

  // As an option would give it; none: of another type than the key's.
  static std::optional<std::string> text_of(const Key& key, const toml::node& node) {
    if (std::holds_alternative<TextKey>(key.kind) || std::holds_alternative<ChoiceKey>(key.kind)) {
      if (const auto* text = node.as_string()) return text->get();
    } else if (std::holds_alternative<ToggleKey>(key.kind)) {
      if (const auto* toggle = node.as_boolean()) return toggle->get() ? "true" : "false";
    } else if (const auto* number = node.as_integer()) {
      return fmt::format("{}", number->get());
    } else if (const auto* real = node.as_floating_point();
               real != nullptr && std::holds_alternative<RatioKey>(key.kind)) {
      return fmt::format("{}", real->get());
    }
    return {};
  }

  const ConfigurationFile& file_;
  Effective& effective_;
  std::vector<Fault> faults_;
};

// "# " before each line of a text that is broken where it is too long.
std::string commented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::size_t length = text.size();
    if (length > kColumns) {
      length = text.rfind(' ', kColumns);
      if (length == std::string_view::npos) length = text.size();
    }
    out.append("# ").append(text.substr(0, length)).append("\n");
    text.remove_prefix(std::min(text.size(), length + 1));
  }
  return out;
}

// As the package has it.
std::string default_text(const Key& key) {
  Configuration packaged;
  packaged.data_directory = kPackagedData;
  return value_text(key, packaged);
}

}  // namespace

Result<Effective> configure(const std::optional<ConfigurationFile>& file,
                            std::span<const Given> given) {
  Effective effective{.values = {}, .origins = std::vector<Origin>(keys().size())};
  effective.values.data_directory = default_data_directory();
  if (file) BLX_TRY(Reading(*file, effective).read());
  for (const auto from : {Origin::Kind::kEnvironment, Origin::Kind::kOption}) {
    for (const Given& each : given) {
      if (each.from != from) continue;
      const Key& key = keys()[each.key];
      const Origin origin{.kind = from};
      if (const auto done = set_from_text(key, each.text, effective.values); !done) {
        return fail(Code::kInvalidArgument, "configuration_invalid",
                    fmt::format("{}: {}", origin_text(key, origin, ""), done.error().detail()));
      }
      effective.origins[each.key] = origin;
    }
  }
  return effective;
}

Result<ConfigurationFile> read_configuration_file(const std::string& path) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) != 0) {
    return fail(errno == ENOENT ? Code::kNotFound : Code::kUnavailable, "configuration_unreadable",
                path + ": " + std::strerror(errno));
  }
  // A pipe could keep us waiting for ever.
  if (!S_ISREG(facts.st_mode)) {
    return fail(Code::kInvalidArgument, "configuration_invalid", path + " is not a file");
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text(limits::kConfigurationBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (stream.bad() || !stream.is_open()) {
    return fail(Code::kUnavailable, "configuration_unreadable", path + " cannot be read");
  }
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return ConfigurationFile{.path = path, .text = std::move(text)};
}

std::string example_file() {
  std::string out =
      "# How the node of this machine runs: blixard node --config /etc/blixard/blixard.toml\n"
      "#\n"
      "# Every key is here, with its default or an example. Options of the command line come "
      "first.\n"
      "# After a change: systemctl reload blixard, or blixard config reload, which says what took\n"
      "# effect and what needs a restart. Before it: blixard config check FILE\n";
  std::string_view table;
  for (const Key& key : keys()) {
    const std::string_view its = key.name.substr(0, key.name.find('.'));
    if (its != table) out += fmt::format("\n[{}]\n", table = its);
    out += "\n" + commented(key.help);
    out += commented(fmt::format("Value: {}.{}", range_text(key),
                                 key.at_run_time ? " May change while the node runs." : ""));
    out += fmt::format("#{} = {}\n", key.name.substr(its.size() + 1),
                       key.example.empty() ? default_text(key) : std::string(key.example));
  }
  return out;
}

std::string key_table() {
  std::string out =
      "| key | option | default | values | at run time | what it is |\n|---|---|---|---|---|---|\n";
  for (const Key& key : keys()) {
    std::string option = key.flag.empty() ? "" : fmt::format("`{}`", key.flag);
    if (!key.environment.empty()) option += fmt::format(", `{}`", key.environment);
    out += fmt::format("| `{}` | {} | `{}` | {} | {} | {} |\n", key.name, option, default_text(key),
                       range_text(key), key.at_run_time ? "yes" : "no", key.help);
  }
  return out;
}

}  // namespace blixard::app
