#pragma once

// `blixard config`: what needs no daemon, and how its answers are shown.

#include <boost/json/value.hpp>

#include "app/cli.h"

namespace blixard::app {

// Return the exit code.
int check_configuration(const ConfigCheck& check, OutputFormat output);
int show_configuration(const ConfigShow& show, OutputFormat output);

// The answers of /v1/config and /v1/config/reload, for people.
std::string configuration_table(const boost::json::value& configuration);
std::string reload_text(const boost::json::value& reload);

}  // namespace blixard::app
