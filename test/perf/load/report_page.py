"""The load test's report: one page of HTML."""

import html

import plots

# Counters of a node that are shown per second: title, name of the metric, unit, items.
RATES = [
    ("proposals", "blixard_raft_proposals_total", "/s", ["S47"]),
    ("applied commands", "blixard_raft_applied_commands_total", "/s", ["S47"]),
    ("allocations", "blixard_allocations_total", "/s", ["S42", "S45"]),
    ("allocated bytes", "blixard_allocated_bytes_total", "bytes/s", ["S42", "S45"]),
    ("time waited for locks", "blixard_lock_wait_seconds_total", "s/s", ["S46"]),
]


def over_time(outcome, key, scale=1.0):
    return [(number + 0.5, second[key] * scale)
            for number, second in enumerate(outcome["over_time"])]


def targets(result):
    rows = []
    for row in result["cases"]:
        if "target" in row:
            met = ("met", "good") if row["met"] else ("missed", "bad")
            rows.append([row["name"], f"{row['value']:,.2f} {row['unit']}", row["target"], met])
    return plots.table(["target", "measured", "wanted", ""], rows) if rows else ""


def operations(outcome):
    keys = ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")
    rows = []
    for name, row in [*outcome["operations"].items(), ("all", outcome["all"])]:
        errors = ", ".join(f"{number} x {reason}" for reason, number in row["errors"].items())
        rows.append([name, f"{row['done']:,}", (errors or "none", "bad" if errors else ""),
                     *(f"{row[key] / 1000:,.2f}" for key in keys)])
    return plots.table(["operation", "done", "errors", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms",
                        "max ms"], rows)


def charts(outcome, nodes, arguments):
    limit = 50 if arguments.vms > 1000 else 10
    found = [
        plots.chart("Latency of all operations", "ms, by the second in which they were to begin",
                    [("p50", over_time(outcome, "p50_us", 1e-3)),
                     ("p99", over_time(outcome, "p99_us", 1e-3)),
                     ("max", over_time(outcome, "max_us", 1e-3))],
                    mark=(limit, f"p99 wanted: {limit} ms"), logarithmic=True),
        plots.chart("Operations", "per second",
                    [("to begin", over_time(outcome, "intended")),
                     ("done", over_time(outcome, "done")),
                     ("failed", over_time(outcome, "failed"))]),
        plots.chart("Resident memory", "MiB", [(n.name, n.level("resident")) for n in nodes],
                    mark=None if arguments.vms > 1000 else (64, "leader wanted: 64 MiB")),
        plots.chart("CPU", "% of one CPU",
                    [(n.name, [(x, 100 * y) for x, y in n.rate("cpu")]) for n in nodes]),
    ]
    for title, name, unit, _ in RATES:
        found.append(plots.chart(f"{title[0].upper()}{title[1:]}", unit,
                                 [(n.name, n.rate(name)) for n in nodes]))
    return [chart for chart in found if chart]


def page(result, outcome, nodes, arguments):
    verdict = outcome["verdict"]
    title = f"{arguments.vms:,} VMs on {arguments.nodes} nodes, " \
        f"{outcome['intended_rate']:,.0f} operations/s"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(result['machine'])}; {len(outcome['over_time'])} s, an open loop: "
        "latency counts from the instant at which an operation was to begin.</p>",
        "<h2>Targets</h2>", targets(result),
        "<h2>Operations</h2>", operations(outcome),
        f"<p>At the end {verdict['found']:,} VMs were there and {verdict['expected']:,} were "
        f"acknowledged: {verdict['missing']} missing, {verdict['unasked']} that should not be, "
        f"{verdict['differing']} with another wish, {verdict['unsettled']} not yet as desired "
        f"after {verdict['seconds']:.1f} s, {verdict['uncertain']} uncertain.</p>",
        "<h2>Over time</h2><div class=\"plots\">", *charts(outcome, nodes, arguments), "</div>",
    ]
    if "prometheus" in result:
        parts.append("<h2>Prometheus</h2><ul>")
        parts += [f"<li>{html.escape(line)}</li>" for line in result["prometheus"]]
        parts.append("</ul>")
    return plots.page(title, parts)
