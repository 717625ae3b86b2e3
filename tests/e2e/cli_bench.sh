#!/usr/bin/env bash
# Every workload of `assay bench` runs on the smallest model and says what it measured; wrong words are wrong usage.
set -u
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
assay=${ASSAY_BINARY:-$root/build/release/assay}
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
cd "$root" || exit 1
fail() { echo "FAILED: $*"; exit 1; }

sizes=(--prompt 8 --new 4 --batch 3 --problems 2 --group 2 --repeat 1)
for work in gemm decode shared score train grpo; do
  out=$("$assay" bench "$work" models/tiny "${sizes[@]}" --json) || fail "bench $work"
  for field in work threads compute isa seconds gflop_s share_of_peak; do
    grep -q "\"$field\": " <<<"$out" || fail "bench $work: no $field in: $out"
  done
  [ "$work" = gemm ] || grep -qE '"new": 4,.*"tok_s": [0-9.]+, "peak_mib": [0-9]+' <<<"$out" || fail "bench $work: $out"
done
# the sizes asked for are those that were run
"$assay" bench decode models/tiny "${sizes[@]}" | grep -qE '^decode +3 +8 +4 ' || fail "the table of decode"

said=$("$assay" bench guess models/tiny 2>&1); rc=$?
[ $rc = 2 ] && grep -q 'expected gemm, decode, shared, score, train or grpo' <<<"$said" || fail "an unknown workload: $rc, $said"
"$assay" bench decode models/tiny --prompt 64 --new 64 >/dev/null 2>&1
[ $? = 2 ] || fail "a path longer than the model allows"
echo "all workloads run"
