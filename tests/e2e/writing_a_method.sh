#!/usr/bin/env bash
# docs/guide/writing-a-method.md, walked: its files are taken from the page, compiled as the build compiles its own, put
# before the build's archives with a registry that knows one method more, and run: conformance suite, golden rows, recipe,
# calc, experiment.
. "$(dirname "$0")/../begin.sh"
build=$(dirname "$assay")
page=$root/docs/guide/writing-a-method.md
fail() { echo "FAILED: $*"; exit 1; }
if grep -q '^ASSAY_FUZZ:BOOL=ON' "$build/CMakeCache.txt"; then echo "a fuzz build is not linked"; exit 77; fi

# ```LANGUAGE PATH ... ``` is the file PATH.
awk -v to="$work" '/^```$/ { close(file); file = "" } file { print > file }
  /^```[a-z]+ [^ ]+$/ { file = to "/" $2; folder = file; sub("/[^/]*$", "", folder); system("mkdir -p " folder) }' "$page"
for path in src/method/{part_median.h,part_median.c,mad.c,calc_mad.c} recipes/mad.yaml tests/golden/mad.tsv mad.json; do
  [ -s "$work/$path" ] || fail "the page has no $path"
  [ ! -e "$root/$path" ] || fail "$path is there already: the page needs another name"
done
cd "$work" || exit 1
ln -s "$root/models" models
mkdir generated tests/unit

# The registries with one name more; the tests with the line that the page adds.
for table in method calc; do
  { cat "$build/generated/${table}_table.h"; echo 'X(mad)'; } | LC_ALL=C sort -u >"generated/${table}_table.h"
done
ln -s "$root"/tests/golden/*.tsv tests/golden/
cp "$root"/tests/unit/method_*.[ch] tests/unit/
sed 's|TABLES\[\] = {|&"mad", |' "$root/tests/golden/method_golden.c" >tests/golden/method_golden.c
grep -q '"mad"' tests/golden/method_golden.c || fail "TABLES of method_golden.c was not found"

# The build's own compiler and flags for src/method/table.c, our folders first.
command=$(grep -B1 '"file": ".*/src/method/table.c"' "$build/compile_commands.json" | sed -nE 's/^ *"command": "(.*) -o .*/\1/p' |
  sed -E 's/\\(["\\])/\1/g')
[ -n "$command" ] || fail "compile_commands.json has no src/method/table.c"
compiler=${command%% *}
flags="-I$work/generated -I$work/src -I$work/tests -I$root/tests ${command#* } -DASSAY_BUILD_DIR='\"$build\"' -DASSAY_BINARY='\"$work/assay\"' -DASSAY_SOURCE_DIR='\"$work\"'"
compile() { eval "$compiler $flags -c '$1' -o '$2'" || fail "$1 does not compile"; }
for name in part_median mad calc_mad; do compile "src/method/$name.c" "$name.o" & done
for name in table calc; do compile "$root/src/method/$name.c" "$name.o" & done
compile "$root/src/cli/main.c" main.o &
suites=()
for path in tests/unit/method_{conformance,gradients}.c; do
  suites+=("$(basename "$path" .c)")
  compile "$path" "${suites[-1]}.o" &
done
compile tests/golden/method_golden.c golden.o &
compile "$root/tests/golden/calc_golden.c" calc_golden.o &
wait
own=(part_median.o mad.o calc_mad.o table.o calc.o)
libraries="$(sed -n 's/^Libs: [^ ]* -lassay//p' "$build/assay.pc")"
sanitize=$(sed -n 's/^ASSAY_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
archives=() # the layers, the last one first, as the program is linked
for layer in $(grep '^[a-z]' "$root/tools/layers.txt"); do
  [ -e "$build/libassay_$layer.a" ] && archives=("$build/libassay_$layer.a" "${archives[@]}")
done
grep -q '^EDIT_FOUND:INTERNAL=1' "$build/CMakeCache.txt" && libraries="$libraries $(pkg-config --libs libedit)"
link() { # shellcheck disable=SC2086
  "$compiler" ${sanitize:+-fsanitize=$sanitize} "$@" "${own[@]}" "${archives[@]}" $libraries \
    $(pkg-config --libs cmocka) || fail "$2 does not link"
}
for suite in "${suites[@]}"; do link -o "$suite" "$suite.o"; done
link -o golden golden.o
link -o calc_golden calc_golden.o
link -o assay main.o

# What the page says runs.
for suite in "${suites[@]}"; do
  "./$suite" >out 2>&1 || fail "the conformance suite: $(grep -v '^\[' out | head -20)"
done
./golden >out 2>&1 || fail "the golden rows: $(grep -v '^\[' out | tail -20)"
grep -q '^mad.tsv:' out || fail "the golden rows of mad were not read"
./calc_golden >out 2>&1 || fail "the rows of calc: $(cat out)"
./assay methods mad >out || fail "assay methods mad"
for word in mix eps mad/deviation mix=0; do grep -qF "$word" out || fail "assay methods mad says nothing of $word: $(cat out)"; done
./assay methods --resolve recipes/mad.yaml >out || fail "its resolution"
grep -qE 'advantage +owner +mad' out && grep -qE 'objective +owner +grpo' out || fail "the owners: $(cat out)"
grep -q 'extra forwards a step: 0' out || fail "forwards are added: $(grep extra out)"
./assay calc --in mad.json >out || fail "assay calc"
grep -q '3\.33333333' out || fail "assay calc: $(cat out)"
./assay train recipes/mad.yaml train.steps=3 eval.problems=8 --run run --quiet || fail "its recipe does not run"
[ "$(grep -c '"mad/deviation": *[0-9]' run/metrics.jsonl)" = 3 ] || fail "mad/deviation is not in three lines"
[ "$(tail -3 run/metrics.jsonl | grep -c '"mismatch": *0[,}]')" = 3 ] || fail "mismatch is not 0"
bash -n bench/method/mad.sh || fail "its experiment"
"$root/bench/method/lab.py" --help >/dev/null || fail "lab.py"
echo "compiled, conforms, $(grep -c '^mad.tsv:' <(./golden 2>&1)) golden rows, 3 steps"
