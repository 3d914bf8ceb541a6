#!/usr/bin/env python3
"""Nodes, requests and items for measuring placement, drawn from a table by a seed.

What it writes is what `blixard-vopr place` reads. The same arguments give the same bytes. The
table is test/perf/placement/mix.toml: classes of machines, shapes of requests, and mixes of them,
each with a share. `resample` and `arrivals` draw from a file of requests instead, so that a trace
that may not be stored here can be used by those who have it.
"""

import argparse
import bisect
import csv
import itertools
import pathlib
import random
import sys
import tomllib

TABLE = pathlib.Path(__file__).resolve().parent.parent / "test/perf/placement/mix.toml"
NODE_COLUMNS = ["sn", "cpu_milli", "memory_mib", "gpu", "model"]
REQUEST_COLUMNS = ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec"]
WHOLE_GPU = 1000  # thousandths
COUNT_MAX = 10_000_000
AMOUNT_MAX = 1 << 40
LOAD_MAX = 100.0
# OR-library's binpack1-4 are uniform in 20..100 for bins of 150; the Weibull items are of
# published work on heuristics for bins of 100.
UNIFORM_LEAST, UNIFORM_MOST = 20, 100
WEIBULL_SCALE, WEIBULL_SHAPE = 45.0, 3.0
WEIBULL_LEAST, WEIBULL_MOST = 1, 100

EXAMPLES = """examples:
  placement_mix.py nodes --nodes 1213 --seed 1 > nodes.csv
  placement_mix.py nodes --nodes 100000 --seed 1 --fleet plain > nodes.csv
  placement_mix.py requests --count 8152 --seed 1 --mix gpu-sharing > requests.csv
  placement_mix.py requests --count 8152 --seed 1 --mix multi-gpu --spec-percent 33 > requests.csv
  placement_mix.py bins --distribution weibull --count 5000 --seed 1 > items.txt
  placement_mix.py resample --requests trace.csv --count 8152 --seed 1 > like_trace.csv
  placement_mix.py arrivals --requests trace.csv --nodes nodes.csv --load 1.3 --seed 42 > run.csv
  placement_mix.py check"""


class Unusable(Exception):
    """Input that nothing can be made of; the text says what and where."""


class Draw:
    """Values with integer weights, drawn by a generator."""

    def __init__(self, pairs):
        self.values = [value for value, _ in pairs]
        self.ends = list(itertools.accumulate(weight for _, weight in pairs))

    def one(self, generator):
        return self.values[bisect.bisect_right(self.ends, generator.randrange(self.ends[-1]))]


def amount(text, what, least=0, most=AMOUNT_MAX):
    """An integer of the input, bounded."""
    digits = str(text)
    if isinstance(text, bool) or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise Unusable(f"{what} is {text!r}, not a whole number")
    value = int(digits)
    if not least <= value <= most:
        raise Unusable(f"{what} is {value}, not in {least}..{most}")
    return value


def check_gpus(num_gpu, gpu_milli, where):
    if num_gpu == 0 and gpu_milli != 0:
        raise Unusable(f"{where}: gpu_milli is {gpu_milli} of no GPU")
    if num_gpu > 0 and gpu_milli == 0:
        raise Unusable(f"{where}: gpu_milli is 0 of {num_gpu} GPUs")
    if num_gpu > 1 and gpu_milli != WHOLE_GPU:
        raise Unusable(f"{where}: {num_gpu} GPUs and a fraction, gpu_milli {gpu_milli}")


def demand_milli(request):
    return int(request["num_gpu"]) * int(request["gpu_milli"])


class Table:
    """mix.toml, checked."""

    def __init__(self, data):
        parts = {}
        for name in ("mixes", "specs", "fleets", "kinds"):
            parts[name] = data.get(name)
            if not isinstance(parts[name], dict) or not parts[name]:
                raise Unusable(f"[{name}] is missing")
        if unknown := set(data) - set(parts):
            raise Unusable(f"[{min(unknown)}] is unknown")
        self.kinds = {name: self._shapes(f"kinds.{name}", kind.get("shapes"))
                      for name, kind in parts["kinds"].items()}
        self.fleets = {name: self._classes(f"fleets.{name}", fleet.get("classes"))
                       for name, fleet in parts["fleets"].items()}
        self.mixes = {name: self._mix(name, mix) for name, mix in parts["mixes"].items()}
        self.specs = {name: self._spec(name, parts["specs"].get(name))
                      for name in ("single", "several")}

    @staticmethod
    def _rows(where, rows, length):
        if not isinstance(rows, list) or not rows:
            raise Unusable(f"{where} has no rows")
        for number, row in enumerate(rows, 1):
            if not isinstance(row, list) or len(row) != length:
                raise Unusable(f"{where}, row {number}: {length} values are expected, not {row!r}")
            yield f"{where}, row {number}", row, amount(row[-1], f"{where}, row {number}: share", 1)

    def _shapes(self, where, rows):
        found = []
        for at, row, share in self._rows(where, rows, 5):
            shape = tuple(amount(value, f"{at}: {column}")
                          for value, column in zip(row, REQUEST_COLUMNS[1:5]))
            check_gpus(shape[2], shape[3], at)
            found.append((shape, share))
        return found

    def _classes(self, where, rows):
        found = []
        for at, row, share in self._rows(where, rows, 5):
            numbers = tuple(amount(value, f"{at}: {column}")
                            for value, column in zip(row, NODE_COLUMNS[1:4]))
            if bool(numbers[2]) != bool(row[3]):
                raise Unusable(f"{at}: {numbers[2]} GPUs of model {row[3]!r}")
            found.append(((*numbers, row[3]), share))
        return found

    def _mix(self, name, mix):
        if unknown := set(mix) - set(self.kinds):
            raise Unusable(f"mixes.{name}: kind {min(unknown)!r} is unknown")
        return [(kind, amount(share, f"mixes.{name}: {kind}", 1)) for kind, share in mix.items()]

    def _spec(self, name, rows):
        models = {made[3] for fleet in self.fleets.values() for made, _ in fleet}
        found = []
        for at, row, share in self._rows(f"specs.{name}", rows, 2):
            if unknown := set(row[0].split("|")) - models:
                raise Unusable(f"{at}: no node has model {min(unknown)!r}")
            found.append((row[0], share))
        return found


def read_table(path):
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Unusable(f"{path}: {error}") from error
    except Unusable as error:
        raise Unusable(f"{path}: {error}") from error


def apportioned(classes, count):
    """How many of each class: shares of `count`, what is left over to the largest remainders."""
    total = sum(share for _, share in classes)
    counts = [count * share // total for _, share in classes]
    by_remainder = sorted(range(len(classes)),
                          key=lambda index: (-(count * classes[index][1] % total), index))
    for index in by_remainder[:count - sum(counts)]:
        counts[index] += 1
    return counts


def nodes(classes, count, seed):
    listed = [made for (made, _), times in zip(classes, apportioned(classes, count))
              for _ in range(times)]
    random.Random(seed).shuffle(listed)
    digits = max(4, len(str(count - 1)))
    return [[f"node-{index:0{digits}d}", *made] for index, made in enumerate(listed)]


def requests(table, mix, count, seed, spec_percent=0):
    generator = random.Random(seed)
    kinds = Draw(table.mixes[mix])
    shapes = {kind: Draw(table.kinds[kind]) for kind, _ in table.mixes[mix]}
    specs = {name: Draw(pairs) for name, pairs in table.specs.items()}
    digits = max(5, len(str(count - 1)))
    for index in range(count):
        shape = shapes[kinds.one(generator)].one(generator)
        spec = ""
        if shape[2] > 0 and generator.randrange(100) < spec_percent:
            spec = specs["several" if shape[2] > 1 else "single"].one(generator)
        yield [f"request-{index:0{digits}d}", *shape, spec]


def items(distribution, count, seed):
    generator = random.Random(seed)
    for _ in range(count):
        if distribution == "uniform":
            yield generator.randint(UNIFORM_LEAST, UNIFORM_MOST)
        else:
            size = int(generator.weibullvariate(WEIBULL_SCALE, WEIBULL_SHAPE))
            yield min(max(size, WEIBULL_LEAST), WEIBULL_MOST)


def read_rows(path, columns):
    """Rows of a CSV file as dictionaries; more columns than these are left out."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
                raise Unusable(f"{path}: column {missing[0]!r} is missing")
            rows = [{name: row[name] for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Unusable(f"{path}: {error}") from error
    if not rows:
        raise Unusable(f"{path}: there is no row")
    for number, row in enumerate(rows, 2):
        if None in row.values():
            raise Unusable(f"{path}:{number}: the row is too short")
        for name in columns:
            if name.endswith(("_milli", "_mib", "gpu")):
                amount(row[name], f"{path}:{number}: {name}")
    return rows


def read_requests(path):
    rows = read_rows(path, REQUEST_COLUMNS)
    for number, row in enumerate(rows, 2):
        check_gpus(int(row["num_gpu"]), amount(row["gpu_milli"], f"{path}:{number}: gpu_milli",
                                               most=WHOLE_GPU), f"{path}:{number}")
    return rows


def resampled(rows, count, seed):
    generator = random.Random(seed)
    for index in range(count):
        drawn = rows[generator.randrange(len(rows))]
        yield [f"request-{index:05d}", *(drawn[name] for name in REQUEST_COLUMNS[1:])]


def arrivals(rows, gpu_milli, load, seed):
    """All requests in random order, then draws from them, until `load` of the GPUs is asked for.

    This is how the published runs of the trace were made. What would go beyond the load ends it.
    """
    wanted = int(gpu_milli * load)
    generator = random.Random(seed)
    shuffled = list(rows)
    generator.shuffle(shuffled)
    asked = 0
    for index in itertools.count():
        is_again = index >= len(shuffled)
        row = rows[generator.randrange(len(rows))] if is_again else shuffled[index]
        asked += demand_milli(row)
        if asked > wanted:
            return
        name = f"{row['name']}-again-{index}" if is_again else row["name"]
        yield [name, *(row[column] for column in REQUEST_COLUMNS[1:])]


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=pathlib.Path, default=TABLE)
    words = parser.add_subparsers(dest="word", required=True)

    def word(name, about, **paths):
        added = words.add_parser(name, help=about, description=about)
        for option, what in paths.items():
            added.add_argument(f"--{option}", type=pathlib.Path, required=True, help=what)
        if name != "check":
            added.add_argument("--seed", required=True, help="a whole number")
        return added

    made = word("nodes", "a list of nodes: a share of each class, in random order")
    made.add_argument("--nodes", required=True, help="how many")
    made.add_argument("--fleet", default="gpu", help="gpu (default) or plain")
    drawn = word("requests", "requests drawn from a mix")
    drawn.add_argument("--count", required=True)
    drawn.add_argument("--mix", required=True, help="gpu-sharing, multi-gpu, cpu or flavors")
    drawn.add_argument("--spec-percent", default="0",
                       help="of the requests with a GPU, how many ask for a model (default 0)")
    sizes = word("bins", "sizes of items, one a line: for bins of 150 (uniform) or 100 (weibull)")
    sizes.add_argument("--distribution", required=True, choices=["uniform", "weibull"])
    sizes.add_argument("--count", required=True)
    word("resample", "draws with replacement from a file of requests",
         requests="a CSV file").add_argument("--count", required=True)
    word("arrivals", "a file of requests in random order, then draws from it up to a load",
         requests="a CSV file", nodes="a CSV file").add_argument(
             "--load", required=True, help="GPUs asked for, of all there are: 1.3")
    word("check", "whether the table is usable")
    return parser.parse_args(arguments)


def chosen(given, known, what):
    if given not in known:
        raise Unusable(f"{what} {given!r} is unknown; there are {', '.join(known)}")
    return known[given]


def load_of(text):
    try:
        load = float(text)
    except ValueError:
        load = -1.0
    if not 0.0 < load <= LOAD_MAX:
        raise Unusable(f"--load is {text!r}, not a number above 0, at most {LOAD_MAX:g}")
    return load


def lines(options):
    """What to write: a header or None, and rows."""
    table = read_table(options.table)
    if options.word == "check":
        shapes = sum(len(kind) for kind in table.kinds.values())
        print(f"{options.table}: {len(table.mixes)} mixes of {shapes} shapes, "
              f"{len(table.fleets)} fleets")
        return None, []
    seed = amount(options.seed, "--seed")
    if options.word == "nodes":
        count = amount(options.nodes, "--nodes", 1, COUNT_MAX)
        return NODE_COLUMNS, nodes(chosen(options.fleet, table.fleets, "fleet"), count, seed)
    if options.word == "arrivals":
        gpu_milli = sum(int(row["gpu"]) * WHOLE_GPU
                        for row in read_rows(options.nodes, NODE_COLUMNS))
        if gpu_milli == 0:
            raise Unusable(f"{options.nodes}: no node has a GPU")
        rows = read_requests(options.requests)
        if not any(demand_milli(row) for row in rows):
            raise Unusable(f"{options.requests}: no request asks for a GPU")
        return REQUEST_COLUMNS, arrivals(rows, gpu_milli, load_of(options.load), seed)
    count = amount(options.count, "--count", 1, COUNT_MAX)
    if options.word == "bins":
        return None, ([size] for size in items(options.distribution, count, seed))
    if options.word == "resample":
        return REQUEST_COLUMNS, resampled(read_requests(options.requests), count, seed)
    chosen(options.mix, table.mixes, "mix")
    percent = amount(options.spec_percent, "--spec-percent", 0, 100)
    return REQUEST_COLUMNS, requests(table, options.mix, count, seed, percent)


def main(arguments):
    options = parsed(arguments)
    try:
        header, rows = lines(options)
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if header:
            writer.writerow(header)
        writer.writerows(rows)
        sys.stdout.flush()
    except Unusable as error:
        print(f"placement_mix: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
