#include "app/cli.h"

#include <functional>

#include <CLI/CLI.hpp>

#include "app/cli_placement.h"
#include "app/cli_vm.h"
#include "app/commands.h"
#include "app/completion.h"
#include "app/telemetry_text.h"
#include "app/version.h"

namespace blixard::app {
namespace {

constexpr const char* kFooter = R"(Examples:
  blixard node --data ./data --bootstrap           begin a cluster; runs in the foreground
  blixard token create                             let one more machine join it
  blixard image build                              build the small guest image and import it
  blixard vm create web --image guest --publish 8080:80 --wait
  blixard vm list --output json
  blixard doctor                                   what this machine can do)";

// Builds the parser; what the user chose ends up in `command`.
class CommandLine {
 public:
  CommandLine() {
    app_.name("blixard");
    app_.set_version_flag("--version", std::string(kVersion));
    app_.footer(kFooter);
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.get_formatter()->column_width(34);
    command_.connection.socket = default_data_directory() + "/api.sock";
    app_.add_option("--socket", command_.connection.socket, "The daemon's unix socket")
        ->envname("BLIXARD_SOCKET");
    app_.add_option("--address", command_.connection.address,
                    "The daemon's address (127.0.0.1:7480) instead of the socket")
        ->envname("BLIXARD_ADDRESS");
    app_.add_option("--token-file", command_.connection.token_file,
                    "File with the bearer token for --address")
        ->envname("BLIXARD_TOKEN_FILE");
    app_.add_option("--output,-o", output_, "Form of what is printed")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    app_.add_flag("--verbose", command_.verbose, "Say the id of the trace of what was asked for");
    add_node();
    add_vm();
    add_image();
    add_template();
    add_token();
    add_trace();
    add_config();
    add_failpoint();
    add_others();
    placement_.add_to_program(app_);
  }

  CLI::App& app() { return app_; }
  Command& command() { return command_; }

 private:
  CLI::App* add(CLI::App& parent, const char* name, const char* what, Action action) {
    CLI::App* sub = parent.add_subcommand(name, what);
    sub->callback([this, action] {
      if (!chosen_) command_.action = action;
      chosen_ = true;
    });
    return sub;
  }

  CLI::App* add_chosen(CLI::App& parent, const char* name, const char* what,
                       std::function<Action()> chosen) {
    CLI::App* sub = parent.add_subcommand(name, what);
    sub->callback([this, chosen = std::move(chosen)] {
      if (!chosen_) command_.action = chosen();
      chosen_ = true;
    });
    return sub;
  }

  // The action's fields are bound to a member; the callback copies it once parsed.
  template <class T>
  CLI::App* add_bound(CLI::App& parent, const char* name, const char* what, T& action) {
    CLI::App* sub = parent.add_subcommand(name, what);
    sub->callback([this, &action] {
      if (!chosen_) command_.action = action;
      chosen_ = true;
    });
    return sub;
  }

  void add_wait(CLI::App* sub, const char* what) {
    sub->add_flag("--wait", command_.wait, what);
    sub->add_option("--timeout", command_.wait_timeout, "How long to wait, as in 90s or 5m")
        ->capture_default_str();
  }

  void add_node() {
    CLI::App* node = add_bound(app_, "node", "Run a node, or list the cluster's nodes", node_);
    node->require_subcommand(0, 1);
    node->add_option("--config", node_.config_file,
                     "Configuration file; options come before what it says (blixard config)");
    Configuration defaults;
    defaults.data_directory = default_data_directory();
    node_values_.resize(keys().size());
    for (std::size_t i = 0; i < keys().size(); ++i) {
      if (!keys()[i].flag.empty()) node_flags_.emplace_back(i, add_key(*node, i, defaults));
    }
    node->footer(
        "Examples:\n  blixard node --data ./data --bootstrap\n"
        "  blixard node --data ./data --bootstrap --peer-listen 0.0.0.0:7481 --advertise "
        "192.0.2.7:7481\n"
        "  blixard node --data ./data --join blx1.TOKEN@192.0.2.7:7481 --peer-listen 0.0.0.0:7481 "
        "--advertise 192.0.2.8:7481\n"
        "  blixard node list\n  blixard node remove n3");
    node->add_flag("--allow-failpoints", node_.allow_failpoints,
                   "Let failpoints be armed over the API, in a build that has them: for tests, "
                   "never where VMs matter");
    add(*node, "list", "List the nodes of the cluster", ListCommand{ListCommand::What::kNodes});
    add_node_actions(*node);
    placement_.add_to_node(*node);
  }

  CLI::Option* add_key(CLI::App& node, std::size_t index, const Configuration& defaults) {
    const Key& key = keys()[index];
    const std::string flag(key.flag);
    const std::string help(key.help);
    if (std::holds_alternative<ToggleKey>(key.kind)) {
      return node.add_flag(flag, node_values_[index], help);
    }
    const auto check = [&key](const std::string& text) {
      Configuration scratch;
      const auto done = set_from_text(key, text, scratch);
      return done ? std::string() : std::string(done.error().detail());
    };
    CLI::Option* option = node.add_option(flag, node_values_[index], help);
    option->check(CLI::Validator(check, "", ""));
    if (const std::string text = value_text(key, defaults); text != "\"\"") {
      option->default_str(text.starts_with('"') ? text.substr(1, text.size() - 2) : text);
    }
    return option;
  }

  // What was given of the node's keys, also by the environment.
  void take_given() {
    for (const auto& [index, option] : node_flags_) {
      const Key& key = keys()[index];
      if (option->count() > 0) {
        node_.given.push_back({index, Origin::Kind::kOption, node_values_[index]});
      } else if (!key.environment.empty()) {
        const char* value = std::getenv(std::string(key.environment).c_str());
        if (value != nullptr) node_.given.push_back({index, Origin::Kind::kEnvironment, value});
      }
    }
  }

  void add_config() {
    CLI::App* config = app_.add_subcommand("config", "Check, show and reload the configuration");
    config->require_subcommand(1);
    CLI::App* check =
        add_bound(*config, "check", "Say what is wrong with a configuration file", config_check_);
    check->add_option("file", config_check_.path, "The file")->required();
    CLI::App* show = add_bound(*config, "show", "Show every key, its value and where it comes from",
                               config_show_);
    show->add_option(
        "file", config_show_.path,
        "What a daemon started with this file would have; default: what the daemon has");
    add(*config, "reload", "Have the daemon read its file again, and say what changed",
        ConfigReload{});
    add(*config, "example", "Print a file with every key, commented out", ConfigExample{});
    config->footer(
        "Examples:\n  blixard config check /etc/blixard/blixard.toml\n  blixard config show\n"
        "  blixard config reload");
  }

  void add_node_actions(CLI::App& node) {
    using Kind = NodeAction::Kind;
    const auto add_action = [&](const char* name, const char* what, NodeAction& action, Kind kind) {
      action.kind = kind;
      return add_bound(node, name, what, action);
    };
    CLI::App* remove = add_action("remove", "Remove a node, also the one that is asked",
                                  remove_node_, Kind::kRemove);
    remove->add_option("node", remove_node_.name, "Name of the node")->required();
    remove->add_flag("--force", remove_node_.force,
                     "Although VMs are on it: its machine is off for good, start them elsewhere");
    remove->footer("Examples:\n  blixard node remove n3\n  blixard node remove n3 --force");
    CLI::App* promote =
        add_action("promote", "Make a server a voter now; the leader does so by itself", promote_,
                   Kind::kPromote);
    promote->add_option("node", promote_.name, "Name of the node")->required();
    CLI::App* transfer = add_action("transfer-leader", "Give the lead to another voter", transfer_,
                                    Kind::kTransferLeader);
    transfer->add_option("node", transfer_.name, "Name of the voter; default: the leader chooses");
    add_action("rotate-certificate", "Give the node that is asked a new key and certificate",
               rotate_, Kind::kRotateCertificate);
  }

  void add_token() {
    CLI::App* token = app_.add_subcommand("token", "Make, list and revoke tokens to join with");
    token->require_subcommand(1);
    CLI::App* create =
        add_bound(*token, "create", "Print a token that one machine can join with", token_create_);
    create->add_option("--role", token_create_.role, "server or worker (runs VMs only)")
        ->check(CLI::IsMember({"server", "worker"}))
        ->capture_default_str();
    create->add_option("--expires", token_create_.expires, "How long it can be used, as in 30m")
        ->check(checked_by(parse_seconds, "TIME"))
        ->capture_default_str();
    create->footer(
        "Examples:\n  blixard token create\n  blixard token create --role worker --expires 15m\n"
        "Then, on the new machine:\n  blixard node --join TOKEN@HOST:PORT");
    add(*token, "list", "List the tokens", ListCommand{ListCommand::What::kTokens});
    CLI::App* revoke = add_bound(*token, "revoke", "Make a token useless", token_revoke_);
    revoke->add_option("id", token_revoke_.id, "Id of the token (blixard token list)")->required();
  }

  void add_vm() {
    CLI::App* vm = app_.add_subcommand("vm", "Create, start, stop, save, delete and look at VMs");
    vm->require_subcommand(1);
    CLI::App* create = add_bound(*vm, "create", "Create a VM and start it", create_);
    create->add_option("name", create_.name, "Name: a-z, 0-9 and -, at most 63")->required();
    create->add_option("--image", create_.image, "Name of an image (blixard image list)")
        ->required();
    create->add_option("--vcpus", create_.vcpus, "Virtual CPUs")->capture_default_str();
    create->add_option("--memory", memory_, "Memory, as in 128MiB or 2GiB")
        ->check(checked_by(parse_memory_mib, "SIZE"))
        ->capture_default_str();
    create
        ->add_option("--publish,-p", publish_,
                     "HOST:GUEST, a TCP port of this node's loopback that leads to the guest's; "
                     "only GUEST: the node chooses")
        ->check(checked_by(parse_publish, "PORTS"));
    create->add_option("--restart", create_.restart, "never, on-failure or always")
        ->check(CLI::IsMember({"never", "on-failure", "always"}))
        ->capture_default_str();
    create
        ->add_option("--stop-grace", create_.stop_grace_seconds,
                     "Seconds the guest gets to shut down by itself")
        ->capture_default_str();
    placement_.add_to_create(*create);
    create->add_flag("--no-start", create_stopped_, "Create it stopped");
    add_wait(create, "Wait until it runs");
    create->footer(
        "Examples:\n  blixard vm create web --image guest --publish 8080:80 --wait\n"
        "  blixard vm create job --image guest --memory 256MiB --restart never\n"
        "  blixard vm create db-1 --image guest --group db --constraint label.disk=ssd "
        "--priority 800");
    words_.add_to_vm(*vm);
    placement_.add_to_vm(*vm);
    add(*vm, "list", "List the VMs", ListCommand{ListCommand::What::kVms});
    CLI::App* logs = add_bound(*vm, "logs", "Print a VM's console", logs_);
    logs->add_option("name", logs_.name, "Name of the VM")->required();
    logs->add_option("--tail", logs_.tail_bytes, "At most so many bytes, the newest")
        ->check(CLI::Range(1U, 1U << 20))
        ->capture_default_str();
  }

  void add_image() {
    CLI::App* image = app_.add_subcommand("image", "Build, import, list and delete images");
    image->require_subcommand(1);
    CLI::App* build = add_bound(
        *image, "build", "Build the small guest image from Debian packages and import it", build_);
    build->add_option("--name", build_.name, "Name of the image")->capture_default_str();
    build->add_option("--directory", build_.output_directory, "Keep the built files here");
    build->add_option("--cache", build_.cache_directory, "Keep downloaded packages here");
    build->add_flag("--no-import", build_only_, "Only build, into --directory");
    CLI::App* import = add_bound(*image, "import", "Import a built image", import_);
    import->add_option("path", import_.path, "Directory with image.json")->required();
    import->add_option("--name", import_.name, "Name of the image; default: the one in it");
    CLI::App* remove = add_bound(*image, "delete", "Delete an image no VM uses", remove_);
    remove->add_option("name", remove_.name, "Name of the image")->required();
    add(*image, "list", "List the images", ListCommand{ListCommand::What::kImages});
  }

  void add_template() {
    CLI::App* kept = app_.add_subcommand(
        "template",
        "List, make and delete the saved guests of a node, from which VMs start quickly");
    kept->require_subcommand(1);
    add(*kept, "list", "List them", TemplateCommand{});
    template_create_.what = ListOrChange::kSet;
    CLI::App* create =
        add_bound(*kept, "create", "Make one before a VM needs it", template_create_);
    create->add_option("image", template_create_.image, "Name of an image (blixard image list)")
        ->required();
    create->add_option("--vcpus", template_create_.vcpus, "Virtual CPUs")->capture_default_str();
    create->add_option("--memory", template_create_.memory, "Memory, as in 128MiB or 2GiB")
        ->check(checked_by(parse_memory_mib, "SIZE"))
        ->capture_default_str();
    template_delete_.what = ListOrChange::kDelete;
    CLI::App* remove =
        add_bound(*kept, "delete", "Delete one that no VM runs from", template_delete_);
    remove->add_option("key", template_delete_.key, "Its key, or how it begins")->required();
    kept->footer(
        "Each node makes them by itself, after the first boot of an image and size.\n\n"
        "Examples:\n  blixard template list\n"
        "  blixard template create guest --memory 256MiB");
  }

  void add_trace() {
    CLI::App* trace =
        app_.add_subcommand("trace", "Look at what was done for a request, and where");
    trace->require_subcommand(1);
    add(*trace, "list", "List the newest traces that the node that is asked knows", TraceList{});
    CLI::App* show = add_bound(*trace, "show", "Show a trace, with the spans of all nodes", trace_);
    show->add_option("id", trace_.id, "Id of the trace; -: OTLP/JSON from standard input")
        ->required();
    show->add_option("--html", trace_.html_path, "Draw it into this file, for a browser");
    trace->footer(
        "Examples:\n  blixard --verbose vm create web --image guest --wait\n"
        "  blixard trace show 4bf92f3577b34da6a3ce929d0e0e4736 --html web.html");
  }

  void add_telemetry() {
    using What = TelemetryCommand::What;
    CLI::App* telemetry = app_.add_subcommand(
        "telemetry", "Print what is made of the declarations of the metrics of this program");
    telemetry->require_subcommand(1);
    add(*telemetry, "metrics", "Print a page that explains each metric, as Markdown",
        TelemetryCommand{What::kMetrics});
    add(*telemetry, "dashboard", "Print a dashboard for Grafana, as JSON",
        TelemetryCommand{What::kDashboard});
    add(*telemetry, "alerts", "Print alert rules for Prometheus, as YAML",
        TelemetryCommand{What::kAlerts});
    telemetry->footer("Example:\n  blixard telemetry alerts > /etc/prometheus/blixard_alerts.yml");
  }

  void add_failpoint() {
    using Kind = FailpointAction::Kind;
    CLI::App* failpoint = app_.add_subcommand(
        "failpoint", "Make chosen faults happen in a daemon that allows it (for tests)");
    failpoint->require_subcommand(1);
    add(*failpoint, "list", "List the failpoints", FailpointAction{});
    set_failpoint_.kind = Kind::kSet;
    CLI::App* set = add_bound(*failpoint, "set", "Arm one, in place of what it was told before",
                              set_failpoint_);
    set->add_option("name", set_failpoint_.name, "Its name (blixard failpoint list)")->required();
    set->add_option("actions", set_failpoint_.actions, "What it does, as in 3*error->off")
        ->required();
    set->add_option("--seed", set_failpoint_.seed, "Of the chance in percentages")
        ->capture_default_str();
    set->footer(
        "Examples:\n  blixard failpoint set storage::sync_to_disk '1*error'\n"
        "  blixard failpoint set vm::start '20%delay(2s)->5%error'\n"
        "  blixard failpoint set raft::heartbeat '50%trigger' --seed 7");
    clear_failpoint_.kind = Kind::kClear;
    CLI::App* clear =
        add_bound(*failpoint, "clear", "Disarm one; what pauses there goes on", clear_failpoint_);
    clear->add_option("name", clear_failpoint_.name, "Its name")->required();
  }

  void add_others() {
    add_telemetry();
    add(app_, "status", "Show the cluster at a glance", StatusCommand{});
    add(app_, "events", "Print changes as they happen, until Ctrl-C", EventsCommand{});
    CLI::App* doctor = add_bound(app_, "doctor", "Say what this machine can do", doctor_);
    doctor_.data_directory = default_data_directory();
    doctor->add_option("--data", doctor_.data_directory, "Directory whose disk is measured")
        ->capture_default_str();
    CLI::App* completion =
        add_bound(app_, "completion", "Print the completion script of a shell", completion_);
    completion->add_option("shell", completion_.shell, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  }

 public:
  Result<void> finish() {
    if (output_ == "json") command_.output = OutputFormat::kJson;
    if (std::holds_alternative<NodeOptions>(command_.action)) {
      take_given();
      command_.action = node_;
    }
    if (auto* create = std::get_if<VmCreate>(&command_.action)) {
      create->start = !create_stopped_;
      BLX_TRY(create->wishes, placement_.wishes());
      BLX_TRY(create->memory_mib, parse_memory_mib(memory_));
      for (const std::string& text : publish_) {
        BLX_TRY(const Publish publish, parse_publish(text));
        create->publish.push_back(publish);
      }
    }
    if (auto* build = std::get_if<ImageBuild>(&command_.action)) build->import_after = !build_only_;
    return {};
  }

 private:
  CLI::App app_{"microVMs across machines as if they were one machine"};
  Command command_;
  bool chosen_ = false;
  std::string output_ = "table";
  NodeOptions node_;
  std::vector<std::string> node_values_;                          // by key
  std::vector<std::pair<std::size_t, CLI::Option*>> node_flags_;  // by key
  ConfigCheck config_check_;
  ConfigShow config_show_;
  VmCreate create_;
  std::string memory_ = "128MiB";
  bool create_stopped_ = false;
  bool build_only_ = false;
  std::vector<std::string> publish_;
  VmLogs logs_;
  ImageBuild build_;
  ImageImport import_;
  ImageDelete remove_;
  TemplateCommand template_create_, template_delete_;
  NodeAction remove_node_, promote_, transfer_, rotate_;
  TokenCreate token_create_;
  TokenRevoke token_revoke_;
  FailpointAction set_failpoint_, clear_failpoint_;
  DoctorCommand doctor_;
  CompletionCommand completion_;
  TraceShow trace_;
  PlacementWords::Add add_word_ = [this](CLI::App& parent, const char* name, const char* what,
                                         std::function<Action()> chosen) {
    return add_chosen(parent, name, what, std::move(chosen));
  };
  PlacementWords placement_{add_word_};
  VmWords words_{add_word_, [this](CLI::App* sub, const char* what) { add_wait(sub, what); }};
};

// The tree of names and options, for completion scripts.
CompletionNode completion_tree(const CLI::App& app) {
  CompletionNode node{.name = app.get_name(), .description = app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      node.options.push_back({"--" + name, option->get_description()});
    }
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    node.children.push_back(completion_tree(*sub));
  }
  return node;
}

std::string text_of(TelemetryCommand::What what) {
  switch (what) {
    case TelemetryCommand::What::kMetrics:
      return metrics_markdown();
    case TelemetryCommand::What::kDashboard:
      return dashboard_json();
    case TelemetryCommand::What::kAlerts:
      return alerts_yaml();
  }
  return "";
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CommandLine line;
  try {
    line.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = line.app().exit(error);
    return code == 0 ? kExitDone : kExitUsage;
  }
  if (const auto finished = line.finish(); !finished) {
    std::fprintf(stderr, "blixard: %s\n", finished.error().message().c_str());
    return kExitUsage;
  }
  if (const auto* completion = std::get_if<CompletionCommand>(&line.command().action)) {
    std::fputs(completion_script(completion_tree(line.app()), completion->shell).c_str(), stdout);
    return kExitDone;
  }
  if (const auto* telemetry = std::get_if<TelemetryCommand>(&line.command().action)) {
    std::fputs(text_of(telemetry->what).c_str(), stdout);
    return kExitDone;
  }
  return carry_out(line.command());
}

}  // namespace blixard::app
