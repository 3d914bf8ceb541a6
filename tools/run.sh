# shellcheck shell=bash
# What ./do run does: a node, or a cluster of some, with one microVM, started, shown and taken down
# in order. Sourced by ./do, whose step, say and die it uses.

ONCE=0
NODES=1
DATA=        # of this run; node I keeps its own in $DATA/nodeI
NODE_PIDS=() # [I] is there while node I runs
ASKED=1      # the node that commands go to
STEP_PID=
VM_MADE=
VM_PROCESS= # pid and start time of the microVM's process
ANSWER=()

blixard() {
  timeout --foreground 180 build/release/bin/blixard --socket "$DATA/node$ASKED/api.sock" "$@"
}

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
  local node
  for ((node = 1; node <= NODES; node++)); do
    [[ -f $LOG/node$node.log ]] || continue
    printf 'the last lines of node%s (build/log/node%s.log):\n' "$node" "$node" >&2
    tail -n 20 "$LOG/node$node.log" >&2 || true
  done
}

# launch_node I OPTION...: without waiting for it.
launch_node() {
  local node=$1 listen peer
  shift
  # For the first node the ports that the manual names, for the others those after them.
  listen=127.0.0.1:$(free_port $((7478 + 2 * node)))
  peer=127.0.0.1:$(free_port $((7479 + 2 * node)))
  # Its own session: Ctrl-C at the terminal reaches this script alone, which stops things in order.
  setsid build/release/bin/blixard node --data "$DATA/node$node" --name "node$node" \
    --listen "$listen" --peer-listen "$peer" "$@" </dev/null >"$LOG/node$node.log" 2>&1 &
  NODE_PIDS[node]=$!
}

await_node() {
  local node=$1 deadline=$(($(elapsed_ms) + 30000)) said
  until said=$(grep -m 1 '^ready: ' "$LOG/node$node.log"); do
    kill -0 "${NODE_PIDS[node]}" 2>/dev/null || {
      unset "NODE_PIDS[$node]"
      show_node_log
      die "node$node ended at once"
    }
    (($(elapsed_ms) < deadline)) || {
      show_node_log
      die "node$node was not ready after 30 s"
    }
    sleep 0.05
  done
  say "node$node: ready on ${said##* and }, pid ${NODE_PIDS[node]}, data in" \
    "${DATA#"$ROOT"/}/node$node"
}

peer_address() { sed -n 's/^ready: .*peers on \([^)]*\)).*/\1/p' "$LOG/node$1.log"; }

# Prints "VOTERS NODES LEADER" as the asked node knows them.
cluster_facts() {
  blixard status --output json 2>/dev/null | python3 -c '
import json, sys

status = json.load(sys.stdin)
print(status.get("voters", 0), status.get("nodes", 0), status.get("leader") or "none")
' 2>/dev/null
}

await_voters() {
  local deadline=$(($(elapsed_ms) + 60000)) voters=0 nodes=0 leader=none
  until read -r voters nodes leader < <(cluster_facts) && ((voters == NODES && nodes == NODES)) &&
    [[ $leader != none ]]; do
    (($(elapsed_ms) < deadline)) || {
      show_node_log
      die "after 60 s there are ${voters:-0} voters of $NODES"
    }
    sleep 0.05
  done
  say "cluster: $voters voters, $leader leads"
  # A node that does not lead is asked from here on: any of them will do.
  [[ $leader != "node$NODES" ]] || ((NODES == 1)) || {
    ASKED=$((NODES - 1))
    return
  }
  ASKED=$NODES
}

# The first begins a cluster, the others join it with a token each. Those that belong to it from an
# earlier run start side by side: one alone has no quorum.
start_nodes() {
  local node token waiting=()
  mkdir -p "$LOG"
  rm -f "$LOG"/node[0-9]*.log
  for ((node = 1; node <= NODES; node++)); do
    mkdir -p "$DATA/node$node"
    if [[ -f $DATA/node$node/node.json ]]; then
      launch_node "$node"
    elif ((node == 1)); then
      launch_node "$node" --bootstrap
    else
      await_these "${waiting[@]}"
      waiting=()
      token=$(blixard token create) || die "node1 makes no token for node$node"
      # Not as an option: all users of the machine see those.
      BLIXARD_JOIN=$token@$(peer_address 1) launch_node "$node"
    fi
    waiting+=("$node")
  done
  await_these "${waiting[@]}"
  ((NODES == 1)) || await_voters
}

await_these() {
  local node
  for node in "$@"; do await_node "$node"; done
}

# Prints "STATE HOST-PORT PID ACCELERATOR NODE" of the microVM.
vm_facts() {
  blixard vm status hello --output json | python3 -c '
import json, sys

vm = json.load(sys.stdin)
ports = [port["host_port"] for port in vm.get("published_ports", [])] or [0]
print(vm["state"], ports[0], vm.get("pid", 0), vm.get("accelerator") or "unknown",
      vm.get("node") or "none")
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
  local name
  for name in hello again; do
    if blixard vm status "$name" >/dev/null 2>&1; then
      ask "vm $name: the one of an earlier run is deleted" vm delete "$name" --wait
    fi
  done
  IMAGE_STAYS=
  blixard image list 2>/dev/null | grep -qw '^guest' || return 0
  if blixard image delete guest >/dev/null 2>&1; then
    say "image guest: the one of an earlier run is deleted"
  else
    IMAGE_STAYS=1
    say "image guest: the one of an earlier run stays, since microVMs use it"
  fi
}

# A microVM boots from the files on the disk of its node, and it may be any.
import_image() {
  local asked=$ASKED on=
  [[ -z $IMAGE_STAYS ]] || return 0
  for ((ASKED = 1; ASKED <= NODES; ASKED++)); do
    ((NODES == 1)) || on=" on node$ASKED"
    ask "image guest: imported from build/guest$on" image import build/guest --name guest
  done
  ASKED=$asked
}

boot_hello() {
  local publish state port pid accelerator node page through=
  forget_earlier_run
  import_image
  ((NODES == 1)) || through=" through node$ASKED"
  publish=$(free_port 8080)
  VM_MADE=1
  ask "vm hello: created$through, the guest says it is ready" vm create hello --image guest \
    --memory 128MiB --vcpus 1 --publish "$publish:80" --wait
  read -r state port pid accelerator node < <(vm_facts) || die "vm status hello is not understood"
  ((pid == 0)) || VM_PROCESS=$(process "$pid")
  ((port != 0)) || port=$publish
  page=$(get_page "$port") || {
    show_node_log
    die "vm hello is $state, but its web page does not answer on port $port"
  }
  say "vm hello: http://127.0.0.1:$port/ answers ($node, process $pid, accelerator $accelerator)"
  ANSWER=("vm hello: $state" "$page")
  if ((NODES > 1)); then
    # The columns that every terminal has room for.
    ANSWER+=("" "$(blixard node list | cut -c1-64 | sed 's/ *$//')" "" "$(blixard status)")
  fi
}

how_started() { blixard vm status "$1" | sed -n 's/^start  *//p'; }

# The second microVM of an image and size is a clone of a guest that was saved after its boot.
start_again() {
  ask "template of guest: saved" template create guest --memory 128MiB --vcpus 1
  ask "vm again: created, the guest says it is ready" vm create again --image guest \
    --memory 128MiB --vcpus 1 --wait
  ANSWER+=("" "vm hello started $(how_started hello)" "vm again started $(how_started again)")
  ask "vm again: deleted" vm delete again --wait
}

# The node leaves microVMs running when it stops, so hello goes first.
stop_hello() {
  [[ -n $VM_MADE && -n ${NODE_PIDS[ASKED]:-} ]] || return 0
  VM_MADE=
  blixard vm status hello >/dev/null 2>&1 || return 0
  blixard vm stop hello --wait >>"$LOG/node$ASKED.log" 2>&1 || true
  if blixard vm delete hello --wait >>"$LOG/node$ASKED.log" 2>&1; then
    say "vm hello: stopped and deleted"
  else
    say "vm hello: could not be deleted; see build/log/node$ASKED.log"
  fi
}

stop_node() {
  local node=$1 pid=${NODE_PIDS[$1]:-} deadline
  [[ -n $pid ]] || return 0
  kill -TERM "$pid" 2>/dev/null || true
  deadline=$(($(elapsed_ms) + 20000))
  while kill -0 "$pid" 2>/dev/null; do
    if (($(elapsed_ms) >= deadline)); then
      kill -KILL "$pid" 2>/dev/null || true
      say "node$node: did not stop within 20 s and was killed"
      break
    fi
    sleep 0.05
  done
  wait "$pid" 2>/dev/null || true
  unset "NODE_PIDS[$node]"
  say "node$node: stopped"
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
  local node
  stop_hello
  for ((node = NODES; node >= 1; node--)); do stop_node "$node"; done
  end_orphan
}

# However the script ends: nothing that it started stays.
leave() {
  local status=$?
  trap '' INT TERM HUP PIPE
  trap - EXIT
  set +e
  ((status != 141)) || exec >/dev/null 2>&1
  [[ -z $STEP_PID ]] || kill -TERM "$STEP_PID" 2>/dev/null || true
  stop_all || status=1
  if ((ONCE)) && [[ -n $DATA ]]; then rm -rf "$DATA"; fi
  exit "$status"
}

show_answer() {
  printf '\n'
  printf '%s\n' "${ANSWER[@]}"
}

run_arguments() {
  while (($#)); do
    case $1 in
      --once) ONCE=1 ;;
      --nodes)
        NODES=${2:-}
        [[ $NODES =~ ^[1-7]$ ]] || die "--nodes takes a number from 1 to 7"
        shift
        ;;
      *) die "run takes --once and --nodes N, not $1" ;;
    esac
    shift
  done
  # A cluster of three would have no quorum with one node of it: each size has its own data.
  DATA=$ROOT/.blixard
  ((NODES == 1)) || DATA+=/cluster$NODES
  ((ONCE == 0)) || DATA=$ROOT/.blixard/once-$$
}

run() {
  local what=node
  run_arguments "$@"
  ((NODES == 1)) || what=nodes
  setup
  build release blixard
  guest_image
  start_nodes
  boot_hello
  ((NODES > 1)) || start_again
  if ((ONCE)); then
    stop_all || die "the microVM outlived its node"
    show_answer
    return
  fi
  show_answer
  printf '\nCtrl-C stops the microVM and the %s. Meanwhile, from another terminal:\n' "$what"
  printf '  build/release/bin/blixard --socket %s/node1/api.sock status\n' "${DATA#"$ROOT"/}"
  trap 'echo; exit 0' INT TERM HUP
  wait -n "${NODE_PIDS[@]}" || true
  show_node_log
  die "a node ended by itself"
}
