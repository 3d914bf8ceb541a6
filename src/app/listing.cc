#include "app/listing.h"

#include <map>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/output.h"

namespace blixard::app {

namespace json = boost::json;

std::string published_text(const json::value& vm) {
  std::string out;
  for (const auto& port : items_of(vm, "published_ports")) {
    if (!out.empty()) out += ",";
    out += text_of(port, "host_port") + ":" + text_of(port, "guest_port");
  }
  return out;
}

std::string counts_text(const json::value& status) {
  std::string out;
  for (const auto& entry : items_of(status, "vms_by_state")) {
    if (!out.empty()) out += ", ";
    out += text_of(entry, "count") + " " + text_of(entry, "state");
  }
  return out;
}

std::string saved_text(const json::value& saved) {
  if (!saved.is_object()) return {};
  constexpr std::uint64_t kMib = 1024 * 1024;
  const json::value* bytes = saved.as_object().if_contains("bytes");
  boost::system::error_code error;
  const auto size = bytes == nullptr ? 0 : bytes->to_number<std::uint64_t>(error);
  const std::string node = text_of(saved, "node");
  std::string text =
      fmt::format("{} MiB on {}, saved {}", (size + kMib - 1) / kMib,
                  node.empty() ? "a node that was removed" : node, text_of(saved, "saved"));
  const std::string used_by = text_of(saved, "used_by");
  if (!used_by.empty() && used_by != "0") text += ", used by generation " + used_by;
  return text;
}

std::string snapshot_text(const json::value& snapshot) {
  if (!snapshot.is_object()) return "none";
  if (text_of(snapshot, "under_way") == "true") return "under way";
  const json::value* guest = snapshot.as_object().if_contains("guest");
  std::string text = guest == nullptr ? "none" : saved_text(*guest);
  if (const std::string error = text_of(snapshot, "error"); !error.empty())
    text += "; the last one was not made: " + error;
  return text;
}

std::string vms_table(const json::value& answer, WallTime now) {
  Table table({"NAME", "STATE", "IMAGE", "VCPUS", "MEMORY", "NODE", "PUBLISHED", "AGE", "REASON"});
  for (const auto& vm : items_of(answer, "vms")) {
    std::string reason = text_of(vm, "reason");
    if (const auto end = reason.find('\n'); end != std::string::npos) reason.resize(end);
    table.add({text_of(vm, "name"), text_of(vm, "state"), text_of(vm, "image"),
               text_of(vm, "vcpus"), text_of(vm, "memory_mib") + "MiB", text_of(vm, "node"),
               published_text(vm), age_since(text_of(vm, "created"), now), reason});
  }
  return table.text();
}

std::string images_table(const json::value& answer) {
  Table table({"NAME", "ARCHITECTURE", "KERNEL", "ADDED"});
  for (const auto& image : items_of(answer, "images")) {
    table.add({text_of(image, "name"), text_of(image, "architecture"),
               text_of(image, "kernel_version"), text_of(image, "added")});
  }
  return table.text();
}

std::string tokens_table(const json::value& answer) {
  Table table({"ID", "ROLE", "EXPIRES", "STATE"});
  for (const auto& token : items_of(answer, "tokens")) {
    const std::string used_by = text_of(token, "used_by");
    const bool is_used = !used_by.empty() && used_by != "0";
    const std::string state = is_used                               ? "used by node " + used_by
                              : text_of(token, "expired") == "true" ? "expired"
                                                                    : "unused";
    table.add({text_of(token, "id"), text_of(token, "role"), text_of(token, "expires"), state});
  }
  return table.text();
}

std::string failpoints_table(const json::value& answer) {
  Table table({"NAME", "KIND", "ACTIONS", "PASSED", "FIRED", "WAITING"});
  for (const auto& site : items_of(answer, "failpoints")) {
    table.add({text_of(site, "name"), text_of(site, "kind"), text_of(site, "actions"),
               text_of(site, "passed"), text_of(site, "fired"), text_of(site, "waiting")});
  }
  return table.text();
}

namespace {

std::string takes_vms(const json::value& node) {
  if (text_of(node, "leaving") == "true") return "no, leaving";
  if (const auto* drain = node.as_object().if_contains("drain"); drain != nullptr) {
    return text_of(*drain, "ended").empty() ? "no, being drained" : "no, drained";
  }
  return text_of(node, "cordoned") == "true" ? "no, cordoned" : "yes";
}

}  // namespace

std::string nodes_table(const json::value& answer, const json::value& cluster) {
  Table table({"ID", "NAME", "ROLE", "MEMBER", "ADDRESS", "LAG", "LINK", "TAKES VMS", "VMS",
               "VCPUS", "MEMORY", "ACCELERATOR", "VERSION"});
  std::map<std::string, json::value> members;
  for (const auto& member : items_of(cluster, "members"))
    members.emplace(text_of(member, "id"), member);
  for (const auto& node : items_of(answer, "nodes")) {
    const auto found = members.find(text_of(node, "id"));
    const json::value member = found == members.end() ? json::object() : found->second;
    const std::string link = text_of(member, "connected");
    const std::string what = text_of(node, "leaving") == "true"    ? "leaving"
                             : text_of(member, "leader") == "true" ? "leader"
                                                                   : text_of(node, "membership");
    table.add({text_of(node, "id"), text_of(node, "name"), text_of(node, "role"), what,
               text_of(member, "address"), text_of(member, "lag"),
               link.empty() ? "" : (link == "true" ? "up" : "down"), takes_vms(node),
               text_of(node, "vms"), text_of(node, "vcpus"), text_of(node, "memory_mib") + "MiB",
               text_of(node, "accelerator"), text_of(node, "version")});
  }
  return table.text();
}

}  // namespace blixard::app
