# shellcheck shell=bash
# What ./do run does: one node with one microVM, started, shown and taken down in order. Sourced by
# ./do, whose step, say and die it uses.

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
    --bootstrap --peer-listen 127.0.0.1:0 \
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
