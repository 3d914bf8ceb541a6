#pragma once

// What a daemon is told: one table of keys, from which the file is parsed, the options of
// `blixard node` are made, and the example file and docs/configuration.md are written, so that none
// of them can lag behind another.
//
// A value comes from the key's default, over it from the file, over it from the environment, over
// it from an option. The file is TOML, strict: a key that is not in the table, a value of another
// type and one out of range are errors with their line, and all of them are told at once.
//
// Most keys hold from the start of a daemon to its end. Those that may change at run time end up in
// env::Settings, which a running daemon publishes anew when it reads the file again (reloader.h).

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "env/settings.h"

namespace blixard::app {

struct Configuration {
  std::string data_directory;
  std::string name;
  std::string accelerator = "auto";
  std::string hypervisor = "qemu";
  std::uint64_t simulated_boot_ms = 50;
  std::uint64_t simulated_vcpus = 4096;
  bool stop_guests_on_exit = false;
  std::uint64_t templates_mib = 4096;
  std::uint64_t standbys = 4;

  // What placement is told of this node; as placement_values.h reads it.
  std::string datacenter;
  std::string zone;
  std::string rack;
  std::string labels;
  std::string disk;
  std::uint64_t network_mbit = 0;
  std::string devices;
  std::string counters;
  std::string cost_per_hour;

  bool bootstrap = false;
  std::string join;
  std::string peer_listen = "127.0.0.1:7481";
  std::string advertise;
  std::uint64_t snapshot_entries = 100'000;

  std::string listen = "127.0.0.1:7480";
  std::uint64_t connections_max = limits::kHttpConnections;
  std::uint64_t event_streams_max = limits::kEventStreams;
  std::uint64_t console_tail_bytes_max = limits::kLogTailBytes;

  std::string log_level = "info";

  std::string otlp_endpoint;
  double trace_sample_ratio = 0;
  bool count_allocations = true;
};

// What of it may change at run time.
env::Settings settings_of(const Configuration& configuration);

struct TextKey {
  std::string& (*at)(Configuration&);
  Result<void> (*check)(std::string_view text);
};
struct ChoiceKey {
  std::string& (*at)(Configuration&);
  std::vector<std::string_view> choices;
};
struct CountKey {
  std::uint64_t& (*at)(Configuration&);
  std::uint64_t least;
  std::uint64_t most;
};
struct RatioKey {  // from 0 to 1
  double& (*at)(Configuration&);
};
struct ToggleKey {
  bool& (*at)(Configuration&);
};

struct Key {
  std::string_view name;         // "api.listen": a table of the file, and a key in it
  std::string_view flag;         // "--listen"; empty: none
  std::string_view environment;  // empty: none
  std::string_view help;         // what it is, one sentence or two
  std::string_view example;      // of a value, for the example file; empty: the default
  bool at_run_time = false;
  bool secret = false;  // never shown
  std::variant<TextKey, ChoiceKey, CountKey, RatioKey, ToggleKey> kind;
};

// In the order of the example file: by table.
std::span<const Key> keys();

// As it stands in a file: quoted text, a number, true or false. `hidden`: not that of a secret.
std::string value_text(const Key& key, const Configuration& configuration);
std::string shown_value(const Key& key, const Configuration& configuration);
// "a text", "from 1 to 4096", "auto, kvm or tcg".
std::string range_text(const Key& key);

// Reads a value as options and the environment give it. Errors: kInvalidArgument
// "configuration_invalid".
Result<void> set_from_text(const Key& key, std::string_view text, Configuration& configuration);

void copy_value(const Key& key, const Configuration& from, Configuration& to);

struct Origin {
  enum class Kind : std::uint8_t { kDefault, kFile, kEnvironment, kOption };
  Kind kind = Kind::kDefault;
  std::uint64_t line = 0;  // of the file
  friend bool operator==(const Origin&, const Origin&) = default;
};

// Values with where each came from, in the order of keys().
struct Effective {
  Configuration values;
  std::vector<Origin> origins;
};

// A value from an option or the environment.
struct Given {
  std::size_t key = 0;  // in keys()
  Origin::Kind from = Origin::Kind::kOption;
  std::string text;
};

struct ConfigurationFile {
  std::string path;  // for errors only
  std::string text;
};

// Errors: kInvalidArgument "configuration_invalid", whose detail has a line for each fault:
// "PATH:LINE: what is wrong; instead: what to write".
Result<Effective> configure(const std::optional<ConfigurationFile>& file,
                            std::span<const Given> given);

// Errors: kNotFound or kUnavailable "configuration_unreadable"; kInvalidArgument
// "configuration_invalid" of one that is no file, or too large.
Result<ConfigurationFile> read_configuration_file(const std::string& path);

// "default", "/etc/blixard/blixard.toml:12", "BLIXARD_JOIN", "--listen".
std::string origin_text(const Key& key, const Origin& origin, std::string_view path);

// Keys whose values differ, in the order of keys().
std::vector<std::size_t> differing(const Configuration& a, const Configuration& b);

// Every key with its default, commented out.
std::string example_file();
// The table of docs/configuration.md.
std::string key_table();

}  // namespace blixard::app
