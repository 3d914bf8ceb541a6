#include "app/configuration.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/cli.h"
#include "app/reloader.h"
#include "base/limits.h"

namespace blixard::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::size_t index_of(std::string_view name) {
  const auto found = std::ranges::find(keys(), name, &Key::name);
  EXPECT_NE(found, keys().end()) << name;
  return static_cast<std::size_t>(found - keys().begin());
}

Result<Effective> configured(std::string text, const std::vector<Given>& given = {}) {
  return configure(ConfigurationFile{.path = "a.toml", .text = std::move(text)}, given);
}

std::string detail_of(std::string text) {
  const auto effective = configured(std::move(text));
  return effective ? "taken" : std::string(effective.error().detail());
}

TEST(Configuration, WithoutAFileTheDefaultsHold) {
  const auto effective = configure(std::nullopt, {});
  ASSERT_TRUE(effective);
  EXPECT_EQ(effective->values.listen, "127.0.0.1:7480");
  EXPECT_EQ(effective->values.data_directory, default_data_directory());
  EXPECT_EQ(settings_of(effective->values), env::Settings());
  for (const Origin& origin : effective->origins)
    EXPECT_EQ(origin, Origin{});
}

TEST(Configuration, OptionsComeBeforeTheEnvironmentBeforeTheFile) {
  const std::string file = "[cluster]\njoin = \"a@1.2.3.4:1\"\npeer_listen = \"1.2.3.4:7\"\n";
  const std::size_t join = index_of("cluster.join");
  const std::size_t listen = index_of("cluster.peer_listen");
  auto effective = configured(file);
  ASSERT_TRUE(effective);
  EXPECT_EQ(effective->values.join, "a@1.2.3.4:1");
  EXPECT_EQ(effective->origins[join], (Origin{Origin::Kind::kFile, 2}));
  EXPECT_EQ(effective->origins[listen], (Origin{Origin::Kind::kFile, 3}));
  effective = configured(file, {{join, Origin::Kind::kOption, "c@1.2.3.4:1"},
                                {join, Origin::Kind::kEnvironment, "b@1.2.3.4:1"},
                                {listen, Origin::Kind::kOption, "1.2.3.4:8"}});
  ASSERT_TRUE(effective);
  EXPECT_EQ(effective->values.join, "c@1.2.3.4:1");
  EXPECT_EQ(effective->values.peer_listen, "1.2.3.4:8");
  EXPECT_EQ(origin_text(keys()[join], effective->origins[join], "a.toml"), "--join");
  effective = configured(file, {{join, Origin::Kind::kEnvironment, "b@1.2.3.4:1"}});
  EXPECT_EQ(effective->values.join, "b@1.2.3.4:1");
  EXPECT_EQ(origin_text(keys()[join], effective->origins[join], "a.toml"), "BLIXARD_JOIN");
}

TEST(Configuration, ASecretIsNotShown) {
  const auto effective = configured("[cluster]\njoin = \"secret@1.2.3.4:1\"");
  ASSERT_TRUE(effective);
  EXPECT_EQ(shown_value(keys()[index_of("cluster.join")], effective->values), "(hidden)");
}

struct Wrong {
  const char* text;
  std::vector<const char*> said;
};

TEST(Configuration, AFaultIsToldWithItsLineAndWhatToWrite) {
  const std::vector<Wrong> all = {
      {"[api]\nlissten = \"off\"", {"a.toml:2: unknown key api.lissten", "instead: api.listen"}},
      {"\n[ap]\nx = 1", {"a.toml:2: unknown table ap"}},
      {"[node]\nlevel = \"info\"", {"a.toml:2: unknown key node.level", "instead: log.level"}},
      {"api = 3", {"a.toml:1: unknown key api"}},
      {"[api]\nlisten = 7480", {"a.toml:2: api.listen is of the wrong type", "a text"}},
      {"[api]\nlisten = \"here\"", {"a.toml:2: api.listen is refused", "127.0.0.1:7480"}},
      {"[api]\n\nconnections_max = 0", {"a.toml:3: ", "instead: from 1 to 4096"}},
      {"[api]\nconnections_max = -1", {"instead: from 1 to 4096"}},
      {"[api]\nconnections_max = 99999999999999999999", {"a.toml:2: "}},
      {"[api]\nconnections_max = \"8\"", {"wrong type"}},
      {"[api]\nconnections_max = 8.0", {"wrong type"}},
      {"[log]\nlevel = \"loud\"", {"instead: debug, info, warn or error"}},
      {"[log]\nlevel = \"\"", {"instead: debug, info, warn or error"}},
      {"[telemetry]\ntrace_sample_ratio = 1.5", {"from 0 to 1"}},
      {"[telemetry]\ntrace_sample_ratio = nan", {"from 0 to 1"}},
      {"[telemetry]\notlp_endpoint = \"ftp://x:1\"", {"http://127.0.0.1:4318"}},
      {"[node]\nstop_guests_on_exit = 1", {"wrong type", "true or false"}},
      {"[node]\ndata = \"\"", {"a.toml:2: node.data is refused"}},
      {"[node]\ndata = [\"/a\"]", {"wrong type"}},
      {"[node.data]\nx = 1", {"a.toml:1: node.data is of the wrong type"}},
      {"[[api]]\nlisten = \"off\"", {"a.toml:1: unknown key api"}},
      {"[log]\nlevel = \"info\"\nlevel = \"warn\"", {"a.toml:3: "}},
      {"[log\nlevel = \"info\"", {"a.toml:"}},
      {"[]", {"a.toml:1: a table without a name"}},
      {"x = \"\"\"a\nb\"\"\"", {"a text of several lines"}},
      {"[node]\ndata = \"/\xc3\xbc\"", {"more than ASCII"}},
  };
  for (const Wrong& wrong : all) {
    const std::string detail = detail_of(wrong.text);
    for (const char* said : wrong.said)
      EXPECT_THAT(detail, HasSubstr(said)) << wrong.text;
  }
}

TEST(Configuration, AllFaultsAreToldAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(detail_of("[log]\nlevel = 1\n[api]\nx = 1\n"),
            "a.toml:2: log.level is of the wrong type; instead: debug, info, warn or error\n"
            "a.toml:4: unknown key api.x; instead: a key of docs/configuration.md");
}

TEST(Configuration, AFileIsBounded) {
  std::string text = "#";
  text.resize(limits::kConfigurationBytes, '-');
  EXPECT_EQ(detail_of(text), "taken");
  EXPECT_THAT(detail_of(text + "-"), HasSubstr("too large"));
  // Also what is told of it.
  std::string many = "[api]\n";
  for (int i = 0; i < 1000; ++i)
    many += "x" + std::to_string(i) + " = 1\n";
  EXPECT_LT(detail_of(many).size(), 4096U);
}

TEST(Configuration, AGivenValueIsCheckedAsOneOfTheFile) {
  const auto effective = configure(
      std::nullopt, std::vector<Given>{{index_of("log.level"), Origin::Kind::kOption, "loud"}});
  ASSERT_FALSE(effective);
  EXPECT_EQ(effective.error().detail(), "--log-level: it must be debug, info, warn or error");
}

TEST(ConfigurationKeys, NamesAndOptionsAreTheirOwn) {
  std::set<std::string_view> names, flags;
  for (const Key& key : keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    if (!key.flag.empty()) EXPECT_TRUE(flags.insert(key.flag).second) << key.flag;
    EXPECT_TRUE(key.help.ends_with('.')) << key.name;
    EXPECT_EQ(std::ranges::count(key.name, '.'), 1) << key.name;
  }
}

// A key of the settings without its way into them would be changed and never seen.
TEST(ConfigurationKeys, WhatMayChangeAtRunTimeChangesTheSettings) {
  for (const Key& key : keys()) {
    auto effective = configure(std::nullopt, {});
    ASSERT_TRUE(effective);
    const env::Settings before = settings_of(effective->values);
    bool changed = false;
    for (const char* other : {"error", "7", "0.5", "http://1.2.3.4:5", "true", "false", "1.2.3.4:5",
                              "tcg", "simulated", "name"}) {
      if (!set_from_text(key, other, effective->values)) continue;
      changed = changed || settings_of(effective->values) != before;
    }
    EXPECT_EQ(changed, key.at_run_time) << key.name;
  }
}

TEST(ConfigurationKeys, TheExampleFileIsTaken) {
  EXPECT_EQ(detail_of(example_file()), "taken");
  // And so it is without the marks of comment before its keys.
  std::istringstream lines(example_file());
  std::string text, line;
  std::size_t uncommented = 0;
  while (std::getline(lines, line)) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') {
      line.erase(0, 1);
      ++uncommented;
    }
    text += line + "\n";
  }
  EXPECT_EQ(uncommented, keys().size());
  const auto effective = configured(text);
  ASSERT_TRUE(effective) << effective.error().detail();
  for (std::size_t i = 0; i < keys().size(); ++i)
    EXPECT_EQ(effective->origins[i].kind, Origin::Kind::kFile) << keys()[i].name;
}

TEST(ConfigurationKeys, AreInTheDocumentAsTheyAre) {
  std::ifstream file(std::string(BLX_SOURCE_DIR) + "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_THAT(text.str(), HasSubstr(key_table())) << "put this into docs/configuration.md:\n"
                                                  << key_table();
}

class Lines final : public ProgramLog {
 public:
  [[nodiscard]] bool wants(observe::Level level) const override { return level >= least; }
  void write(observe::Level /*level*/, std::string_view line) override {
    text.append(line) += '\n';
  }
  void set_least(observe::Level level) override { least = level; }
  observe::Level least = observe::Level::kInfo;
  std::string text;
};

class ReloaderTest : public testing::Test {
 protected:
  ReloaderTest() {
    write("[log]\nlevel = \"info\"\n");
    auto first = configure(*read_configuration_file(path_), {});
    reloader_.emplace(NodeOptions{.config_file = path_, .given = {}}, *std::move(first), log_);
  }
  ~ReloaderTest() override { std::filesystem::remove(path_); }

  void write(std::string_view text) { std::ofstream(path_, std::ios::trunc) << text; }
  std::string value_of(std::string_view key) {
    for (const api::ConfigurationValue& value : reloader_->values()) {
      if (value.key == key)
        return value.value + " from " + value.source +
               (value.waiting.empty() ? "" : ", waiting " + value.waiting);
    }
    return "";
  }

  std::string path_ = testing::TempDir() + "blixard-reload-" + std::to_string(::getpid()) + ".toml";
  Lines log_;
  std::optional<Reloader> reloader_;
};

TEST_F(ReloaderTest, WhatMayChangeTakesEffectAndTheRestWaits) {
  env::SettingsView::Reader reader(reloader_->settings());
  write("[log]\nlevel = \"debug\"\n[api]\nevent_streams_max = 5\nlisten = \"off\"\n");
  const auto reload = reloader_->reload();
  ASSERT_TRUE(reload);
  EXPECT_THAT(reload->changed, ElementsAre("api.event_streams_max", "log.level"));
  EXPECT_THAT(reload->needs_restart, ElementsAre("api.listen"));
  EXPECT_EQ(reader.read().event_streams, 5U);
  EXPECT_EQ(log_.least, observe::Level::kDebug);
  EXPECT_EQ(value_of("api.event_streams_max"), "5 from " + path_ + ":4");
  EXPECT_EQ(value_of("api.listen"), "\"127.0.0.1:7480\" from default, waiting \"off\"");
  EXPECT_THAT(log_.text, HasSubstr("needs a restart: api.listen"));
  // It still does.
  EXPECT_THAT(reloader_->reload()->needs_restart, ElementsAre("api.listen"));
  write("");
  const auto back = reloader_->reload();
  EXPECT_THAT(back->changed, ElementsAre("api.event_streams_max", "log.level"));
  EXPECT_THAT(back->needs_restart, IsEmpty());
  EXPECT_EQ(reader.read(), env::Settings());
}

TEST_F(ReloaderTest, AFileWithAFaultChangesNothing) {
  write("[log]\nlevel = \"debug\"\n[api]\nevent_streams_max = -5\n");
  const auto refused = reloader_->reload();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason(), "configuration_invalid");
  EXPECT_THAT(std::string(refused.error().detail()), HasSubstr(path_ + ":4: "));
  EXPECT_EQ(log_.least, observe::Level::kInfo);
  EXPECT_EQ(reloader_->settings().number(), 1U);
  EXPECT_THAT(log_.text, HasSubstr("stays as it was"));
  std::filesystem::remove(path_);
  EXPECT_EQ(reloader_->reload().error().reason(), "configuration_unreadable");
  EXPECT_EQ(reloader_->settings().number(), 1U);
}

TEST_F(ReloaderTest, TheSameFileAgainPublishesNothing) {
  ASSERT_TRUE(reloader_->reload());
  EXPECT_EQ(reloader_->settings().number(), 1U);
}

TEST_F(ReloaderTest, WhatAnOptionGaveIsNotTheFilesToChange) {
  const Given given{index_of("log.level"), Origin::Kind::kOption, "warn"};
  auto first = configure(*read_configuration_file(path_), std::vector{given});
  Lines log;
  Reloader reloader({.config_file = path_, .given = {given}}, *std::move(first), log);
  write("[log]\nlevel = \"debug\"\n");
  const auto reload = reloader.reload();
  ASSERT_TRUE(reload);
  EXPECT_THAT(reload->changed, IsEmpty());
  EXPECT_EQ(reloader.running().log_level, "warn");
}

TEST(Configuration, WhatIsNoFileIsRefused) {
  EXPECT_EQ(read_configuration_file("/nonexistent/a.toml").error().reason(),
            "configuration_unreadable");
  EXPECT_EQ(read_configuration_file("/").error().reason(), "configuration_invalid");
}

}  // namespace
}  // namespace blixard::app
