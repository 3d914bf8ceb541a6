#include "app/trace_commands.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

#include <boost/json.hpp>
#include <fmt/format.h>

#include "app/output.h"
#include "app/trace_tree.h"
#include "app/whole_file.h"
#include "base/limits.h"

namespace blixard::app {
namespace {

namespace json = boost::json;

constexpr std::size_t kWidth = 110;  // of what is no terminal

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kWidth;
  return size.ws_col;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

Result<void> write_file(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  const bool is_whole =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const bool is_closed = file != nullptr && std::fclose(file) == 0;
  if (is_whole && is_closed) return {};
  return fail(Code::kFailedPrecondition, "file_unwritable", "cannot write " + path);
}

}  // namespace

env::Task<Result<void>> list_traces(ApiClient& api, OutputFormat output, WallTime now) {
  BLX_CO_TRY(const json::value answer, co_await api.get("/v1/traces"));
  if (output == OutputFormat::kJson) {
    print(pretty(answer));
    co_return Result<void>();
  }
  Table table({"TRACE", "NAME", "AGE", "TAKES", "SPANS", "FAILURE"});
  for (const auto& trace : items_of(answer, "traces")) {
    const std::string took = text_of(trace, "duration_us");
    const std::int64_t us = std::strtoll(took.c_str(), nullptr, 10);
    table.add({text_of(trace, "id"), text_of(trace, "name"),
               age_since(text_of(trace, "begun"), now), duration_text(us * 1000),
               text_of(trace, "spans"), text_of(trace, "failure")});
  }
  print(table.text());
  co_return Result<void>();
}

env::Task<Result<void>> show_trace(ApiClient& api, const TraceShow& show, OutputFormat output) {
  std::string text;
  if (show.id == "-") {
    BLX_CO_TRY(text, whole_file("-", limits::kTraceJsonBytes));
  } else {
    const auto id = observe::TraceId::parse(show.id);
    if (!id) {
      co_return fail(Code::kInvalidArgument, "trace_id_invalid",
                     "'" + show.id + "' is not the id of a trace: 32 lower case hex digits");
    }
    BLX_CO_TRY(text, co_await api.get_text("/v1/traces/" + id->text()));
  }
  BLX_CO_TRY(const trace::Traces traces, trace::read_otlp_json(text));
  BLX_CO_TRY(const TraceTree tree, trace_tree(traces));
  if (!show.html_path.empty()) {
    BLX_CO_TRY(write_file(show.html_path, trace_page(tree)));
    if (output != OutputFormat::kJson) {
      print(fmt::format("{}: {} spans on {} nodes\n", show.html_path, tree.rows.size(),
                        tree.nodes.size()));
    }
  }
  if (output == OutputFormat::kJson) {
    print(text);
  } else if (show.html_path.empty()) {
    print(trace_text(tree, terminal_width()));
  }
  co_return Result<void>();
}

}  // namespace blixard::app
