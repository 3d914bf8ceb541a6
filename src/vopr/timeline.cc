#include "vopr/timeline.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/markup.h"
#include "vopr/scenario.h"
#include "vopr/timeline_picture.h"
#include "vopr/timeline_tracks.h"

namespace blixard::vopr {
namespace {

constexpr std::size_t kStepRows = 1'000;
constexpr std::size_t kTraceLines = 400;
constexpr std::size_t kTraceLinesOpen = 60;  // so many are shown without a click
constexpr std::size_t kViolationBytes = 4'000;
constexpr std::size_t kNameBytes = 80;

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--ink:#1c2733;--soft:#5b6875;--line:#d5dbe1;--lane:#f3f5f8;
--leader:#1d5fbf;--follower:#cddbe9;--candidate:#f0b429;--hatch:#c3cbd3;--good:#3aa55d;
--refused:#a9b3bd;--open:#e8780a;--bad:#c62828;--badbg:#fdecea;--cut:#d9480f;--frozen:#0b1622b0;
--pressed:#00000010;
--stretch:#00000018;
--machine:#e57373;--clock:#9575cd;--link:#ff9b54;--disk:#c9a227;--guest:#4db6ac;--intruder:#8d6e63;
--operator:#64a0dc;--v0:#7cb8f2;--v1:#f2b36b;--v2:#93d49b;--v3:#e59ac7;--v4:#c3a6ee;--v5:#e8d05c;
--v6:#7fd6d0;--v7:#d6ab8b}
@media(prefers-color-scheme:dark){:root{--bg:#12181f;--ink:#e3e9ef;--soft:#93a1af;--line:#313c47;
--lane:#1a222b;--leader:#3f87ea;--follower:#2d4155;--candidate:#c08a12;--hatch:#3d4955;
--good:#2f8f4e;--refused:#5b6773;--open:#cf6a06;--bad:#ff6b64;--badbg:#3a1b1b;--cut:#ff7b39;
--frozen:#e8eef4b0;
--pressed:#ffffff10;--stretch:#ffffff20;--machine:#b84f4f;--clock:#7557a8;--link:#c06a28;
--disk:#94761a;--guest:#2f8279;
--intruder:#795c51;--operator:#3c75b0;--v0:#2c6da8;--v1:#a86c23;--v2:#3b8646;--v3:#994d7b;
--v4:#6f52a1;--v5:#8c7a1a;--v6:#27817b;--v7:#86603f}}
body{font:14px/1.45 system-ui,sans-serif;margin:1.5em auto;max-width:1320px;padding:0 1em;
color:var(--ink);background:var(--bg)}
h1{font-size:1.5em;margin:0 0 .3em}h2{font-size:1.1em;margin:1.6em 0 .4em}
h1 .bad{color:var(--bad)}h1 .good{color:var(--good)}p{margin:.35em 0}.soft{color:var(--soft)}
.what{background:var(--badbg);border-left:4px solid var(--bad);padding:.6em .9em;margin:.6em 0;
white-space:pre-wrap;overflow-wrap:anywhere;font-size:1.05em}
code,pre{font:12.5px/1.45 ui-monospace,monospace}code{background:var(--lane);padding:.1em .35em;
border-radius:4px}pre{background:var(--lane);padding:.8em;border-radius:6px;overflow-x:auto}
.facts{display:flex;flex-wrap:wrap;gap:.2em 1.6em;margin:.5em 0}.facts b{font-weight:600}
.key{display:flex;flex-wrap:wrap;gap:.2em 1.2em;font-size:12.5px;color:var(--soft)}
.key i{display:inline-block;width:1.5em;height:.85em;border-radius:2px;margin-right:.4em;
vertical-align:-1px}
.key .pressedkey{background:var(--stretch)}.key .borderkey{width:0;
border-left:2px dashed var(--soft)}
.key .wrongkey{width:0;border-left:3px solid var(--bad)}
.time{overflow-x:auto;border:1px solid var(--line);border-radius:8px;margin:.8em 0}
table{border-collapse:collapse;font-size:13px}th,td{text-align:left;padding:.15em 1em .15em 0;
border-bottom:1px solid var(--line);white-space:nowrap}td.number,th.number{text-align:right}
details{overflow-x:auto}summary{cursor:pointer;font-weight:600;margin:1em 0 .3em}
svg{display:block;width:100%;min-width:940px;height:auto;font:11px system-ui,sans-serif}
svg text{fill:var(--ink);pointer-events:none}
svg .small{font-size:10px}svg .soft{fill:var(--soft)}svg .middle{text-anchor:middle}
svg .last{text-anchor:end}svg .name{font-size:14px;font-weight:700}
svg .heading{font-weight:600;
font-size:12px;fill:var(--soft)}svg .onleader{fill:#fff;font-weight:600}
svg .onwrong{fill:#fff;font-weight:600}.wrongbox{fill:#c62828;rx:4px}
.wrong{stroke:var(--bad);stroke-width:2}.rule,.grid{stroke:var(--line)}.tick{stroke:var(--soft)}
.grid{opacity:.6}.border{stroke:var(--soft);stroke-dasharray:4 3}.pressed{fill:var(--pressed)}
.phase{rx:3px}.quiet{fill:var(--lane)}.trouble{fill:var(--badbg)}
.down{fill:url(#down);stroke:var(--line)}.hatch{stroke:var(--hatch);stroke-width:2}
.follower{fill:var(--follower)}.candidate{fill:var(--candidate)}.leader{fill:var(--leader)}
.cut{fill:var(--cut)}.frozen{fill:var(--frozen)}.cross{stroke:var(--bad);stroke-width:3;fill:none}
.bolt{fill:var(--bad);stroke:var(--bg)}.ring{fill:none;stroke:var(--ink);stroke-width:2}
.notch{stroke:var(--ink);stroke-width:1.5;opacity:.55}
.open{opacity:.75}.v0{fill:var(--v0)}.v1{fill:var(--v1)}.v2{fill:var(--v2)}.v3{fill:var(--v3)}
.v4{fill:var(--v4)}.v5{fill:var(--v5)}.v6{fill:var(--v6)}.v7{fill:var(--v7)}
.s-pending,.s-placed,.s-stopping{opacity:.4}.s-stopped,.s-suspended{opacity:.2}
.s-starting,.s-paused{opacity:.65}.s-paused,.s-suspended{stroke:var(--soft);stroke-dasharray:3 2}
.s-failed,.s-lost{stroke:var(--bad);stroke-width:1.5;opacity:.5}
.o-answered{fill:var(--good)}.o-refused{fill:var(--refused)}.o-uncertain{fill:var(--open)}
.o-open{fill:none;stroke:var(--open);stroke-dasharray:3 2}
.g-machine{fill:var(--machine)}.g-clock{fill:var(--clock)}.g-link{fill:var(--link)}
.g-disk{fill:var(--disk)}.g-guest{fill:var(--guest)}.g-intruder{fill:var(--intruder)}
.g-operator{fill:var(--operator)}
)";

std::string key_of(std::string_view colour, std::string_view words) {
  return fmt::format("<span><i style=\"background:var(--{})\"></i>{}</span>\n", colour, words);
}

std::string keys() {
  std::string text = "<div class=\"key\">\n";
  text += key_of("leader", "leader") + key_of("candidate", "candidate") +
          key_of("follower", "follower");
  text +=
      "<span><i style=\"background:repeating-linear-gradient(135deg,var(--hatch) 0 2px,"
      "transparent 2px 5px)\"></i>down</span>\n"
      "<span><b style=\"color:var(--bad)\">✕</b> killed</span>\n"
      "<span><b style=\"color:var(--bad)\">ϟ</b> power lost</span>\n"
      "<span>○ restarted in order</span>\n"
      "<span>ı snapshot, members, ready, rare event (hover)</span>\n";
  text += key_of("cut", "cut off") + key_of("frozen", "stands still") +
          key_of("v0", "a guest runs, coloured by its VM") + key_of("good", "answered") +
          key_of("refused", "refused") + key_of("open", "uncertain") +
          "<span><i class=\"pressedkey\"></i>time pressed together</span>\n"
          "<span><i class=\"borderkey\"></i>trouble begins, ends</span>\n"
          "<span><i class=\"wrongkey\"></i>what is violated</span>\n</div>\n";
  return text;
}

std::string facts(const Plan& plan, const Report& report) {
  const Counts& counts = report.counts;
  std::string text = "<div class=\"facts\">";
  const auto fact = [&](std::string_view name, const std::string& value) {
    text += fmt::format("<span>{} <b>{}</b></span>\n", name, escaped(shortened(value, kNameBytes)));
  };
  fact("scenario", plan.scenario);
  fact("seed", fmt::format("{}", plan.seed));
  fact("nodes", plan.settings.spares == 0
                    ? fmt::format("{}", plan.settings.nodes)
                    : fmt::format("{} and {} spare", plan.settings.nodes, plan.settings.spares));
  fact("virtual time", seconds_text(report.elapsed) + " s");
  fact("decisions", fmt::format("{}", plan.steps.size()));
  fact("operations", fmt::format("{}", counts.operations));
  fact("entries", fmt::format("{}", counts.entries));
  fact("elections", fmt::format("{}", counts.elections));
  fact("guests", fmt::format("{}", counts.guests));
  fact("trace hash", fmt::format("{:016x}", report.trace_hash));
  return text + "</div>\n";
}

std::string cell(std::string_view style, const std::string& words) {
  return fmt::format("<td{}>{}</td>", style, escaped(words));
}

std::string row_of(const Step& step, Duration trouble_from) {
  constexpr std::string_view kNumber = " class=\"number\"";
  const Uses uses = step.action == Action::kNone ? Uses{} : facts_of(step.action).uses;
  const auto node = [](std::uint32_t number) {
    return number == 0 ? std::string("leader") : fmt::format("n{}", number);
  };
  std::string text = "<tr>";
  text += cell(kNumber, seconds_text(trouble_from + step.at));
  text += cell("", std::string(step.action == Action::kNone ? "none" : facts_of(step.action).name));
  text += cell("", uses.node ? node(step.node) : "");
  text += cell("", uses.other ? node(step.other) : "");
  text += cell(kNumber, uses.length ? seconds_text(step.length) + " s" : "");
  text += cell(kNumber, uses.amount ? fmt::format("{}", step.amount) : "");
  text += cell("", step.client != 0 ? fmt::format("client {}", step.client) : "");
  text += cell("", uses.vm ? fmt::format("vm {}", step.vm) : "");
  text += cell("", step.manner == Manner::kNoisy      ? "noisy"
                   : step.manner == Manner::kVanishes ? "vanishes"
                                                      : "");
  return text + "</tr>\n";
}

std::string steps_section(const Plan& plan, const Report& report) {
  std::string text = fmt::format(
      "<details{}><summary>The plan, {} long: each decision and when it was due</summary>\n"
      "<table><tr><th class=\"number\">seconds</th><th>decision</th><th>node</th><th>other</th>"
      "<th class=\"number\">for</th><th class=\"number\">amount</th><th></th><th></th><th></th>"
      "</tr>\n",
      plan.steps.size() <= 40 ? " open" : "", plan.steps.size());
  for (std::size_t i = 0; i < std::min(plan.steps.size(), kStepRows); ++i)
    text += row_of(plan.steps[i], report.trouble_from);
  text += "</table>\n";
  if (plan.steps.size() > kStepRows) {
    text += fmt::format("<p class=\"soft\">{} more are in the file below.</p>\n",
                        plan.steps.size() - kStepRows);
  }
  return text + "</details>\n";
}

std::string trace_section(const Report& report) {
  std::size_t end = report.events.size();
  if (report.violation) {
    const auto after =
        std::ranges::upper_bound(report.events, report.violation->at, {}, &TraceEvent::at);
    end = static_cast<std::size_t>(after - report.events.begin());
  }
  const std::size_t first = end > kTraceLines ? end - kTraceLines : 0;
  std::string text = fmt::format("<details{}><summary>The last {} events {}</summary>\n<pre>{}\n",
                                 end - first <= kTraceLinesOpen ? " open" : "", end - first,
                                 report.violation ? "before the violation" : "of the run",
                                 escaped(trace_header()));
  for (std::size_t i = first; i < end; ++i)
    text += escaped(trace_line(report.events[i])) + "\n";
  return text + "</pre></details>\n";
}

std::string again_section(const Plan& plan) {
  return fmt::format(
      "<h2>Run it again</h2>\n"
      "<p>Save the text below as plan.toml, then <code>blixard-vopr replay plan.toml</code>; with "
      "<code>--trace</code> each event has a line, with <code>--log info</code> the daemons speak."
      "</p>\n<details><summary>plan.toml</summary>\n<pre>{}</pre></details>\n",
      escaped(scenario_text(plan)));
}

}  // namespace

std::string timeline_page(const Plan& plan, const Report& report) {
  Tracks tracks = tracks_of(plan, report);
  const std::string drawing = timeline_picture(plan, report, tracks);
  const std::string verdict =
      report.violation ? fmt::format("<span class=\"bad\">{} is violated</span> at {} s",
                                     escaped(shortened(report.violation->checker, kNameBytes)),
                                     seconds_text(report.violation->at))
                       : std::string("<span class=\"good\">every checker is content</span>");
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>{} {}: {}</title>"
      "<style>{}</style></head><body>\n<h1>{}</h1>\n",
      escaped(shortened(plan.scenario, kNameBytes)), plan.seed,
      report.violation ? escaped(shortened(report.violation->checker, kNameBytes)) : "content",
      kStyle, verdict);
  if (report.violation) {
    page += fmt::format("<div class=\"what\">{}</div>\n",
                        escaped(shortened(report.violation->text, kViolationBytes)));
  }
  page += facts(plan, report) + keys() + "<div class=\"time\">" + drawing + "</div>\n";
  if (!tracks.left_out.empty()) {
    page += fmt::format("<p class=\"soft\">Not drawn, to keep this readable: {}.</p>\n",
                        escaped(fmt::format("{}", fmt::join(tracks.left_out, ", "))));
  }
  page += steps_section(plan, report) + trace_section(report) + again_section(plan);
  return page + "</body></html>\n";
}

}  // namespace blixard::vopr
