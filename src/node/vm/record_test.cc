#include "base/limits.h"
#include "node/vm/driver.h"

namespace blixard::vm {
namespace {

Record example() {
  return {
      .id = VmId(7),
      .generation = Generation(3),
      .uuid = *Uuid::parse("00112233-4455-6677-8899-aabbccddeeff"),
      .name = "we\"b",
      .directory = "/var/lib/blixard/vms/7",
      .group = "vm-7",
      .published = {{8080, 80}, {65535, 1}},
      .accelerator = Accelerator::kKvm,
      .process = {.pid = 4242, .start_ticks = 0xffff'ffff'ffff'fff0},
      .template_key = std::string(64, 'a'),
      .is_resumed = true,
      .standby = *Uuid::parse("ffeeddcc-bbaa-4999-8888-776655443322"),
  };
}

TEST(Record, SurvivesItsTextForm) {
  const Record record = example();
  const auto read = Record::decode(record.encode());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->encode(), record.encode());
  EXPECT_EQ(read->id, record.id);
  EXPECT_EQ(read->uuid, record.uuid);
  EXPECT_EQ(read->name, record.name);
  EXPECT_EQ(read->published, record.published);
  EXPECT_EQ(read->accelerator, record.accelerator);
  EXPECT_EQ(read->process, record.process);
  EXPECT_EQ(read->template_key, record.template_key);
  EXPECT_EQ(read->is_resumed, record.is_resumed);
  EXPECT_EQ(read->standby, record.standby);
}

TEST(Record, OneFromBeforeTemplatesAndSavesBooted) {
  std::string text = example().encode();
  const std::size_t at = text.find(",\"template\"");
  ASSERT_NE(at, std::string::npos);
  text.erase(at, text.size() - at - 1);
  const auto read = Record::decode(text);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->template_key, "");
  EXPECT_FALSE(read->is_resumed);
  EXPECT_TRUE(read->standby.is_nil());
}

TEST(Record, RefusesEveryDamage) {
  const std::string whole = example().encode();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Record::decode(std::string_view(whole).substr(0, size))) << size;
  }
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text : {
           with("\"format\":1", "\"format\":2"),
           with("\"id\":7", "\"id\":0"),
           with("\"id\":7", "\"id\":-7"),
           with("\"id\":7", "\"id\":\"7\""),
           with("\"pid\":4242", "\"pid\":-1"),
           with("\"pid\":4242", "\"pid\":4294967296"),
           with("65535", "65536"),
           with("00112233", "0011223x"),
           with("\"kvm\"", "\"xen\""),
           with("aaaa", "aaa"),
           with("aaaa", "aaax"),
           with("\"name\":", "\"nome\":"),
           with("\"resumed\":true", "\"resumed\":1"),
           with("\"standby\":\"ffee", "\"standby\":\"ff"),
           std::string("[]"),
           std::string(limits::kVmRecordBytes + 1, ' '),
       }) {
    const auto read = Record::decode(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().reason(), "record_invalid");
  }
  EXPECT_TRUE(Record::decode(with("\"format\":1", "\"later\":[1],\"format\":1")));
}

}  // namespace
}  // namespace blixard::vm
