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
#include "observe/allocations.h"
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
  report.add(
      {.name = fmt::format("append of {} entries of {} bytes", kEntries, payload_bytes),
       .unit = "GB/s",
       .better = Better::kHigher,
       .items = {"S36"},
       .measure =
           [=] {
             return gb_per_s(received->bytes(), ns_per_call(calls, [&] { decode(*received); }));
           },
       .baselines = {{"memcpy",
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
       .allocations =
           [=] {
             const observe::AllocationCounts before = observe::thread_allocations();
             decode(*received);
             return static_cast<double>((observe::thread_allocations() - before).allocations);
           },
       .targets = {better_than("protobuf", 2), allocations_at_most(1)}});
}

void add_small(Report& report, const char* name, const wire::Message& message) {
  const auto received = std::make_shared<const Received>(receive(message));
  report.add({.name = name,
              .unit = "ns",
              .items = {"S36", "S37"},
              .measure = [=] { return ns_per_call(kCalls * 10, [&] { decode(*received); }); },
              .allocations =
                  [=] {
                    const observe::AllocationCounts before = observe::thread_allocations();
                    decode(*received);
                    return static_cast<double>(
                        (observe::thread_allocations() - before).allocations);
                  },
              .targets = {allocations_at_most(0)}});
}

int run(int argc, char** argv) {
  Report report("wire_frames");
  add_append(report, 128);
  add_append(report, 4096);
  add_small(report, "answer to an append", append(0, 0));
  add_small(report, "ping", {.id = 1, .content = wire::Ping{}});
  add_small(report, "request of 128 bytes",
            {.id = 1,
             .content = wire::Request{
                 .kind = 1, .timeout_ms = 1000, .body = Payload(std::string(128, 'x'))}});
  return report.main(argc, argv);
}

}  // namespace
}  // namespace blixard::perf

int main(int argc, char** argv) { return blixard::perf::run(argc, argv); }
