#include "node/vm/qemu/kvm_verdict.h"

#include "base/limits.h"

namespace blixard::qemu {
namespace {

const KvmVerdict kVerdict{{"boot-1", "7.2.22", "kvm_intel"}, false, "did not boot a guest"};

TEST(KvmVerdict, RoundTrip) {
  for (const bool boots : {true, false}) {
    KvmVerdict verdict = kVerdict;
    verdict.boots = boots;
    const auto decoded = KvmVerdict::decode(verdict.encode());
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->key, verdict.key);
    EXPECT_EQ(decoded->boots, boots);
    EXPECT_EQ(decoded->finding, verdict.finding);
  }
}

TEST(KvmVerdict, WhatIsNotOneIsRefused) {
  const std::string good = kVerdict.encode();
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(KvmVerdict::decode(std::string_view(good).substr(0, size))) << size;
  const auto changed = [&good](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return KvmVerdict::decode(text);
  };
  EXPECT_TRUE(changed("boot-1", "boot-2"));
  EXPECT_FALSE(changed("\"format\":1", "\"format\":2"));
  EXPECT_FALSE(changed("false", "\"no\""));
  EXPECT_FALSE(changed("\"kvm_intel\"", "7"));
  EXPECT_FALSE(changed("kvm_intel", "kvm\\nintel"));
  EXPECT_FALSE(changed("boot-1", std::string(limits::kKvmVerdictBytes, 'x')));
  EXPECT_FALSE(KvmVerdict::decode(std::string(100'000, '[')));
}

}  // namespace
}  // namespace blixard::qemu
