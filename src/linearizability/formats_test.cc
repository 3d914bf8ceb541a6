#include "linearizability/formats.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "linearizability/edn_reader.h"
#include "linearizability/judgement.h"
#include "linearizability/limits.h"
#include "linearizability/picture.h"

namespace blixard::linearizability {
namespace {

// "ok", "violation", or the error.
std::string judged(ModelName model, Format format, std::string_view text) {
  const auto recorded = read_history(format, text);
  if (!recorded) return std::string(recorded.error().detail());
  const auto judgement = judge(model, *recorded, {});
  if (!judgement) return std::string(judgement.error().detail());
  return std::string(verdict_name(judgement->verdict));
}

std::string etcd(const std::vector<std::string>& events) {
  std::string text;
  for (const std::string& event : events)
    text += "INFO  jepsen.util - " + event + "\n";
  return judged(ModelName::kCasRegister, Format::kPorcupineEtcd, text);
}

TEST(PorcupineEtcd, BeginsAbsent) {
  EXPECT_EQ(etcd({"0\t:invoke\t:read\tnil", "0\t:ok\t:read\tnil"}), "ok");
  EXPECT_EQ(etcd({"0\t:invoke\t:read\tnil", "0\t:ok\t:read\t0"}), "violation");
  EXPECT_EQ(
      etcd({"0 :invoke :write 3", "0 :ok :write 3", "1 :invoke :read nil", "1 :ok :read nil"}),
      "violation");
}

TEST(PorcupineEtcd, AFailedCompareAndSetDidNotMatch) {
  EXPECT_EQ(
      etcd({"0 :invoke :write 3", "0 :ok :write 3", "0 :invoke :cas [3 4]", "0 :fail :cas [3 4]"}),
      "violation");
  EXPECT_EQ(
      etcd({"0 :invoke :write 3", "0 :ok :write 3", "0 :invoke :cas [2 4]", "0 :fail :cas [2 4]"}),
      "ok");
}

TEST(PorcupineEtcd, WhatTimedOut) {
  EXPECT_EQ(etcd({"0 :invoke :read nil", "0 :fail :read :timed-out", "0 :invoke :read nil",
                  "0 :ok :read nil"}),
            "ok");
  const std::vector<std::string> lost{"0 :invoke :write 3", "0 :info :write :timed-out",
                                      "1 :invoke :read nil"};
  for (const char* value : {"nil", "3"}) {
    auto events = lost;
    events.push_back(std::string("1 :ok :read ") + value);
    EXPECT_EQ(etcd(events), "ok") << value;
  }
}

TEST(PorcupineEtcd, OtherLinesArePassedOver) {
  EXPECT_EQ(judged(ModelName::kCasRegister, Format::kPorcupineEtcd,
                   "INFO jepsen.core - up\n"
                   "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n"
                   "INFO  jepsen.util - 0\t:invoke\t:write\t3\r\n"
                   "garbage\n"
                   "INFO  jepsen.util - 0\t:fail\t:write\t3\n"
                   "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"
                   "INFO  jepsen.util - 0\t:ok\t:read\t3"),
            "ok");
  EXPECT_EQ(judged(ModelName::kCasRegister, Format::kPorcupineEtcd, ""), "ok");
  EXPECT_EQ(judged(ModelName::kCasRegister, Format::kPorcupineEtcd, "{:process 1}\n"),
            "line 1: no line of this file is an event in the form porcupine-etcd");
  EXPECT_EQ(etcd({"0 :ok :read 3"}), "line 1: process 0 ends what it did not begin");
}

std::string kv(std::string_view text) {
  return judged(ModelName::kKeyValue, Format::kPorcupineKv, text);
}

TEST(PorcupineKv, TextsGrow) {
  const std::string begin =
      "{:process 0, :type :invoke, :f :put, :key \"k\", :value \"x\"}\n"
      "{:process 0, :type :ok, :f :put, :key \"k\", :value \"x\"}\n"
      "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"y\"}\n"
      "{:process 0, :type :ok, :f :append, :key \"k\", :value \"y\"}\n"
      "{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n";
  EXPECT_EQ(kv(begin + "{:process 1, :type :ok, :f :get, :key \"k\", :value \"xy\"}\n"), "ok");
  EXPECT_EQ(kv(begin + "{:process 1, :type :ok, :f :get, :key \"k\", :value \"x\"}\n"),
            "violation");
  EXPECT_EQ(kv(begin), "ok");
  EXPECT_EQ(kv("{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n"
               "{:process 1, :type :ok, :f :get, :key \"k\", :value \"\"}\n"),
            "ok");
}

TEST(PorcupineKv, SaysWhichLineIsWrong) {
  EXPECT_EQ(kv("{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\nhello\n"),
            "line 2: not a map");
  EXPECT_EQ(kv("{:process 1, :type :invoke, :f :pop, :key \"k\"}"),
            "line 1: :f is none of :get, :put and :append");
  EXPECT_EQ(kv("{:process -1, :type :invoke, :f :get, :key \"k\"}"),
            "line 1: :process is not a number");
  EXPECT_EQ(kv("{:process 1, :type :invoke, :f :put, :key \"k\", :value nil}"),
            "line 1: :value is not a string");
  EXPECT_EQ(kv("{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n"
               "{:process 1, :type :invoke, :f :get, :key \"k\", :value nil}\n"),
            "line 2: process 1 begins while its call of line 1 has no end");
}

std::string jepsen(std::string_view text, ModelName model = ModelName::kCasRegister) {
  return judged(model, Format::kJepsenEdn, text);
}

TEST(JepsenEdn, RegistersBeginWithZero) {
  EXPECT_EQ(jepsen("[{:process 0, :type :invoke, :f :cas, :value [0 2]}\n"
                   " {:process 0, :type :ok, :f :cas, :value [0 2]}]"),
            "ok");
  EXPECT_EQ(jepsen("({:process 0 :type :invoke :f :read :value nil}"
                   " {:process 0 :type :ok :f :read :value 1})"),
            "violation");
}

TEST(JepsenEdn, WhatFailedDidNotHappenAndNilSaysNothing) {
  EXPECT_EQ(jepsen("; a comment\n"
                   "{:process 0, :type :invoke, :f :cas, :value [0 2]}\n"
                   "{:process 0, :type :fail, :f :cas, :value [0 2], :error [:x #inst \"1\"]}\n"
                   "{:process 1, :type :invoke, :f :read, :value nil}\n"
                   "{:process 1, :type :ok, :f :read, :value 0}\n"
                   "{:process :nemesis, :type :info, :f :start}\n"
                   "{:process 1, :type :invoke, :f :read, :value nil}\n"
                   "{:process 1, :type :ok, :f :read, :value nil}\n"),
            "ok");
  EXPECT_EQ(jepsen("{:process 1, :type :invoke, :f :write, :value 3}\n"
                   "{:process 1, :type :fail, :f :write, :value 3}\n"
                   "{:process 2, :type :invoke, :f :read, :value nil}\n"
                   "{:process 2, :type :ok, :f :read, :value 3}\n"),
            "violation");
  EXPECT_EQ(jepsen("{:process 1, :type :invoke, :f :write, :value 3}\n"
                   "{:process 1, :type :info, :f :write, :value 3}\n"
                   "{:process 2, :type :invoke, :f :read, :value nil}\n"
                   "{:process 2, :type :ok, :f :read, :value 3}\n"),
            "ok");
}

TEST(JepsenEdn, LocksAndTransactions) {
  const char* twice =
      "{:type :invoke, :f :acquire, :process 1}{:type :ok, :f :acquire, :process 1}"
      "{:type :invoke, :f :acquire, :process 2}{:type :ok, :f :acquire, :process 2}";
  EXPECT_EQ(jepsen(twice, ModelName::kMutex), "violation");
  EXPECT_EQ(jepsen("{:type :invoke, :f :txn, :value [[:write :x 2] [:read :y nil]], :process 1}"
                   "{:type :ok, :f :txn, :value [[:write :x 2] [:read :y 0]], :process 1}"
                   "{:type :invoke, :f :txn, :value [[:read :x nil]], :process 2}"
                   "{:type :ok, :f :txn, :value [[:read :x 2]], :process 2}",
                   ModelName::kMultiRegister),
            "ok");
  EXPECT_EQ(jepsen("{:type :invoke, :f :txn, :value [[:read :x nil] [:read :y nil]], :process 2}"
                   "{:type :ok, :f :txn, :value [[:read :x 0] [:read :y 1]], :process 2}",
                   ModelName::kMultiRegister),
            "violation");
}

TEST(JepsenEdn, SaysWhichLineIsWrong) {
  EXPECT_EQ(jepsen("[\n{:process 0, :type :invoke, :f :read\n"),
            "line 3: the text ends where a } is missing");
  EXPECT_EQ(jepsen("\n7"), "line 2: not a map: 7");
  EXPECT_EQ(jepsen("{:process 0, :type :invoke, :f :pop}"),
            "line 1: a cas-register has no operation pop");
  EXPECT_EQ(jepsen("{:process 0, :type :invoke, :f :cas, :value [1 2]}", ModelName::kRegister),
            "line 1: a register has no operation cas");
  EXPECT_EQ(jepsen("{:process 0, :type :invoke, :f :write, :value #tag 3}"),
            "line 1: #tag is no value");
  EXPECT_EQ(jepsen("{:process 0, :type :invoke, :f}"), "line 1: a map with a key and no value");
}

std::string printed(std::string_view text) {
  EdnReader reader(text);
  std::string all;
  for (;;) {
    const auto form = reader.next();
    if (!form) return std::string(form.error().detail());
    if (!*form) return all;
    if (!all.empty()) all += ' ';
    all += (*form)->printed();
  }
}

TEST(EdnReader, Forms) {
  EXPECT_EQ(printed("nil true,false -12 +3 4N 1.5e3 :a :b/c \"x\\\"y\" [1 (2)] {:a 1}"),
            "nil true false -12 3 4 1.5e3 :a :b/c \"x\\\"y\" [1 [2]] {:a 1}");
  EXPECT_EQ(printed("#_ {:a [1} 2"), "line 1: a } too many");
  EXPECT_EQ(printed("#_ {:a 1} 2 ; 3\n4"), "2 4");
  EXPECT_EQ(printed("[1 #_2]"), "[1]");
  EXPECT_EQ(printed("#{1 2} #inst \"x\" sym \\a \\( 0x1f #object[A 0x1 \"b\"]"),
            "#{} #inst sym \\a \\( 0x1f #object");
}

TEST(EdnReader, Bounds) {
  EXPECT_EQ(printed(std::string(1000, '[')), "line 1: too deep");
  EXPECT_EQ(printed("# 1"), "line 1: a # with nothing behind it");
  EXPECT_EQ(printed("##"), "line 1: the text ends after ##");
  std::string tags;
  for (int i = 0; i < 1000; ++i)
    tags += "#a ";
  EXPECT_EQ(printed(tags), "line 1: too deep");
  EXPECT_EQ(printed("\"" + std::string(limits::kTextBytes + 1, 'x') + "\""),
            "line 1: a string that is too long");
  EXPECT_EQ(printed("\"abc"), "line 1: a string without its end");
  EXPECT_EQ(printed("\"abc\\"), "line 1: a string without its end");
  EXPECT_EQ(printed("#"), "line 1: a # with nothing behind it");
  EXPECT_EQ(printed("#_"), "line 1: the text ends after #_");
}

std::string ours(std::string_view text, ModelName model = ModelName::kVm) {
  return judged(model, Format::kBlixardJson, text);
}

TEST(BlixardJson, Vms) {
  const std::string begin =
      "{\"blixard_history\":1}\n"
      "{\"process\":1,\"type\":\"invoke\",\"f\":\"create\",\"key\":\"web\"}\n"
      "{\"process\":1,\"type\":\"ok\",\"f\":\"create\",\"key\":\"web\",\"value\":{\"id\":7}}\n"
      "{\"process\":2,\"type\":\"invoke\",\"f\":\"get\",\"key\":\"web\"}\n";
  EXPECT_EQ(ours(begin + "{\"process\":2,\"type\":\"ok\",\"f\":\"get\",\"key\":\"web\",\"value\":"
                         "{\"id\":7,\"desired\":\"running\",\"generation\":1,\"state\":\"placed\"}"
                         "}\n"),
            "ok");
  EXPECT_EQ(ours(begin + "{\"process\":2,\"type\":\"ok\",\"f\":\"get\",\"key\":\"web\","
                         "\"error\":\"vm_not_found\"}\n"),
            "violation");
  EXPECT_EQ(ours(begin + "{\"process\":2,\"type\":\"ok\",\"f\":\"get\",\"key\":\"web\","
                         "\"error\":\"too_many_vms\"}\n"),
            "line 5: too_many_vms is no answer that tells of a VM; write it as fail if nothing "
            "happened, else as info");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\",\"f\":\"create\",\"key\":\"w\",\"value\":"
                 "{\"start\":false}}\n"
                 "{\"process\":1,\"type\":\"info\",\"f\":\"create\",\"key\":\"w\"}\n"
                 "{\"process\":2,\"type\":\"invoke\",\"f\":\"list\"}\n"
                 "{\"process\":2,\"type\":\"ok\",\"f\":\"list\",\"value\":[{\"name\":\"w\","
                 "\"desired\":\"stopped\"}]}\n"),
            "ok");
  const std::string sees_it_stopped =
      "{\"process\":1,\"type\":\"ok\",\"f\":\"create\",\"key\":\"w\"}\n"
      "{\"process\":1,\"type\":\"invoke\",\"f\":\"get\",\"key\":\"w\"}\n"
      "{\"process\":1,\"type\":\"ok\",\"f\":\"get\",\"key\":\"w\",\"value\":"
      "{\"desired\":\"stopped\"}}\n";
  const std::string create = "{\"process\":1,\"type\":\"invoke\",\"f\":\"create\",\"key\":\"w\"";
  EXPECT_EQ(ours(create + "}\n" + sees_it_stopped), "violation");
  EXPECT_EQ(ours(create + ",\"value\":{\"on_evict\":\"stop\"}}\n" + sees_it_stopped), "ok");
}

TEST(BlixardJson, RegistersByKey) {
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"key\":\"a\",\"value\":"
                 "[null,1]}\n"
                 "{\"process\":1,\"type\":\"ok\",\"f\":\"cas\",\"key\":\"a\",\"value\":true}\n"
                 "{\"process\":1,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"b\"}\n"
                 "{\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"key\":\"b\",\"value\":null}\n",
                 ModelName::kCasRegister),
            "ok");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\",\"f\":\"cas\",\"value\":[null,1]}\n"
                 "{\"process\":1,\"type\":\"ok\",\"f\":\"cas\",\"value\":false}\n",
                 ModelName::kCasRegister),
            "violation");
}

TEST(BlixardJson, SaysWhichLineIsWrong) {
  EXPECT_TRUE(ours("\n{").starts_with("line 2: not JSON"));
  EXPECT_EQ(ours("[]"), "line 1: not an object");
  EXPECT_EQ(ours("{\"blixard_history\":2}"), "line 1: a version of the form that is not known");
  EXPECT_EQ(ours("{\"process\":1.5,\"type\":\"ok\"}"), "line 1: process is not a whole number");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"start\"}"),
            "line 1: type is none of invoke, ok, fail and info");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\"}"), "line 1: f is missing");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\",\"f\":\"get\"}"),
            "line 1: a VM's name is its key; a list has none");
  EXPECT_EQ(ours("{\"process\":1,\"type\":\"invoke\",\"f\":\"get\",\"key\":\"a\"}\n"
                 "{\"process\":1,\"type\":\"ok\",\"f\":\"stop\",\"key\":\"a\"}"),
            "line 2: process 1 began get a in line 1, and ends stop a");
  EXPECT_TRUE(ours(std::string(limits::kLineBytes + 1, ' ')).starts_with("line 1: a line that"));
}

constexpr std::string_view kStale =
    "INFO  jepsen.util - 0\t:invoke\t:write\t1\n"
    "INFO  jepsen.util - 1\t:invoke\t:write\t2\n"
    "INFO  jepsen.util - 0\t:ok\t:write\t1\n"
    "INFO  jepsen.util - 2\t:invoke\t:read\tnil\n"
    "INFO  jepsen.util - 2\t:ok\t:read\t7\n"
    "INFO  jepsen.util - 1\t:ok\t:write\t2\n";

TEST(Judgement, TellsTheShortestStuckPrefix) {
  const auto recorded = read_porcupine_etcd(kStale);
  ASSERT_TRUE(recorded);
  const auto judgement = judge(ModelName::kCasRegister, *recorded, {});
  ASSERT_TRUE(judgement);
  EXPECT_EQ(violation_text(*judgement),
            "  no order explains the end of line 5; the longest up to it:\n"
            "       1  process 0    write 1  (lines 1-3)\n"
            "       2  process 1    write 2  (lines 2-6)\n"
            "   stuck  process 2    read -> 7  (lines 4-5)\n");
}

TEST(Picture, ShowsLanesPlacesAndWhatIsStuck) {
  const auto recorded = read_porcupine_etcd(kStale);
  ASSERT_TRUE(recorded);
  const auto judgement = judge(ModelName::kCasRegister, *recorded, {});
  ASSERT_TRUE(judgement);
  const std::string page = picture("a <b> & \"c\"", *judgement);
  EXPECT_NE(page.find("<title>a &lt;b&gt; &amp; &quot;c&quot;: violation</title>"),
            std::string::npos);
  EXPECT_EQ(page.find("<b> &"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  for (const char* part :
       {"process 0</text>", "process 2</text>", "<rect class=\"stuck\" id=\"stuck-5\"",
        "rect class=\"placed\"", "read -&gt; 7", "<tspan class=\"number\">2<"}) {
    EXPECT_NE(page.find(part), std::string::npos) << part;
  }
}

TEST(Picture, OfALongHistoryShowsThePartThatMatters) {
  std::string text;
  for (int i = 0; i < 6000; ++i) {
    text += fmt::format(
        "INFO jepsen.util - 0 :invoke :write {0}\nINFO jepsen.util - 0 :ok :write {0}\n", i);
  }
  text += "INFO jepsen.util - 1 :invoke :read nil\nINFO jepsen.util - 1 :ok :read 1\n";
  const auto recorded = read_porcupine_etcd(text);
  ASSERT_TRUE(recorded);
  const auto judgement = judge(ModelName::kCasRegister, *recorded, {});
  ASSERT_TRUE(judgement);
  EXPECT_EQ(judgement->verdict, Verdict::kViolation);
  const std::string page = picture("long", *judgement);
  EXPECT_NE(page.find("<rect class=\"stuck\""), std::string::npos);
  EXPECT_NE(page.find("write 5999"), std::string::npos);
  EXPECT_EQ(page.find("write 7\n"), std::string::npos);
  EXPECT_LT(page.size(), 3U << 20);
}

}  // namespace
}  // namespace blixard::linearizability
