#include "app/config_commands.h"

#include <cstdio>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "app/output.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

Result<Effective> effective_of(const std::string& path) {
  BLX_TRY(const ConfigurationFile file, read_configuration_file(path));
  return configure(file, {});
}

// A line for each fault.
int refuse(const Error& error, OutputFormat output) {
  if (output == OutputFormat::kJson) {
    fmt::print("{}", pretty(json::object{{"ok", false}, {"faults", error.detail()}}));
  } else {
    fmt::print(stderr, "{}\n", printable(error.detail()));
  }
  return kExitFailed;
}

// As the daemon's answer.
json::value document_of(const Effective& effective, const std::string& path) {
  json::array values;
  for (std::size_t i = 0; i < keys().size(); ++i) {
    const Key& key = keys()[i];
    values.push_back(json::object{{"key", key.name},
                                  {"value", shown_value(key, effective.values)},
                                  {"source", origin_text(key, effective.origins[i], path)},
                                  {"at_run_time", key.at_run_time},
                                  {"waiting", ""}});
  }
  return json::object{{"values", std::move(values)}};
}

}  // namespace

int check_configuration(const ConfigCheck& check, OutputFormat output) {
  const auto effective = effective_of(check.path);
  if (!effective) return refuse(effective.error(), output);
  if (output == OutputFormat::kJson) {
    fmt::print("{}", pretty(json::object{{"ok", true}}));
  } else {
    fmt::print("{}: ok\n", check.path);
  }
  return kExitDone;
}

int show_configuration(const ConfigShow& show, OutputFormat output) {
  const auto effective = effective_of(show.path);
  if (!effective) return refuse(effective.error(), output);
  const json::value document = document_of(*effective, show.path);
  fmt::print("{}",
             output == OutputFormat::kJson ? pretty(document) : configuration_table(document));
  return kExitDone;
}

std::string configuration_table(const json::value& configuration) {
  Table table({"KEY", "VALUE", "FROM", "AFTER A RESTART"});
  for (const json::value& value : items_of(configuration, "values")) {
    table.add({text_of(value, "key"), text_of(value, "value"), text_of(value, "source"),
               text_of(value, "waiting")});
  }
  return printable(table.text());
}

std::string reload_text(const json::value& reload) {
  std::string text;
  for (const json::value& key : items_of(reload, "changed"))
    text += fmt::format("changed: {}\n", std::string_view(key.as_string()));
  for (const json::value& key : items_of(reload, "needs_restart"))
    text += fmt::format("needs a restart: {}\n", std::string_view(key.as_string()));
  return text.empty() ? "nothing changes\n" : printable(text);
}

}  // namespace blixard::app
