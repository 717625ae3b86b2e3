#!/usr/bin/env bash
# All that is worth doing on a machine with an NVIDIA GPU, in one call of under ten minutes: the tests of the kernels and
# of whole runs against the processor's bits, then the workloads beside PyTorch, alternately, in one table.
#
#     bench/gpu.sh [BUILD]              BUILD: a build folder (default build/cuda; it is made where it is not there)
#     bench/gpu.sh --pack FOLDER        copies program, tests and the libraries they need, for a machine without them
#     bench/gpu.sh FOLDER               on that machine
#
# From the environment: OUT (folder for the table and the logs; default build/gpu), MODELS (default: models/tiny and
# random models of the shapes in bench/gpu/*.json), TORCH (a Python with PyTorch and transformers; default python3).
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
tests=(unit_compute_overlay unit_compute_gemm unit_compute_head unit_compute_sample unit_compute_attention
  unit_compute_rowwise unit_compute_device)

if [ "${1:-}" = --pack ]; then
  pack=${2:?"gpu.sh: --pack takes a folder"}
  mkdir -p "$pack/tests" "$pack/lib"
  cp build/cuda/assay "$pack/" && for t in "${tests[@]}"; do cp "build/cuda/tests/$t" "$pack/tests/"; done
  ldd "$pack/assay" "$pack"/tests/* | awk '/=> \//{print $3}' | sort -u |
    grep -vE '/(libc|libm|libpthread|libdl|librt|ld-linux[^/]*)\.so' | xargs -I{} cp -L {} "$pack/lib/"
  strip --strip-debug "$pack/assay" "$pack"/tests/* "$pack"/lib/* 2>/dev/null
  du -sh "$pack"
  exit
fi

build=${1:-build/cuda}
out=${OUT:-build/gpu}
mkdir -p "$out"
if [ ! -x "$build/assay" ]; then
  { cmake --preset cuda && cmake --build --preset cuda; } >"$out/build.log" 2>&1 || { tail -20 "$out/build.log"; exit 1; }
  build=build/cuda
fi
[ -d "$build/lib" ] && export LD_LIBRARY_PATH="$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
build=$(cd "$build" && pwd)
table=$out/table.md
failures=0
say() { echo "$*" | tee -a "$table"; }
: >"$table"
say "GPU: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo none)"

# --- the kernels and whole runs against the processor's bits ---
for t in "${tests[@]}"; do
  if ASSAY_DEVICE=cuda timeout 120 "$build/tests/$t" >"$out/$t.log" 2>&1; then say "ok      $t"; else
    say "FAILED  $t: $(grep -m1 -E 'seed|FAILED|error' "$out/$t.log")"
    failures=$((failures + 1))
  fi
done
if ASSAY_GPU=cuda ASSAY_BINARY=$build/assay ASSAY_SOURCE_DIR=$root timeout 120 bash tests/e2e/device_cuda.sh \
  >"$out/device_cuda.log" 2>&1; then say "ok      e2e_device_cuda"; else
  say "FAILED  e2e_device_cuda: $(head -3 "$out/device_cuda.log" | tr '\n' ' ')"
  failures=$((failures + 1))
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck synccheck; do
    if timeout 100 compute-sanitizer --tool "$tool" --error-exitcode 9 "$build/tests/unit_compute_gemm" \
      >"$out/$tool.log" 2>&1; then say "ok      compute-sanitizer $tool"; else
      say "FAILED  compute-sanitizer $tool (or out of time)"
      failures=$((failures + 1))
    fi
  done
fi

# --- workloads ---
export ASSAY_DEVICE=cuda
for model in ${MODELS:-models/tiny}; do
  for work in "decode --batch 1" "decode --batch 64" "score --batch 16" "train --batch 16" "grpo --problems 4 --group 8"; do
    # shellcheck disable=SC2086
    line=$(timeout 90 "$build/assay" bench $work --new 64 --repeat 3 "$model" --json --quiet 2>"$out/bench.err") ||
      line="failed: $(head -1 "$out/bench.err")"
    say "$model $work: $line"
  done
done
python=${TORCH:-python3}
for model in ${MODELS:-}; do
  for work in score train; do
    line=$(timeout 90 "$python" bench/peer/hf.py "$model" "$work" --batch 16 --prompt 64 --new 64 --repeat 3 --device cuda \
      2>"$out/peer.err") || line="no peer: $(tail -1 "$out/peer.err")"
    say "$model $work, transformers: $line"
  done
done
say "$failures failed"
exit $((failures > 0))
