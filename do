#!/usr/bin/env bash
# The one script of Blixard. Its first screen is its manual: ./do help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
ROOT=$PWD

manual() {
  cat <<'TEXT'
./do run               set up, build, start one node, boot the microVM "hello", show its web page;
                       Ctrl-C stops both.  --once: stop after the answer and exit 0
./do test [ARGS]       set up, build, run every test (ARGS go to ctest: -R node/log, -L unit)
./do lint [--all]      format, layering, style, symbols, shell, spelling, the tools' own tests,
                       clang-tidy on changed files (--all: on every file)
./do fmt               format the sources in place

./do setup             install the Debian 12 packages that are missing, and nothing else
./do build [PRESET]    configure and build: dev (default), release, asan, tsan
./do bench [NAME]      build and run the benchmarks whose name contains NAME
./do sim [ARGS]        run the cluster in virtual time (ARGS go to blixard-vopr)
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

has_target() { ninja -C "build/$1" -t query "$2" >/dev/null 2>&1; }

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

# Running one node with one microVM.

ONCE=0
DATA=
NODE_PID=
STEP_PID=
VM_MADE=
VM_PROCESS= # pid and start time of the microVM's process
ANSWER=()

blixard() { timeout --foreground 180 build/release/bin/blixard --socket "$DATA/api.sock" "$@"; }

# The pid with its start time, which no later process of that number has; nothing if it has ended.
process() {
  sed -E 's/^([0-9]+) \(.*\) /\1 /' "/proc/$1/stat" 2>/dev/null |
    awk '$2 != "Z" { print $1, $21 }'
}

free_port() {
  python3 - "$1" <<'PYTHON'
import socket, sys

for port in (int(sys.argv[1]), 0):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
}

# Runs a step of the microVM; what the program says on failure is the reason.
ask() {
  local title=$1 output status=0
  shift
  output=$(blixard "$@" 2>&1) || status=$?
  if ((status != 0)); then
    printf '%s\n' "$output" >&2
    show_node_log
    die "blixard $1 $2 failed (exit $status)"
  fi
  say "$title"
}

show_node_log() {
  printf 'the last lines of the node (build/log/node.log):\n' >&2
  tail -n 20 "$LOG/node.log" >&2 || true
}

start_node() {
  local listen deadline
  listen=127.0.0.1:$(free_port 7480)
  mkdir -p "$DATA" "$LOG"
  # Its own session: Ctrl-C at the terminal reaches this script alone, which stops things in order.
  setsid build/release/bin/blixard node --data "$DATA" --listen "$listen" \
    </dev/null >"$LOG/node.log" 2>&1 &
  NODE_PID=$!
  deadline=$(($(elapsed_ms) + 30000))
  until grep -qw ready "$LOG/node.log"; do
    kill -0 "$NODE_PID" 2>/dev/null || {
      NODE_PID=
      show_node_log
      die "the node ended at once"
    }
    (($(elapsed_ms) < deadline)) || {
      show_node_log
      die "the node was not ready after 30 s"
    }
    sleep 0.05
  done
  say "node: ready on $listen, pid $NODE_PID, data in ${DATA#"$ROOT"/}"
}

# Prints "STATE HOST-PORT PID ACCELERATOR" of the microVM.
vm_facts() {
  blixard vm status hello --output json | python3 -c '
import json, sys

vm = json.load(sys.stdin)
ports = [port["host_port"] for port in vm.get("published_ports", [])] or [0]
print(vm["state"], ports[0], vm.get("pid", 0), vm.get("accelerator") or "unknown")
'
}

# Prints the status of GET / and the first line of its body, once there is an answer.
get_page() {
  python3 - "$1" <<'PYTHON'
import sys, time, urllib.error, urllib.request

url, deadline, reason = f"http://127.0.0.1:{sys.argv[1]}/", time.monotonic() + 60, "no answer"
while time.monotonic() < deadline:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            print(f"GET / -> {answer.status}")
            print(answer.read(65536).decode(errors="replace").partition("\n")[0])
        sys.exit(0)
    except (OSError, urllib.error.URLError) as error:
        reason = error
    time.sleep(0.1)
sys.exit(f"{url}: {reason}")
PYTHON
}

# What an earlier run left in this data directory goes, so that this one shows today's image.
forget_earlier_run() {
  if blixard vm status hello >/dev/null 2>&1; then
    ask "vm hello: the one of an earlier run is deleted" vm delete hello --wait
  fi
  if blixard image list 2>/dev/null | grep -qw '^guest'; then
    ask "image guest: the one of an earlier run is deleted" image delete guest
  fi
}

boot_hello() {
  local publish state port pid accelerator page
  forget_earlier_run
  ask "image guest: imported from build/guest" image import build/guest --name guest
  publish=$(free_port 8080)
  VM_MADE=1
  ask "vm hello: created, the guest says it is ready" vm create hello --image guest \
    --memory 128MiB --vcpus 1 --publish "$publish:80" --wait
  read -r state port pid accelerator < <(vm_facts) || die "vm status hello is not understood"
  ((pid == 0)) || VM_PROCESS=$(process "$pid")
  ((port != 0)) || port=$publish
  page=$(get_page "$port") || {
    show_node_log
    die "vm hello is $state, but its web page does not answer on port $port"
  }
  say "vm hello: http://127.0.0.1:$port/ answers (process $pid, accelerator $accelerator)"
  ANSWER=("vm hello: $state" "$page")
}

# The node leaves microVMs running when it stops, so hello goes first.
stop_hello() {
  [[ -n $VM_MADE && -n $NODE_PID ]] || return 0
  VM_MADE=
  blixard vm status hello >/dev/null 2>&1 || return 0
  blixard vm stop hello --wait >>"$LOG/node.log" 2>&1 || true
  if blixard vm delete hello --wait >>"$LOG/node.log" 2>&1; then
    say "vm hello: stopped and deleted"
  else
    say "vm hello: could not be deleted; see build/log/node.log"
  fi
}

stop_node() {
  local deadline
  [[ -n $NODE_PID ]] || return 0
  kill -TERM "$NODE_PID" 2>/dev/null || true
  deadline=$(($(elapsed_ms) + 20000))
  while kill -0 "$NODE_PID" 2>/dev/null; do
    if (($(elapsed_ms) >= deadline)); then
      kill -KILL "$NODE_PID" 2>/dev/null || true
      say "node: did not stop within 20 s and was killed"
      break
    fi
    sleep 0.05
  done
  wait "$NODE_PID" 2>/dev/null || true
  NODE_PID=
  say "node: stopped"
}

# A microVM whose node died is ended here; 1 says that it had to be.
end_orphan() {
  local pid=${VM_PROCESS%% *}
  [[ -n $VM_PROCESS && $(process "$pid") == "$VM_PROCESS" ]] || return 0
  VM_PROCESS=
  kill -TERM "$pid" || true
  say "vm hello: its process $pid had outlived the node and was ended"
  return 1
}

stop_all() {
  stop_hello
  stop_node
  end_orphan
}

# However the script ends: nothing that it started stays.
leave() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  [[ -z $STEP_PID ]] || kill -TERM "$STEP_PID" 2>/dev/null || true
  stop_all || status=1
  ((ONCE == 0)) || rm -rf "$DATA"
  exit "$status"
}

show_answer() {
  printf '\n'
  printf '%s\n' "${ANSWER[@]}"
}

run() {
  case ${1:-} in
    --once) ONCE=1 ;;
    "") ;;
    *) die "run takes --once or nothing, not $1" ;;
  esac
  DATA=$ROOT/.blixard/node1
  ((ONCE == 0)) || DATA=$ROOT/.blixard/once-$$
  setup
  build release blixard
  guest_image
  start_node
  boot_hello
  if ((ONCE)); then
    stop_all || die "the microVM outlived its node"
    show_answer
    return
  fi
  show_answer
  printf '\nCtrl-C stops the microVM and the node. Meanwhile, from another terminal:\n'
  printf '  build/release/bin/blixard --socket %s/api.sock status\n' "${DATA#"$ROOT"/}"
  trap 'echo; exit 0' INT TERM HUP
  wait "$NODE_PID" || true
  NODE_PID=
  show_node_log
  die "the node ended by itself"
}

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
  done < <(find tools -name '*_test.py' | sort)
}

shell_check() { shell_files | xargs shellcheck; }

spelling() {
  command -v codespell >/dev/null || {
    echo "codespell is not installed"
    return 0
  }
  git ls-files -co --exclude-standard | grep -Ev '\.(svg|png|zst|lock)$|package-lock' |
    xargs codespell --quiet-level 3 --ignore-words-list kno
}

symbols() {
  if ! compgen -G 'build/dev/lib/libblx_core_*.a' >/dev/null; then
    [[ -z ${CI:-} ]] || return 1
    echo "build/dev has no core libraries yet; ./do build"
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

# programs PRESET KIND NAME: the targets that end in _KIND and contain NAME, one a line.
programs() {
  ninja -C "build/$1" -t targets all | sed -n "/^cmake_/d; s/^\([^/ ]*_$2\): phony$/\1/p" |
    { grep -F -- "$3" || true; } | sort
}

bench() {
  local program
  local -a found
  setup
  configure release
  mapfile -t found < <(programs release bench "${1:-}")
  ((${#found[@]})) || die "no benchmark whose name contains '${1:-}'"
  build release "${found[@]}"
  for program in "${found[@]}"; do
    say "$program"
    "build/release/bin/$program"
  done
}

sim() {
  setup
  configure release
  if ! has_target release blixard-vopr; then
    echo "./do sim: this tree has no simulator yet; it comes as build/release/bin/blixard-vopr" >&2
    exit 2
  fi
  build release blixard-vopr
  build/release/bin/blixard-vopr "$@"
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
  case $command in
    help | -h | --help) manual ;;
    setup) setup ;;
    build) setup && build "${1:-dev}" ;;
    test) run_tests "$@" ;;
    run | lint | fmt | bench | sim | fuzz | package) "$command" "$@" ;;
    clean) rm -rf build ;;
    *)
      manual >&2
      die "no command '$command'"
      ;;
  esac
}

main "$@"
