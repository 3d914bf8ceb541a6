#include "node/vm/qemu/accelerator.h"

namespace blixard::qemu {
namespace {

using vm::Accelerator;

constexpr BuiltIn kBoth{.tcg = true, .kvm = true};
const env::KvmReport kUsable{.usable = true, .module = "kvm_intel", .explanation = {}};
const env::KvmReport kUseless{.usable = false, .module = "kvm_pvm", .explanation = "too slow\n"};

TEST(Accelerator, Decision) {
  struct Row {
    env::KvmReport kvm;
    BuiltIn built_in;
    std::optional<Accelerator> forced;
    std::optional<Accelerator> chosen;  // none: refused
    std::string reason;
  };
  const Row rows[] = {
      {kUsable, kBoth, {}, Accelerator::kKvm, "kvm: usable (kvm_intel)"},
      {kUseless, kBoth, {}, Accelerator::kTcg, "tcg: too slow"},
      {kUsable, {.tcg = true}, {}, Accelerator::kTcg, "tcg: this QEMU has no KVM in it"},
      {kUseless, {.kvm = true}, {}, {}, "this QEMU has no TCG in it, and KVM is not usable"},
      {kUsable, kBoth, Accelerator::kTcg, Accelerator::kTcg, "tcg: as configured"},
      {kUsable, kBoth, Accelerator::kKvm, Accelerator::kKvm, "kvm: as configured"},
      {kUseless,
       kBoth,
       Accelerator::kKvm,
       {},
       "KVM was asked for, but KVM is not usable: too slow"},
      {kUsable,
       {.tcg = true},
       Accelerator::kKvm,
       {},
       "KVM was asked for, but this QEMU has no KVM in it"},
      {kUsable,
       {.kvm = true},
       Accelerator::kTcg,
       {},
       "accel=tcg was asked for, but this QEMU has no TCG in it"},
  };
  for (const Row& row : rows) {
    const auto choice = choose_accelerator(row.kvm, row.built_in, row.forced);
    EXPECT_EQ(choice.has_value(), row.chosen.has_value()) << row.reason;
    if (choice) {
      EXPECT_EQ(choice->accelerator, row.chosen);
      EXPECT_EQ(choice->reason, row.reason);
    } else {
      EXPECT_EQ(choice.error().reason(), "accelerator_unusable");
      EXPECT_EQ(choice.error().detail(), row.reason);
    }
  }
}

TEST(Accelerator, DecisionAfterATrial) {
  const auto fallen = choose_after_trial("kvm_pvm", "did not\nboot", kBoth, {});
  ASSERT_TRUE(fallen);
  EXPECT_EQ(fallen->accelerator, Accelerator::kTcg);
  EXPECT_TRUE(fallen->reason.starts_with("tcg: KVM (module kvm_pvm) did not boot; using software"));
  const auto forced = choose_after_trial("", "did not boot", kBoth, Accelerator::kKvm);
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().reason(), "accelerator_unusable");
  EXPECT_TRUE(forced.error().detail().contains("but KVM did not boot; check"));
  const auto alone = choose_after_trial("kvm_pvm", "did not boot", {.kvm = true}, {});
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().reason(), "accelerator_unusable");
}

TEST(Accelerator, ReadsQemusAnswers) {
  const BuiltIn built_in = parse_accelerators("Accelerators supported in QEMU binary:\ntcg\nkvm\n");
  EXPECT_TRUE(built_in.tcg);
  EXPECT_TRUE(built_in.kvm);
  EXPECT_FALSE(parse_accelerators("kvmx\n xkvm").kvm);
  EXPECT_FALSE(parse_accelerators("").tcg);
  EXPECT_EQ(parse_version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright"), "7.2.22");
  EXPECT_EQ(parse_version("version 9.1"), "9.1");
  EXPECT_EQ(parse_version("something else"), "");
  EXPECT_EQ(parse_version("version " + std::string(1000, '1')).size(), 32u);
}

}  // namespace
}  // namespace blixard::qemu
