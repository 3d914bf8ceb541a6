// An append as it comes from the network: checked and decoded where it lies. Beside it, over the
// same bytes: copying them, which is the most that memory gives, and protobuf, which copies each
// payload out of what it reads (its own message of terms, indexes and bytes).

#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <google/protobuf/descriptor.pb.h>

#include "base/assert.h"
#include "core/wire/frame.h"
#include "core/wire/message.h"
#include "test/perf/report/counting.h"
#include "test/perf/report/report.h"

namespace blixard::perf {
namespace {

constexpr std::size_t kEntries = 64;
constexpr std::uint64_t kCalls = 20'000;

struct Received {
  wire::FrameHeader header;
  std::string body;
  Payload tail;
  [[nodiscard]] std::size_t bytes() const { return body.size() + tail.size(); }
};

// As FrameReader leaves it.
Received receive(const wire::Message& message) {
  wire::FrameWriter writer;
  BLX_ASSERT(wire::encode_message(message, writer));
  std::string bytes;
  for (const std::string_view part : writer.parts())
    bytes += part;
  Received received;
  received.header =
      *wire::decode_frame_header(std::string_view(bytes).substr(0, wire::kFrameHeaderBytes));
  received.body = bytes.substr(wire::kFrameHeaderBytes, received.header.body_bytes);
  received.tail = Payload(bytes.substr(wire::kFrameHeaderBytes + received.header.body_bytes));
  return received;
}

wire::Message append(std::size_t entries, std::size_t payload_bytes) {
  raft::Message message{
      .type = entries > 0 ? raft::MessageType::kAppend : raft::MessageType::kAppendResponse,
      .to = NodeId(2),
      .term = Term(7),
      .log_term = Term(7),
      .index = LogIndex(1000),
      .commit = LogIndex(1000)};
  for (std::size_t i = 0; i < entries; ++i) {
    message.entries.push_back({.term = Term(7),
                               .index = LogIndex(1001 + i),
                               .payload = Payload(std::string(payload_bytes, 'x'))});
  }
  return {.content = std::move(message)};
}

void decode(const Received& received) {
  BLX_ASSERT(
      wire::check_frame_content(received.header, received.body, received.tail.view()).has_value());
  const auto message = wire::decode_message(received.header, received.body, received.tail);
  BLX_ASSERT(message.has_value());
  keep(message->content);
}

// Three fields an entry, as ours has: term, index, payload.
std::string as_protobuf(const wire::Message& message) {
  google::protobuf::FileOptions rival;
  for (const raft::Entry& entry : std::get<raft::Message>(message.content).entries) {
    auto* option = rival.add_uninterpreted_option();
    option->set_positive_int_value(entry.term.value);
    option->set_negative_int_value(static_cast<std::int64_t>(entry.index.value));
    option->set_string_value(std::string(entry.payload.view()));
  }
  return rival.SerializeAsString();
}

double gb_per_s(std::size_t bytes, double ns) { return static_cast<double>(bytes) / ns; }

void add_append(Report& report, std::size_t payload_bytes) {
  const auto message = append(kEntries, payload_bytes);
  const auto received = std::make_shared<const Received>(receive(message));
  const auto rival = std::make_shared<const std::string>(as_protobuf(message));
  const auto copy = std::make_shared<std::string>(received->bytes(), '\0');
  const std::uint64_t calls = kCalls * 128 / (128 + payload_bytes) + 100;
  // What is large costs its checksum, which protobuf does not have.
  std::vector<Target> targets{allocations_at_most(1)};
  if (payload_bytes <= 128) targets.push_back(better_than("protobuf", 2));
  report.add(
      {.name = fmt::format("decode an append of {} entries of {} bytes", kEntries, payload_bytes),
       .unit = "GB/s",
       .better = Better::kHigher,
       .items = {"S36"},
       .measure =
           [=] {
             return gb_per_s(received->bytes(), ns_per_call(calls, [&] { decode(*received); }));
           },
       .baselines = {{"copying the bytes",
                      [=] {
                        const auto ns = ns_per_call(calls, [&] {
                          std::memcpy(copy->data(), received->tail.view().data(),
                                      received->tail.size());
                          keep(*copy);
                        });
                        return gb_per_s(received->bytes(), ns);
                      }},
                     {"protobuf",
                      [=] {
                        const auto ns = ns_per_call(calls, [&] {
                          google::protobuf::FileOptions parsed;
                          BLX_ASSERT(parsed.ParseFromArray(rival->data(),
                                                           static_cast<int>(rival->size())));
                          keep(parsed);
                        });
                        return gb_per_s(received->bytes(), ns);
                      }}},
       .allocations = [=] { return allocations_of([&] { decode(*received); }); },
       .targets = targets});
}

void add_small(Report& report, const char* name, const wire::Message& message) {
  const auto received = std::make_shared<const Received>(receive(message));
  report.add({.name = name,
              .unit = "ns",
              .items = {"S36", "S37"},
              .measure = [=] { return ns_per_call(kCalls * 10, [&] { decode(*received); }); },
              .allocations = [=] { return allocations_of([&] { decode(*received); }); },
              .targets = {allocations_at_most(0)}});
}

// What consensus says of one node to another, without what the users put into it: nodes are numbers
// in it, and who sent it is known by the connection.
void add_bytes(Report& report) {
  constexpr std::size_t kPayload = 128;
  const auto bytes_of = [](const wire::Message& message) {
    return static_cast<double>(wire::kFrameHeaderBytes + receive(message).bytes());
  };
  const double answer = bytes_of(append(0, 0));
  const double one = bytes_of(append(1, kPayload)) - kPayload;
  const double each = (bytes_of(append(kEntries, kPayload)) - bytes_of(append(1, kPayload))) /
                          static_cast<double>(kEntries - 1) -
                      kPayload;
  const auto add = [&](const char* name, double bytes, double most) {
    report.add({.name = name,
                .unit = "bytes",
                .items = {"S24", "S37"},
                .measure = [=] { return bytes; },
                .baselines = {},
                .allocations = nullptr,
                .targets = {at_most(most)}});
  };
  add("an answer to an append, on the wire", answer, 54);
  add("around the payload of an append of one entry, on the wire", one, 80);
  add("around each payload of an append of 64, on the wire", each, 24);
}

int run(int argc, char** argv) {
  Report report("wire_frames");
  add_append(report, 128);
  add_append(report, 4096);
  add_small(report, "decode an answer to an append", append(0, 0));
  add_small(report, "decode a ping", {.id = 1, .content = wire::Ping{}});
  add_small(report, "decode a request of 128 bytes",
            {.id = 1,
             .content = wire::Request{
                 .kind = 1, .timeout_ms = 1000, .body = Payload(std::string(128, 'x'))}});
  add_bytes(report);
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) { return blixard::perf::run(argc, argv); }
