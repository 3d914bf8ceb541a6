#include "observe/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace blixard::observe {
namespace {

constexpr std::string_view kValid = "00-0123456789abcdef1122334455667788-8899aabbccddeeff-01";

TEST(Traceparent, IsReadAndWritten) {
  const auto context = parse_traceparent(kValid);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace, (TraceId{0x0123456789abcdef, 0x1122334455667788}));
  EXPECT_EQ(context->span, SpanId{0x8899aabbccddeeff});
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(format_traceparent(*context).view(), kValid);
  EXPECT_EQ(context->trace.text(), "0123456789abcdef1122334455667788");
  EXPECT_EQ(context->span.text(), "8899aabbccddeeff");
}

struct Case {
  const char* what;
  std::string text;
  bool valid;
  bool sampled = false;
};

class TraceparentCases : public testing::TestWithParam<Case> {};

// The cases of the specification's own test suite that speak of this header alone.
TEST_P(TraceparentCases, AreDecidedAsTheSpecificationSays) {
  const auto context = parse_traceparent(GetParam().text);
  EXPECT_EQ(context.has_value(), GetParam().valid) << GetParam().what;
  if (context) EXPECT_EQ(context->sampled, GetParam().sampled) << GetParam().what;
}

std::string with(std::size_t at, std::string_view piece) {
  std::string text(kValid);
  return text.replace(at, piece.size(), piece);
}

INSTANTIATE_TEST_SUITE_P(
    Traceparent, TraceparentCases,
    testing::Values(
        Case{"empty", "", false}, Case{"as it is", std::string(kValid), true, true},
        Case{"not sampled", with(53, "00"), true, false},
        Case{"unknown flags", with(53, "ff"), true, true},
        Case{"unknown flags, not sampled", with(53, "fe"), true, false},
        Case{"flags of one digit", std::string(kValid.substr(0, 54)), false},
        Case{"flags that are no digits", with(53, ".0"), false},
        Case{"flags in upper case", with(53, "0A"), false},
        Case{"version ff", with(0, "ff"), false}, Case{"version 01", with(0, "01"), true, true},
        Case{"version cc", with(0, "cc"), true, true},
        Case{"version cc, longer", with(0, "cc") + "-what-the-future-will-be-like", true, true},
        Case{"version cc, longer, ends in a dash", with(0, "cc") + "-", true, true},
        Case{"version cc, longer without a dash", with(0, "cc") + ".what", false},
        Case{"version 00, longer", std::string(kValid) + "-what", false},
        Case{"version 00, with a dash", std::string(kValid) + "-", false},
        Case{"version of no digits", with(0, ".0"), false},
        Case{"version in upper case", with(0, "CC"), false},
        Case{"version of three digits", "0" + std::string(kValid), false},
        Case{"version of one digit", std::string(kValid.substr(1)), false},
        Case{"trace id of zeros", with(3, std::string(32, '0')), false},
        Case{"trace id in upper case", with(3, "0123456789ABCDEF"), false},
        Case{"trace id of no digits", with(3, "."), false},
        Case{"trace id too long", "00-" + std::string(33, '1') + "-8899aabbccddeeff-01", false},
        Case{"trace id too short", "00-" + std::string(31, '1') + "-8899aabbccddeeff-01", false},
        Case{"parent id of zeros", with(36, std::string(16, '0')), false},
        Case{"parent id in upper case", with(36, "8899AABBCCDDEEFF"), false},
        Case{"parent id of no digits", with(36, "."), false},
        Case{"parent id too long", "00-" + std::string(32, '1') + "-8899aabbccddeeff0-01", false},
        Case{"other separators", with(2, "_"), false}, Case{"space within", with(35, " "), false},
        Case{"space before", " " + std::string(kValid), false},
        Case{"two of them", std::string(kValid) + "," + std::string(kValid), false}),
    [](const auto& each) { return "Case" + std::to_string(each.index); });

TEST(Ids, AreStrict) {
  EXPECT_FALSE(TraceId::parse(""));
  EXPECT_FALSE(TraceId::parse(std::string(32, '0')));
  EXPECT_FALSE(TraceId::parse(std::string(32, 'A')));
  EXPECT_TRUE(TraceId::parse(std::string(31, '0') + "1"));
  EXPECT_FALSE(SpanId::parse(std::string(16, '0')));
  EXPECT_FALSE(SpanId::parse("+123456789abcdef"));
  EXPECT_EQ(SpanId::parse("00000000000000a1")->value, 0xa1U);
}

TEST(Span, KeepsAttributesWithinItsBounds) {
  Span span;
  span.set("count", -3);
  span.set("name", "web");
  span.set("foreign", "a\n\x01\xc3\xa4z");
  ASSERT_EQ(span.all().size(), 3U);
  EXPECT_EQ(span.all()[0].number, -3);
  EXPECT_EQ(span.text_of(span.all()[1]), "web");
  EXPECT_EQ(span.text_of(span.all()[2]), "a????z");

  span.set("long", std::string(1000, 'x'));
  EXPECT_EQ(span.text_of(span.all()[3]), std::string(limits::kSpanAttributeTextBytes, 'x'));
  for (std::size_t i = span.all().size(); i < limits::kSpanAttributes + 2; ++i)
    span.set("more", std::string(1000, 'y'));
  EXPECT_EQ(span.all().size(), limits::kSpanAttributes);
  std::size_t bytes = 0;
  for (const Span::Attribute& each : span.all())
    bytes += span.text_of(each).size();
  EXPECT_LE(bytes, limits::kSpanTextBytes);
  EXPECT_EQ(span.text_of(span.all()[1]), "web");
}

}  // namespace
}  // namespace blixard::observe
