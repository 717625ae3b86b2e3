#!/usr/bin/env bash
# What stands in examples/: grpo.c is compiled and linked with the installed library and learns for two steps; the Python
# scripts (where there is python3) read a run and draw it.
. "$(dirname "$0")/../begin.sh"
build=$(dirname "$assay")
fail() { echo "FAILED: $*"; exit 1; }
cd "$root" || exit 1

# A sanitized build's library needs its compiler and flag.
cache="$build/CMakeCache.txt"
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$cache")
sanitize=$(sed -n 's/^ASSAY_SANITIZE:[A-Z]*=//p' "$cache")
if grep -q '^ASSAY_FUZZ:BOOL=ON' "$cache"; then
  echo "skipped: a fuzz build's library is not linked"
else
  cmake --install "$build" --prefix "$work/installed" --component library >"$work/out" || fail "the library: $(cat "$work/out")"
  export PKG_CONFIG_PATH="$work/installed/lib/pkgconfig"
  # shellcheck disable=SC2046
  "${compiler:-cc}" -std=c17 -Wall -Wextra -Wpedantic -Werror ${sanitize:+-fsanitize=$sanitize} examples/grpo.c \
    $(pkg-config --cflags --libs assay) -o "$work/grpo" || fail "grpo.c does not compile"
  "$work/grpo" models/tiny 2 "$work/trained" >"$work/out" || fail "grpo ends with $?"
  [ "$(grep -cE '^step +[12]  solved +[0-9.]+ %  norm [0-9.]+  mismatch 0$' "$work/out")" = 2 ] || fail "grpo: $(cat "$work/out")"
  before=$("$assay" convert --hash models/tiny | sed -n 's/^weights //p') after=$("$assay" convert --hash "$work/trained" | sed -n 's/^weights //p')
  [ -n "$after" ] && [ "$before" != "$after" ] || fail "the saved weights are those of the start"
  "$assay" generate "$work/trained" '12+34=' --temperature 0 >"$work/out" || fail "the saved model does not answer"
  "$work/grpo" models/tiny 1 "$work/trained" >"$work/out" 2>"$work/err" && fail "a model was written over"
  grep -q 'holds a model already' "$work/err" || fail "$(cat "$work/err")"
fi

command -v python3 >/dev/null || { echo "skipped: no python3"; exit 0; }
"$assay" train recipes/demo.yaml train.steps=3 rollout.problems=8 eval.problems=8 --run "$work/run" --quiet || fail "no run to read"
if command -v zstd >/dev/null || python3 -c 'import zstandard' 2>/dev/null || python3 -c 'import compression.zstd' 2>/dev/null; then
  python3 examples/read_run.py "$work/run" >"$work/out" || fail "read_run.py"
  grep -q '^step    3  solved' "$work/out" && grep -q '64 rollouts; the best' "$work/out" || fail "read_run.py: $(cat "$work/out")"
  grep -q 'accuracy [0-9.]* %' "$work/out" || fail "read_run.py shows no evaluation"
else
  echo "skipped: nothing here reads zstd for Python"
fi
python3 examples/read_run.py "$work" 2>"$work/err" && fail "read_run.py reads what is no run"
grep -q 'holds no metrics.jsonl' "$work/err" || fail "$(cat "$work/err")"
python3 examples/plot.py solved "$work/curve.svg" "$work/run" "$work/run" || fail "plot.py"
python3 -c 'import sys, xml.dom.minidom as x; d = x.parse(sys.argv[1]); sys.exit(len(d.getElementsByTagName("polyline")) != 4)' \
  "$work/curve.svg" || fail "plot.py draws no two curves"
python3 examples/plot.py no_such "$work/curve.svg" "$work/run" 2>"$work/err" && fail "plot.py draws what is not there"
echo "built, run, read and drawn"
