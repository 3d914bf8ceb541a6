#include "node/vm/qemu/template_key.h"

#include <functional>
#include <set>

namespace blixard::qemu {
namespace {

using vm::Accelerator;

constexpr StateHost kHost{.accelerator = Accelerator::kTcg,
                          .version = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)",
                          .boot_id = "b1"};

vm::GuestSpec example() {
  vm::GuestSpec spec;
  spec.id = VmId(7);
  spec.uuid = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff");
  spec.name = "web";
  spec.kernel_path = "../../image/vmlinux";
  spec.initrd_path = "../../image/initrd";
  spec.published = {{8080, 80}};
  spec.kernel_digest = image::digest_of("kernel");
  spec.initrd_digest = image::digest_of("initrd");
  return spec;
}

std::string key_of(const vm::GuestSpec& spec, const StateHost& host = kHost) {
  const auto key = template_key(spec, host);
  EXPECT_TRUE(key);
  return key.value_or("");
}

TEST(TemplateKey, IsTheSameForEveryVmOfAKind) {
  const std::string key = key_of(example());
  EXPECT_TRUE(image::parse_digest(key));
  vm::GuestSpec other = example();
  other.id = VmId(8);
  other.uuid = *Uuid::parse("ffeeddcc-4455-6677-8899-aabbccddeeff");
  other.name = "db";
  other.kernel_path = "/elsewhere/vmlinux";
  other.initrd_path = "/elsewhere/initrd";
  other.published.clear();
  EXPECT_EQ(key_of(other), key);
}

TEST(TemplateKey, IsAnotherForWhateverTheStateDependsOn) {
  std::set<std::string> keys{key_of(example())};
  const auto expect_new = [&](const std::function<void(vm::GuestSpec&)>& change) {
    vm::GuestSpec spec = example();
    change(spec);
    EXPECT_TRUE(keys.insert(key_of(spec)).second);
  };
  expect_new([](auto& spec) { spec.vcpus = 2; });
  expect_new([](auto& spec) { spec.memory = mib(129); });
  expect_new([](auto& spec) { spec.cmdline = "quiet"; });
  expect_new([](auto& spec) { spec.kernel_digest = image::digest_of("another"); });
  expect_new([](auto& spec) { spec.initrd_digest = image::digest_of("another"); });
  StateHost host = kHost;
  host.version = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-8)";
  EXPECT_TRUE(keys.insert(key_of(example(), host)).second);
  host = kHost;
  host.accelerator = Accelerator::kKvm;
  EXPECT_TRUE(keys.insert(key_of(example(), host)).second);
}

TEST(TemplateKey, OnlyWithKvmABootOfTheHostCounts) {
  StateHost host = kHost;
  host.boot_id = "b2";
  EXPECT_EQ(key_of(example(), host), key_of(example()));
  StateHost before = kHost;
  before.accelerator = host.accelerator = Accelerator::kKvm;
  EXPECT_NE(key_of(example(), host), key_of(example(), before));
}

TEST(SavedKey, IsTheSameOnEveryHost) {
  const auto key_on = [](vm::GuestSpec spec, const StateHost& host) {
    const auto key = saved_key(std::move(spec), host);
    EXPECT_TRUE(key && image::parse_digest(*key));
    return key.value_or("");
  };
  for (const Accelerator accelerator : {Accelerator::kTcg, Accelerator::kKvm}) {
    StateHost host = kHost;
    host.accelerator = accelerator;
    const std::string key = key_on(example(), host);
    EXPECT_NE(key, key_of(example(), host));
    vm::GuestSpec other = example();
    other.id = VmId(8);
    other.uuid = *Uuid::parse("ffeeddcc-4455-6677-8899-aabbccddeeff");
    other.name = "db";
    other.published.clear();
    StateHost elsewhere = host;
    elsewhere.boot_id = "b2";
    EXPECT_EQ(key_on(other, elsewhere), key);
    elsewhere.version = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-8)";
    EXPECT_NE(key_on(other, elsewhere), key);
    other.memory = mib(129);
    EXPECT_NE(key_on(other, host), key);
  }
}

TEST(TemplateKey, NeedsTheDigestsOfTheImage) {
  for (const bool is_kernel : {true, false}) {
    vm::GuestSpec spec = example();
    (is_kernel ? spec.kernel_digest : spec.initrd_digest).reset();
    const auto key = template_key(spec, kHost);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error().reason(), "templates_unsupported");
    const auto saved = saved_key(spec, kHost);
    ASSERT_FALSE(saved);
    EXPECT_EQ(saved.error().reason(), "saves_unsupported");
  }
}

TEST(TemplateKey, ItsGuestHasANameOfItsOwn) {
  const std::string name = template_name(key_of(example()));
  vm::GuestSpec spec = example();
  spec.name = name;
  EXPECT_TRUE(vm::check_guest_spec(spec)) << name;
}

}  // namespace
}  // namespace blixard::qemu
