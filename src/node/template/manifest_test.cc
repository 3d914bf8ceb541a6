#include "node/template/manifest.h"

#include "base/limits.h"

namespace blixard::templates {
namespace {

Manifest example() {
  return {.key = std::string(64, 'a'),
          .image = "guest",
          .vcpus = 2,
          .memory = mib(256),
          .accelerator = vm::Accelerator::kKvm,
          .tsc_khz = 2'596'130,
          .made = WallTime{1'700'000'000'123},
          .files = {{.name = "ram", .size = mib(256), .digest = image::digest_of("ram")},
                    {.name = "state", .size = Bytes(68'226), .digest = image::digest_of("state")}}};
}

TEST(Manifest, SurvivesItsTextForm) {
  const Manifest manifest = example();
  const auto read = Manifest::decode(manifest.encode());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->key, manifest.key);
  EXPECT_EQ(read->image, manifest.image);
  EXPECT_EQ(read->vcpus, manifest.vcpus);
  EXPECT_EQ(read->memory, manifest.memory);
  EXPECT_EQ(read->accelerator, manifest.accelerator);
  EXPECT_EQ(read->tsc_khz, manifest.tsc_khz);
  EXPECT_EQ(read->made, manifest.made);
  EXPECT_EQ(read->files, manifest.files);
}

TEST(Manifest, RefusesEveryDamage) {
  const std::string whole = example().encode();
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(Manifest::decode(std::string_view(whole).substr(0, size))) << size;
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text : {
           with("\"format\":1", "\"format\":0"),
           with("\"format\":1", "\"format\":\"1\""),
           with("aaaa", "aaa"),
           with("aaaa", "aaag"),
           with("\"vcpus\":2", "\"vcpus\":4000000000"),
           with("\"vcpus\":2", "\"vcpus\":-2"),
           with("\"memory_mib\":256", "\"memory_mib\":99999999999"),
           with("\"kvm\"", "\"xen\""),
           with("\"size\":68226", "\"size\":-1"),
           with("\"size\":68226", "\"size\":18446744073709551615"),
           with("\"blake3\":\"", "\"blake3\":\"0"),
           with("\"files\":[", "\"files\":[7,"),
           with("\"guest\"", "\"gu\\u0007st\""),
           std::string("[]"),
           std::string(limits::kTemplateManifestBytes + 1, ' '),
       }) {
    const auto read = Manifest::decode(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().reason(), "manifest_invalid") << text;
  }
}

TEST(Manifest, OfANewerProgramIsToldApart) {
  std::string text = example().encode();
  text.replace(text.find("\"format\":1"), 10, "\"format\":2");
  const auto read = Manifest::decode(text);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().reason(), "manifest_newer");
}

TEST(Manifest, TheTimeStampCounterIsMeasuredAndNotCounted) {
  EXPECT_TRUE(tsc_agrees(2'596'130, 2'596'133));
  EXPECT_TRUE(tsc_agrees(2'596'133, 2'596'130));
  EXPECT_TRUE(tsc_agrees(0, 0));
  EXPECT_FALSE(tsc_agrees(0, 2'596'130));
  EXPECT_FALSE(tsc_agrees(2'596'130, 0));
  EXPECT_FALSE(tsc_agrees(2'596'130, 2'600'000));
}

}  // namespace
}  // namespace blixard::templates
