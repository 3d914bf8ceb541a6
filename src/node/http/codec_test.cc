#include "node/http/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/http/client.h"
#include "node/http/event_stream.h"
#include "node/http/target.h"

namespace blixard::http {
namespace {

TEST(Target, IsTakenApart) {
  const auto target = parse_target("/v1/vms/a%2Db?wait=running&x=%26%3D&empty=&&y");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/v1/vms/a-b");
  const std::map<std::string, std::string> query{
      {"wait", "running"}, {"x", "&="}, {"empty", ""}, {"y", ""}};
  EXPECT_EQ(target->query, query);
}

TEST(Target, WhatCouldMeanTwoThingsIsRefused) {
  for (const char* text : {"", "a", "*", "http://a/b", "/a%2Fb", "/a%", "/a%4", "/a%4g", "/a%00",
                           "/a%0d%0ab", "/a#b", "/?a=1&a=1", "/?a=%7f"}) {
    const auto target = parse_target(text);
    EXPECT_FALSE(target) << text;
    if (!target) EXPECT_EQ(target.error().reason(), "target_invalid") << text;
  }
  std::string many = "/?";
  for (int i = 0; i < 17; ++i)
    many += "p" + std::to_string(i) + "=1&";
  EXPECT_FALSE(parse_target(many));
  EXPECT_EQ(parse_target("/" + std::string(5000, 'a')).error().reason(), "target_too_long");
}

TEST(Target, EncodingComesBack) {
  const std::string name = "a b/c?d=e&f%\xC3\xA9";
  const auto target = parse_target("/?q=" + percent_encoded(name));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->query.at("q"), name);
}

TEST(Message, JsonStringsAreAlwaysValid) {
  EXPECT_EQ(json_quoted("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\u0001\"");
  EXPECT_EQ(json_quoted("\xC3\xA9\xF0\x9F\x98\x80"), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
  // Overlong, a lone surrogate, cut off, a stray tail.
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xE2\x82", "\x80", "\xFF"}) {
    EXPECT_THAT(json_quoted(bad), testing::HasSubstr("\xEF\xBF\xBD")) << bad;
  }
}

TEST(Message, DatesAreAsInTheRfc) {
  EXPECT_EQ(http_date({784111777000}), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http_date({0}), "Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(Response, AHeaderCannotCarryAnother) {
  Response response;
  response.headers.push_back({"X-Name", "a\r\nSet-Cookie: b"});
  const auto bytes = encode_response(response, {});
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().reason(), "header_invalid");
}

TEST(ResponseParser, ReadsWhatTheServerWrites) {
  Response response;
  response.status = 201;
  response.content_type = "application/json";
  response.body = "{}";
  const auto bytes = encode_response(response, {});
  ASSERT_TRUE(bytes);
  ResponseParser parser({16384, 100}, false);
  for (const char c : *bytes) {
    // One byte more each time, as far as the parser does not take them.
    static std::string pending;
    pending += c;
    const auto taken = parser.put(pending);
    ASSERT_TRUE(taken);
    pending.erase(0, *taken);
  }
  EXPECT_TRUE(parser.done());
  EXPECT_EQ(parser.head().status, 201);
  EXPECT_EQ(parser.take_body(), "{}");
}

TEST(RequestParser, AnEmptyChunkedBodyMayComeInAnyPieces) {
  RequestParser parser({16384, 100});
  std::string pending;
  for (const char c : std::string(
           "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n")) {
    pending += c;
    const auto taken = parser.put(pending);
    ASSERT_TRUE(taken) << taken.error().message();
    pending.erase(0, *taken);
  }
  EXPECT_TRUE(parser.done());
}

TEST(ResponseParser, RefusesWhatIsNone) {
  ResponseParser parser({16384, 100}, false);
  const auto taken = parser.put("SSH-2.0-server\r\n\r\n");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason(), "response_malformed");
}

TEST(EventStream, ComesBackHoweverItIsCut) {
  const std::vector<ServerEvent> events{
      {"1", "vm", "{\"a\":1}"}, {"2", "reset", "two\nlines\n"}, {"3", "vm", ""}};
  std::string bytes = encode_comment("hello");
  for (const auto& event : events)
    bytes += encode_event(event) + encode_comment("heartbeat");
  for (std::size_t step = 1; step <= bytes.size(); ++step) {
    EventParser parser;
    std::vector<ServerEvent> seen;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      parser.put(std::string_view(bytes).substr(at, step));
      while (true) {
        const auto event = parser.next();
        ASSERT_TRUE(event);
        if (!*event) break;
        seen.push_back(**event);
      }
    }
    ASSERT_EQ(seen, events) << step;
  }
}

TEST(EventStream, AnEventIsBounded) {
  EventParser parser(100);
  parser.put("data: " + std::string(200, 'a'));
  EXPECT_FALSE(parser.next());
}

}  // namespace
}  // namespace blixard::http
