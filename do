#!/usr/bin/env bash
# The one script of Blixard. Its first screen is its manual: ./do help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
ROOT=$PWD

manual() {
  cat <<'TEXT'
./do run               set up, build, start one node, boot the microVM "hello", show its web page;
                       Ctrl-C stops both.  --once: stop after the answer and exit 0
                       --nodes 3: a cluster of three (1 to 7) on loopback, hello on one of them
./do test [ARGS]       set up, build, run every test (ARGS go to ctest: -R node/log, -L unit)
./do lint [--all]      format, layering, style, symbols, shell, spelling, the tools' own tests,
                       clang-tidy on changed files (--all: on every file)
./do fmt               format the sources in place

./do setup             install the Debian 12 packages that are missing, and nothing else
./do build [PRESET]    configure and build: dev (default), release, asan, tsan
./do bench [NAME] [--accept] [ARGS]
                       run the benchmark NAME: its table, build/bench/NAME.json, and how it is to
                       the last accepted result; --accept: it is the accepted one from now on.
                       Without a name: all of them, and the tables of docs/performance.md.
                       raft_proposals: beside etcd; load: three nodes, an open loop of requests
                       (./do bench load --help)
./do profile load [ARGS]
                       the load test with a profiler on the leader: flame graph, top ten frames
./do sim [ARGS]        whole clusters in virtual time: every seed that ever failed, then 200 fresh
                       ones (--from S: those), 40 of them in three processes, which must do the
                       same. Other ARGS go to blixard-vopr: ./do sim --help
./do fuzz [NAME] [S]   run the fuzzers whose name contains NAME for S seconds each (20)
./do package           build the .deb into build/package
./do clean             remove build/ (packages, ccache and .blixard/ stay)

A fresh Debian 12 is enough: every command but fmt, clean and help sets up first. The logs of long
steps are in build/log/. A node run from here keeps its data in .blixard/. More: CONTRIBUTING.md
TEXT
}

# Output: one line a step, with the seconds since the start.

START=${EPOCHREALTIME/[^0-9]/}
LOG=$ROOT/build/log

elapsed_ms() { echo $(((${EPOCHREALTIME/[^0-9]/} - START) / 1000)); }

seconds() { printf '%d.%d' $(($1 / 1000)) $(($1 % 1000 / 100)); }

say() { printf '%7s s  %s\n' "$(seconds "$(elapsed_ms)")" "$*"; }

die() {
  printf './do: %s\n' "$*" >&2
  exit 1
}

# The part of a log's last line that tells how far a step is.
progress_of() {
  tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c1-60
}

# step NAME TITLE COMMAND...: runs the command with its output in build/log/NAME.log; shows how far
# it is, and the end of the log if it fails.
step() {
  local name=$1 title=$2 log=$LOG/$1.log began pid beat=0 status=0
  shift 2
  mkdir -p "$LOG"
  began=$(elapsed_ms)
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  STEP_PID=$pid
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    beat=$((beat + 1))
    if [[ -t 1 ]]; then
      printf '\r\033[K%7s s  %s ... %s' "$(seconds "$(elapsed_ms)")" "$title" \
        "$(progress_of "$log")"
    elif ((beat % 150 == 0)); then
      say "$title ... $(progress_of "$log")"
    fi
  done
  wait "$pid" || status=$?
  STEP_PID=
  [[ -t 1 ]] && printf '\r\033[K'
  if ((status != 0)); then
    say "$title: failed"
    tail -n 40 "$log" >&2
    die "$title failed (exit $status); the whole log is build/log/$name.log"
  fi
  say "$title ($(seconds $(($(elapsed_ms) - began))) s)"
}

# Setting up: Debian packages, and nothing else of the machine.

packages() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' packaging/apt-packages.txt | tr -d ' '; }

missing_packages() {
  local listed
  mapfile -t listed < <(packages)
  # dpkg-query fails as soon as one package is unknown, and still prints the others.
  { dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${listed[@]}" 2>/dev/null || true; } |
    awk '$1 == "ii" { print $2 }' | sort -u >"$LOG/installed"
  packages | sort -u | comm -23 - "$LOG/installed"
}

AS_ROOT=()
become_root() {
  if ((EUID == 0)); then
    AS_ROOT=()
  elif ! command -v sudo >/dev/null; then
    die "packages are missing and there is no sudo; as root: apt-get install $*"
  elif sudo -n true 2>/dev/null; then
    AS_ROOT=(sudo -n)
  elif [[ -t 0 ]]; then
    sudo -v || die "sudo refused; as root: apt-get install $*"
    AS_ROOT=(sudo -n)
  else
    die "sudo wants a password and there is no terminal; as root: apt-get install $*"
  fi
}

apt_get() {
  "${AS_ROOT[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C apt-get \
    --quiet --assume-yes --option Dpkg::Use-Pty=0 --option DPkg::Lock::Timeout=300 \
    --option Dpkg::Options::=--force-confold "$@"
}

setup() {
  local missing
  mkdir -p "$LOG"
  command -v apt-get >/dev/null ||
    die "this needs Debian 12; packaging/apt-packages.txt has the packages"
  missing_packages >"$LOG/missing" || die "cannot tell which packages are installed"
  mapfile -t missing <"$LOG/missing"
  if ((${#missing[@]} == 0)); then
    say "setup: all $(packages | wc -l) packages are here"
    return
  fi
  become_root "${missing[@]}"
  say "setup: ${#missing[@]} packages are missing: ${missing[*]}"
  step apt-update "setup: reading the package lists" apt_get update
  step apt-install "setup: installing ${#missing[@]} packages" \
    apt_get install --no-install-recommends "${missing[@]}"
}

# Building.

configure() {
  local preset=$1
  [[ -f build/$preset/build.ninja ]] && return
  step "configure-$preset" "configure $preset" cmake --preset "$preset"
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  configure "$preset"
  step "build-$preset" "build $preset${*:+ ($*)}" \
    env NINJA_STATUS='[%f/%t] ' ninja -C "build/$preset" "$@"
}

guest_inputs() {
  find tools/guest -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum |
    sha256sum | cut -d' ' -f1
}

guest_image() {
  local inputs
  inputs=$(guest_inputs)
  if [[ -f build/guest/image.json && $(cat build/guest.inputs 2>/dev/null) == "$inputs" ]]; then
    say "guest image: unchanged"
    return
  fi
  step guest "guest image" python3 tools/guest/build.py --output build/guest \
    --cache build/guest-cache
  echo "$inputs" >build/guest.inputs
}

# shellcheck source=tools/run.sh
source tools/run.sh
# shellcheck source=tools/bench.sh
source tools/bench.sh

# Testing and checking.

run_tests() {
  setup
  build dev
  guest_image
  ctest --test-dir build/dev --output-on-failure --no-tests=error -j "$(nproc)" "$@"
}

cpp_files() { find src test -name '*.h' -o -name '*.cc' 2>/dev/null | sort; }

shell_files() {
  printf '%s\n' ./do .ci/run
  find packaging tools -name '*.sh' -o -name postinst -o -name prerm -o -name postrm | sort
}

format_check() { cpp_files | xargs -r clang-format-19 --dry-run -Werror; }

python_tests() {
  local file
  while read -r file; do
    (cd "$(dirname "$file")" && python3 "$(basename "$file")" 2>&1) || return 1
  done < <(find tools test/perf -name '*_test.py' | sort)
}

shell_check() { shell_files | xargs shellcheck -x; }

spelling() {
  command -v codespell >/dev/null || {
    echo "codespell is not installed"
    return 0
  }
  git ls-files -co --exclude-standard | grep -Ev '\.(svg|png|zst|lock)$|package-lock' |
    xargs codespell --quiet-level 3 --ignore-words-list edn,kno,fo,inflight
}

symbols() {
  if [[ ! -f build/dev/lib/libblx_vopr.a ]]; then
    [[ -z ${CI:-} ]] || return 1
    echo "build/dev has no simulation yet; ./do build"
    return 0
  fi
  python3 tools/symbols.py build/dev
}

# Sources that differ from the last commit, or were part of it if nothing does.
changed_sources() {
  local changed
  changed=$({
    git diff --name-only --diff-filter=d HEAD
    git ls-files --others --exclude-standard
  } 2>/dev/null)
  [[ -n $changed ]] || changed=$(git diff --name-only --diff-filter=d HEAD~1 HEAD 2>/dev/null)
  grep -E '^(src|test)/.*\.cc$' <<<"$changed" | sort -u || true
}

# Only what the build knows: clang-tidy needs the file's own command line.
tidy() {
  local files most=$1
  if [[ $most == all ]]; then
    mapfile -t files < <(cpp_files | grep '\.cc$')
  else
    mapfile -t files < <(changed_sources)
  fi
  mapfile -t files < <(for file in "${files[@]}"; do
    grep -qF "\"$ROOT/$file\"" build/dev/compile_commands.json && echo "$file"
  done)
  if [[ $most != all ]] && ((${#files[@]} > most)); then
    echo "clang-tidy: $most of ${#files[@]} changed files; every file with ./do lint --all"
    files=("${files[@]:0:most}")
  fi
  ((${#files[@]})) || {
    echo "clang-tidy: no changed file"
    return 0
  }
  printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 2 clang-tidy-19 --quiet -p build/dev \
    2> >(grep -v ' warnings\? .*generated' >&2)
  echo "clang-tidy: ${#files[@]} files"
}

# check NAME COMMAND...: runs one check, shows its output, and goes on.
check() {
  local name=$1 output status=0 began
  shift
  began=$(elapsed_ms)
  output=$("$@" 2>&1) || status=$?
  if ((status == 0)); then
    output=$(tail -n 1 <<<"$output" | cut -c1-60)
    say "$name: ok ($(seconds $(($(elapsed_ms) - began))) s)  $output"
  else
    printf '%s\n' "$output"
    say "$name: FAILED"
    FAILED+=("$name")
  fi
}

lint() {
  local most=6
  FAILED=()
  case ${1:-} in
    --all) most=all ;;
    "") ;;
    *) die "lint takes --all or nothing, not $1" ;;
  esac
  setup
  configure dev
  check layering python3 tools/layering.py
  check style python3 tools/style.py
  check instruments python3 tools/instruments.py
  check items python3 tools/performance_table.py --check
  check format format_check
  check shellcheck shell_check
  check codespell spelling
  check "tools' tests" python_tests
  check symbols symbols
  # clang-tidy reads the generated headers.
  step "lint-generated" "generated headers" ninja -C build/dev blx_proto
  check clang-tidy tidy "$most"
  ((${#FAILED[@]} == 0)) || die "failed: ${FAILED[*]}"
  say "lint: ok"
}

# proof NAME SEEDS FROM JOBS COMMAND...: runs seeds in a process that COMMAND starts, keeps their
# hashes in build/sim/NAME, and says the hash of them all.
proof() {
  local name=$1 seeds=$2 from=$3 jobs=$4 hash
  shift 4
  rm -f "build/sim/$name"
  hash=$("$@" build/release/bin/blixard-vopr fuzz --scenario test/scenarios --from "$from" \
    --seeds "$seeds" --jobs "$jobs" --keep-going --save build/sim --hashes "build/sim/$name" |
    sed -n 's/^hash of all traces: //p') || true
  [[ -s build/sim/$name && -n $hash ]] || die "the process for $name ended without hashes"
  say "sim: $seeds seeds $name: $hash"
}

# same A B: that every seed in the file B is in A with the same hash, or says the first that is not.
same() {
  local differs
  [[ -s $2 ]] || die "$2 is empty: no run was done"
  differs=$(awk 'NR == FNR { hash[$2] = $3; next }
    hash[$2] != $3 { print $1, $2, hash[$2] == "" ? "nothing" : hash[$2], $3; exit }' "$1" "$2")
  [[ -z $differs ]] && return
  # shellcheck disable=SC2086 # four words
  set -- $differs "$@"
  die "seed $2 of $1 is not the same in two processes: $3 in $5, $4 in $6; the trace of each is \
in ./do sim run --scenario test/scenarios/$1.toml --seed $2 --trace"
}

# That a run depends on its seed alone. Nothing here hashes with a seed that could be set: std::hash
# and boost::unordered have none, Boost.JSON takes an address and protobuf's maps the processor's
# clock, which tools/symbols.py refuses. So only addresses and what unused memory holds could show:
# they differ between these processes, and so do the number of jobs, the time zone and the locale.
# The order of the scenarios is not varied: seed modulo their number chooses among them.
deterministic() {
  local from=$1 seeds=$2
  local -a still=(setarch -R)
  "${still[@]}" true 2>/dev/null || {
    say "sim: this machine does not let setarch -R keep addresses where they are"
    still=(env)
  }
  proof here "$seeds" "$from" 2 "${still[@]}"
  proof elsewhere "$seeds" "$from" 1 env MALLOC_PERTURB_=85 MALLOC_ARENA_MAX=1 \
    GLIBC_TUNABLES=glibc.malloc.tcache_count=0 TZ=Pacific/Kiritimati LC_ALL=C.UTF-8
  same build/sim/here build/sim/elsewhere
}

# Every seed that ever failed, then fresh ones: from the present second on, or from S.
sim() {
  local vopr=build/release/bin/blixard-vopr from
  setup
  build release blixard-vopr
  if (($# > 0)) && [[ $1 != --from ]]; then
    "$vopr" "$@"
    return
  fi
  from=${2:-$(date +%s)}
  if (($# > 2)) || [[ ! $from =~ ^[0-9]{1,19}$ ]]; then
    die "sim takes --from S, or what blixard-vopr takes: ./do sim --help"
  fi
  say "sim: the seeds that ever failed (test/scenarios/failed.txt)"
  "$vopr" suite test/scenarios/failed.txt --jobs 2 ||
    die "a seed that failed before fails again; ./do sim suite test/scenarios/failed.txt"
  say "sim: 200 seeds from $from on, every tenth twice (again: ./do sim --from $from)"
  "$vopr" fuzz --scenario test/scenarios --from "$from" --seeds 200 --jobs 2 --time 4m \
    --twice-every 10 --keep-going --save build/sim --hashes build/sim/fresh ||
    die "seeds failed; their plans are in build/sim, and the lines above say how to run them"
  deterministic "$from" 40
  # What was begun before the time was up.
  head -n 40 build/sim/fresh >build/sim/first
  same build/sim/here build/sim/first
  say "sim: ok; 40 seeds did the same in three processes"
}

fuzz() {
  local program corpus log
  local -a found
  setup
  configure asan
  mapfile -t found < <(programs asan fuzz "${1:-}")
  ((${#found[@]})) || die "no fuzzer whose name contains '${1:-}'"
  build asan "${found[@]}"
  for program in "${found[@]}"; do
    corpus=build/fuzz/$program
    log=$LOG/$program.log
    mkdir -p "$corpus"
    "build/asan/bin/$program" -max_total_time="${2:-20}" -print_final_stats=1 \
      -artifact_prefix="$corpus-" "$corpus" >"$log" 2>&1 || {
      tail -n 30 "$log" >&2
      die "$program found a fault; its input is beside $corpus"
    }
    say "$program: $(grep -o 'number_of_executed_units: .*' "$log"), no fault"
  done
}

package() {
  local file
  setup
  build release blixard package_files
  rm -rf build/package
  step package "package" cpack -G DEB --config build/release/CPackConfig.cmake -B build/package
  for file in build/package/*.deb; do
    say "${file} ($(du -h "$file" | cut -f1))"
    dpkg-deb --info "$file" | grep -E '^ (Package|Version|Depends):'
  done
}

fmt() {
  command -v clang-format-19 >/dev/null || setup
  cpp_files | xargs -r clang-format-19 -i
}

main() {
  local command=${1:-help}
  (($# == 0)) || shift
  # Children started in the background do not see Ctrl-C, so they are stopped on the way out.
  trap leave EXIT
  trap 'exit 130' INT TERM HUP
  # Whoever reads this may end first, as in ./do run | head.
  trap 'exit 141' PIPE
  case $command in
    help | -h | --help) manual ;;
    setup) setup ;;
    build) setup && build "${1:-dev}" ;;
    test) run_tests "$@" ;;
    run | lint | fmt | bench | profile | sim | fuzz | package) "$command" "$@" ;;
    clean) rm -rf build ;;
    *)
      manual >&2
      die "no command '$command'"
      ;;
  esac
}

main "$@"
