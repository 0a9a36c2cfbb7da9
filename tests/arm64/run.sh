#!/usr/bin/env bash
# Test the wheel and its prebuilt kernels on emulated aarch64 CPUs; nothing there compiles.
#
#   run.sh WHEEL smollm2.edge
#
# ARM64_ROOT: where the emulated root lies or is to be built.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)
wheel=$(realpath "$1") model=$(realpath -s "$2")
root=${ARM64_ROOT:-$checkout/.cache/arm64}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export EDGE_TEST_DATA=$(dirname "$model") OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1

"$here/root.sh" "$root" numpy tokenizers pytest iniconfig pluggy packaging pygments \
  hypothesis sortedcontainers safetensors
python3 -m zipfile -e "$wheel" "$work/site"

# on CPU TARGET TEST...: what shall hold on an emulated CPU, the library that it shall choose, and
# what to test beside its kernels
on() (
  cpu=$1 target=$2
  shift 2
  echo "== $cpu: $target"
  # As a user has it: the wheel from elsewhere, an empty cache, no Numba.
  cd "$work"
  export EDGE_CACHE=$work/cache-$cpu PYTHONPATH=$work/site
  "$root/python" --cpu "$cpu" -P -m edge doctor --json >"doctor-$cpu.json"
  python3 - "$target" "doctor-$cpu.json" <<'CHECK'
import json, sys
kernels = json.load(open(sys.argv[2]))["kernels"]
assert kernels["source"] == "prebuilt" and kernels["target"] == sys.argv[1], kernels
assert kernels["self_test"]["passed"] and not kernels["not_used"], kernels
print(kernels["self_test"]["kernels"], "kernels pass their self-test")
CHECK
  "$root/python" --cpu "$cpu" -P -m edge run "$model" "The capital of France is" --raw -n 5 --temp 0
  # The libraries for this CPU only: what slower CPUs run is tested there.
  unset PYTHONPATH
  export EDGE_TARGET=$target
  mkdir -p -m 700 "$EDGE_CACHE/tests"
  cp "$checkout"/runtime/libraries/lib/*.so "$EDGE_CACHE/tests/"
  cd "$checkout"
  "$root/python" --cpu "$cpu" -m pytest -q -p no:cacheprovider tests/runtime/kernels \
    tests/runtime/graph/test_programs.py tests/models/test_same_text.py \
    -k "not whatever_a_file" "$@"
)

started=()
start() {
  on "$@" >"$work/$1.log" 2>&1 &
  started+=("$!:$work/$1.log")
}
# What is no kernel, or NumPy's, is the same on all of them; kernels of weight-only products use no
# instruction that the first lacks, and the self-test runs them everywhere.
start cortex-a72 aarch64 tests/format tests/runtime/test_team.py \
  --deselect tests/runtime/test_team.py::test_no_wake_up_is_lost_when_the_counts_of_two_steps_are_alike
own="not whatever_a_file and not numpy-numpy and not weight_only"
start cortex-a76 aarch64-dotprod -k "$own"
start max aarch64-i8mm -k "$own"
failed=0
for one in "${started[@]}"; do
  wait "${one%%:*}" || failed=1
  cat "${one#*:}"
done
exit $failed
