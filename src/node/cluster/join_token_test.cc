#include "node/cluster/join_token.h"

#include <gtest/gtest.h>

namespace blixard::membership {
namespace {

const std::string kAuthority(64, 'a');

Uuid request(std::uint8_t fill) {
  Uuid id;
  id.bytes.fill(fill);
  return id;
}

TEST(JoinToken, TextComesBack) {
  const JoinToken token = JoinToken::make("key", request(1), kAuthority);
  EXPECT_EQ(token.text().size(), JoinToken::kTextBytes);
  const auto back = JoinToken::parse(token.text());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*back, token);
  EXPECT_TRUE(token.text().starts_with("blx1."));
}

TEST(JoinToken, IsTheSameForTheSameRequestAndKeyOnly) {
  const JoinToken token = JoinToken::make("key", request(1), kAuthority);
  EXPECT_EQ(JoinToken::make("key", request(1), kAuthority), token);
  const JoinToken other_request = JoinToken::make("key", request(2), kAuthority);
  const JoinToken other_key = JoinToken::make("yek", request(1), kAuthority);
  EXPECT_NE(other_request.secret, token.secret);
  EXPECT_NE(other_request.id, token.id);
  EXPECT_NE(other_key.secret, token.secret);
  EXPECT_NE(hash_of(token.secret), hash_of(other_key.secret));
}

// The form is written down in docs/formats/token.md.
TEST(JoinToken, FormIsPinned) {
  const JoinToken token{
      .id = cluster::TokenId(0xab), .secret = std::string(16, '\x0f'), .authority = kAuthority};
  EXPECT_EQ(token.text(), "blx1.00000000000000ab.0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f." + kAuthority);
}

TEST(JoinToken, AnyOneCharacterWrongIsRefusedOrAnotherToken) {
  const JoinToken token = JoinToken::make("key", request(1), kAuthority);
  const std::string good = token.text();
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const char c : {'.', 'A', 'g', '0', '\0', '\xff'}) {
      std::string wrong = good;
      wrong[at] = c;
      const auto parsed = JoinToken::parse(wrong);
      EXPECT_TRUE(!parsed || wrong == good || *parsed != token) << wrong;
      if (parsed) EXPECT_EQ(parsed->text(), wrong);
    }
  }
  for (const std::string& wrong :
       {std::string(), good + "0", good.substr(1), " " + good.substr(1), good + "\n",
        "blx1.0000000000000000." + good.substr(22), "blx2" + good.substr(4)}) {
    const auto parsed = JoinToken::parse(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().reason(), "token_malformed");
  }
}

}  // namespace
}  // namespace blixard::membership
