"""A collector for tests: takes OTLP/HTTP in JSON on loopback and checks every field, strictly, by
the specification (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding")."""

import http.server
import json
import re
import threading

HEX = {32: re.compile(r"[0-9a-f]{32}"), 16: re.compile(r"[0-9a-f]{16}")}
NANOS = re.compile(r"[0-9]{19}")  # of our century
NUMBER = re.compile(r"-?[0-9]+")


def only(thing, required, optional=()):
    """An object with these members and no others."""
    assert isinstance(thing, dict), thing
    assert set(required) <= set(thing), (required, thing)
    assert set(thing) <= set(required) | set(optional), thing


def check_attributes(items):
    assert isinstance(items, list)
    seen = {}
    for item in items:
        only(item, ("key", "value"))
        assert item["key"] and item["key"] not in seen, item
        (kind, value), = item["value"].items()
        assert isinstance(value, str), item  # 64 bit numbers are strings, too
        assert kind == "stringValue" or (kind == "intValue" and NUMBER.fullmatch(value)), item
        seen[item["key"]] = value if kind == "stringValue" else int(value)
    return seen


def check_resource(of):
    only(of, ("attributes",))
    attributes = check_attributes(of["attributes"])
    assert attributes["service.name"] == "blixard", attributes
    for name in ("service.version", "service.instance.id", "host.name", "blixard.node.name"):
        assert attributes[name], attributes
    return attributes


def is_id(text, digits):
    return isinstance(text, str) and HEX[digits].fullmatch(text) and set(text) != {"0"}


def check_span(span):
    only(span, ("traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
                "attributes", "status"), ("parentSpanId",))
    assert is_id(span["traceId"], 32) and is_id(span["spanId"], 16), span
    assert "parentSpanId" not in span or is_id(span["parentSpanId"], 16), span
    assert isinstance(span["name"], str) and span["name"], span
    assert span["kind"] in (1, 2, 3), span
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        assert isinstance(span[name], str) and NANOS.fullmatch(span[name]), span
    assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]), span
    only(span["status"], (), ("code", "message"))
    assert span["status"] in ({},) or span["status"]["code"] == 2, span
    check_attributes(span["attributes"])


def read_traces(document, optional=()):
    """[(resource attributes, span)] of a document, checked."""
    only(document, ("resourceSpans",), optional)
    found = []
    for resource in document["resourceSpans"]:
        only(resource, ("resource", "scopeSpans"))
        attributes = check_resource(resource["resource"])
        for scope in resource["scopeSpans"]:
            only(scope, ("scope", "spans"))
            only(scope["scope"], ("name",))
            for span in scope["spans"]:
                check_span(span)
                found.append((attributes, span))
    return found


def check_point(point, value):
    only(point, ("attributes", "timeUnixNano", *value), ("startTimeUnixNano",))
    check_attributes(point["attributes"])
    assert NANOS.fullmatch(point["timeUnixNano"]), point


def check_metric(metric):
    only(metric, ("name", "description", "unit"), ("sum", "gauge", "histogram"))
    assert re.fullmatch(r"(blixard|process)_[a-z0-9_]+", metric["name"]), metric
    (kind,) = {"sum", "gauge", "histogram"} & set(metric)
    data = metric[kind]
    if kind == "sum":
        only(data, ("dataPoints", "aggregationTemporality", "isMonotonic"))
        assert data["isMonotonic"] is True and data["aggregationTemporality"] == 2, metric
    elif kind == "histogram":
        only(data, ("dataPoints", "aggregationTemporality"))
    else:
        only(data, ("dataPoints",))
    assert data["dataPoints"], metric
    for point in data["dataPoints"]:
        if kind == "histogram":
            check_point(point, ("count", "sum", "bucketCounts", "explicitBounds"))
            assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1, point
            assert sum(map(int, point["bucketCounts"])) == int(point["count"]), point
            assert point["explicitBounds"] == sorted(set(point["explicitBounds"])), point
        else:
            value = "asInt" if "asInt" in point else "asDouble"
            check_point(point, (value,))
            number = point[value]
            assert isinstance(number, str) == (value == "asInt"), point
            assert kind == "gauge" or float(number) >= 0, point
    return metric["name"], data["dataPoints"]


def read_metrics(document):
    """{name: data points} of a document, checked."""
    only(document, ("resourceMetrics",))
    found = {}
    for resource in document["resourceMetrics"]:
        only(resource, ("resource", "scopeMetrics"))
        check_resource(resource["resource"])
        for scope in resource["scopeMetrics"]:
            only(scope, ("scope", "metrics"))
            for metric in scope["metrics"]:
                name, points = check_metric(metric)
                assert name not in found, name
                found[name] = points
    return found


class Collector:
    """Listens on a port of its own. What was wrong is told by close()."""

    def __init__(self):
        self.spans = []  # (resource attributes, span)
        self.metrics = []  # one document each
        self.wrong = []
        self.lock = threading.Lock()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    collector.take(self.path, self.headers, body)
                except Exception as error:  # told by the test
                    collector.wrong.append(repr(error))
                answer = b"{}"
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path, headers, body):
        assert headers["Content-Type"] == "application/json", headers
        document = json.loads(body)
        if path == "/v1/traces":
            found = read_traces(document)
            with self.lock:
                self.spans += found
        else:
            assert path == "/v1/metrics", path
            found = read_metrics(document)
            with self.lock:
                self.metrics.append(found)

    def trace(self, trace_id):
        with self.lock:
            return [(of, span) for of, span in self.spans if span["traceId"] == trace_id]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        assert not self.wrong, self.wrong[:3]
