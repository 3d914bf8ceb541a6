#include "app/vopr/command_line.h"

#include <array>
#include <charconv>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "app/version.h"

namespace blixard::app {
namespace {

constexpr const char* kCheckFooter =
    R"(Exit codes: 0 all are linearizable, 1 one is not, 2 bad input, 3 the time was up.
Examples:
  blixard-vopr check --model vm --format blixard-json clients.jsonl
  blixard-vopr check --model cas-register --format porcupine-etcd etcd_*.log
  blixard-vopr check --model kv --format porcupine-kv --html why.html history.txt
  blixard-vopr check --model cas-register --format jepsen-edn --output json history.edn)";

template <class Names>
std::vector<std::string> words(const Names& names) {
  return {names.begin(), names.end()};
}

class CommandLine {
 public:
  CommandLine() {
    app_.name("blixard-vopr");
    app_.set_version_flag("--version", std::string(kVersion));
    app_.require_subcommand(1);
    app_.get_formatter()->column_width(34);
    CLI::App* check =
        app_.add_subcommand("check", "Say of recorded histories whether they are linearizable");
    check->add_option("--model", model_, "What the clients used")
        ->required()
        ->check(CLI::IsMember(words(linearizability::kModelNames)));
    check->add_option("--format", format_, "How the files are written")
        ->required()
        ->check(CLI::IsMember(words(linearizability::kFormatNames)));
    check->add_option("--time-limit", time_limit_, "For each file, as in 500ms, 10s or 2m")
        ->check(CLI::Validator(
            [](const std::string& text) {
              const auto parsed = parse_time_limit(text);
              return parsed ? std::string() : std::string(parsed.error().detail());
            },
            "TIME", "TIME"))
        ->capture_default_str();
    check->add_option("--html", check_.html,
                      "Write a picture here: of the first file that is not ok, else of the first");
    check->add_option("--output,-o", output_, "Form of what is printed")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    check->add_option("files", check_.files, "Histories; - is standard input")->required();
    check->footer(kCheckFooter);
  }

  CLI::App& app() { return app_; }

  CheckHistories finish() {
    check_.model = *linearizability::parse_model(model_);
    check_.format = *linearizability::parse_format(format_);
    check_.time_limit = *parse_time_limit(time_limit_);
    if (output_ == "json") check_.output = OutputFormat::kJson;
    return std::move(check_);
  }

 private:
  CLI::App app_{"Puts Blixard to the test"};
  CheckHistories check_;
  std::string model_;
  std::string format_;
  std::string time_limit_ = "10s";
  std::string output_ = "text";
};

}  // namespace

Result<Duration> parse_time_limit(const std::string& text) {
  struct Unit {
    std::string_view suffix;
    Duration length;
  };
  constexpr std::array<Unit, 3> kUnits{{{"ms", 1ms}, {"s", 1s}, {"m", 60s}}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.suffix)) continue;
    const char* const last = text.data() + text.size() - unit.suffix.size();
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), last, count);
    if (error != std::errc() || end != last || count < 1 || count > 86'400) break;
    return unit.length * count;
  }
  return fail(Code::kInvalidArgument, "time_invalid",
              "'" + text + "' is not a time; write it as 500ms, 10s or 2m");
}

int run_vopr_command_line(int argc, char** argv) {
  CommandLine line;
  try {
    line.app().parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return line.app().exit(error) == 0 ? kExitDone : kExitUsage;
  }
  return check_histories(line.finish());
}

}  // namespace blixard::app
