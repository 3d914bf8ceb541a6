# shellcheck shell=bash
# What ./do bench and ./do profile do. Sourced by ./do, whose step, say and die it uses.
#
# A benchmark NAME is the program NAME_bench, made of test/perf/report: it prints a table and writes
# build/bench/NAME.json, which is compared with test/perf/accepted/NAME.json. The older programs
# blx_*_bench only print; they run by name.

# programs PRESET KIND NAME: the targets that end in _KIND and contain NAME, one a line.
programs() {
  ninja -C "build/$1" -t targets all | sed -n "/^cmake_/d; s/^\([^/ ]*_$2\): phony$/\1/p" |
    { grep -F -- "$3" || true; } | sort
}

# Their names, one a line.
reported_benches() { programs release bench "" | sed -n '/^blx_/d; s/_bench$//p'; }

# The programs of the product that a benchmark starts.
needed_by() {
  case $1 in
    load) echo blixard ;;
    place) echo blixard-vopr ;;
    start) echo blixard ;;
  esac
}

# measure NAME RESULT ARGS...: runs the program NAME_bench; what it found goes to
# build/bench/RESULT.json, beside the accepted result of that name.
measure() {
  local name=$1 result=$2 argument partial=() arguments=()
  shift 2
  for argument in "$@"; do
    case $argument in
      --accept) ACCEPT=1 ;;
      --only) partial=(--partial) ;;&
      *) arguments+=("$argument") ;;
    esac
  done
  [[ $name != start ]] || guest_image
  mkdir -p build/bench
  rm -f "build/bench/$result.json"
  say "bench $result"
  "build/release/bin/${name}_bench" --json "build/bench/$result.json" "${arguments[@]}" ||
    die "bench $result failed"
  # --help leaves no result.
  [[ -s build/bench/$result.json ]] || return 0
  python3 tools/bench_compare.py ${ACCEPT:+--accept} "${partial[@]}" "build/bench/$result.json" \
    "test/perf/accepted/$result.json" || WORSE+=("$result")
}

bench_all() {
  local name names
  mapfile -t names < <(reported_benches)
  for name in "${names[@]}"; do
    measure "$name" "$name" "$@"
    [[ $name != load ]] || measure load load_10000 --vms 10000 --rate 1000 "$@"
  done
  python3 tools/performance_table.py
}

bench() {
  local program name=${1:-} known
  local -a found
  ACCEPT=
  WORSE=()
  setup
  configure release
  # A folder that came since.
  ninja -C build/release build.ninja >/dev/null
  known=$(reported_benches)
  if [[ -z $name || $name == --accept ]]; then
    mapfile -t found <<<"$known"
    # shellcheck disable=SC2046 # words
    build release "${found[@]/%/_bench}" $(needed_by load) $(needed_by place)
    bench_all "$@"
  elif grep -qxF -- "$name" <<<"$known"; then
    shift
    # shellcheck disable=SC2046 # words
    build release "${name}_bench" $(needed_by "$name")
    measure "$name" "$(result_name "$name" "$@")" "$@"
  else
    shift
    mapfile -t found < <(programs release bench "$name")
    ((${#found[@]})) || die "no benchmark whose name contains '$name'; there are: ${known//$'\n'/ }"
    build release "${found[@]}"
    for program in "${found[@]}"; do
      say "$program"
      "build/release/bin/$program" "$@"
    done
  fi
  ((${#WORSE[@]} == 0)) || die "worse than the accepted result: ${WORSE[*]}"
}

# The load test of another size has a result of its own, and placement on a trace.
result_name() {
  local name=$1 vms=1000 search=
  shift
  while (($#)); do
    case $1 in
      --vms) vms=${2:-} ;;
      --search) search=_search ;;
      --trace) [[ $name != place ]] || search=_trace ;;
      --at-once) [[ $name != start ]] || search=_part ;;
    esac
    shift
  done
  if [[ $name == load && $vms =~ ^[0-9]+$ ]] && ((vms != 1000)); then name=load_$vms; fi
  echo "$name$search"
}

# profile load [ARGS...]: the load test with perf on the leader.
profile() {
  [[ ${1:-} == load ]] || die "profile takes load, and what ./do bench load takes"
  shift
  setup
  configure release
  # shellcheck disable=SC2046 # words
  build release load_bench $(needed_by load)
  mkdir -p build/bench
  build/release/bin/load_bench --profile build/bench/profile --json build/bench/profile.json "$@"
}
