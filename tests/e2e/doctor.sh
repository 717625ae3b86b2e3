#!/usr/bin/env bash
# assay doctor: a line for each thing, ok or with what to do; advice is no failure; without helpers it says how to get them.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
cd "$work" || exit 1

"$assay" doctor >out 2>err || fail "exit status $?: $(cat err)"
for what in program arithmetic processor 'instruction sets' cores memory 'matrix products' 'memory bandwidth' libraries disk terminal sandbox python3 curl GPU; do
  grep -qE "^$what +.*( ok$| -> .{20})" out || fail "no line of $what: $(cat out)"
done
grep -q $'\033' out && fail "colours in a pipe"
[ ! -s err ] || fail "stderr: $(cat err)"
"$assay" doctor --json >json || fail "--json: exit status $?"
[ "$(wc -l <json)" = "$(wc -l <out)" ] || fail "--json has other lines"
[ "$(grep -cE '^\{"what": "[^"]+", "found": ".*", "ok": (true|false), "needed": (true|false), "advice": (null|".*")\}$' json)" = "$(wc -l <json)" ] || fail "--json: $(cat json)"

# Nothing in PATH: the code verifiers' helpers are lacking, which is advice and no failure.
PATH=$work "$assay" doctor --json >json || fail "without helpers: exit status $?"
grep '"sandbox"' json | grep -q '"ok": false.*bubblewrap' || fail "sandbox without bwrap: $(grep sandbox json)"
grep '"python3"' json | grep -q '"ok": false.*apt-get install python3' || fail "python3: $(grep python3 json)"
# More threads than cores.
threads=$((8 * $(nproc)))
"$assay" doctor --threads $threads --json 2>/dev/null | grep '"cores"' | grep -q 'leave --threads out' || fail "$threads threads are no remark"
if [ "$(id -u)" != 0 ]; then
  mkdir sealed && chmod 555 sealed
  (cd sealed && "$assay" doctor --json) | grep '"disk"' | grep -q 'may not write' || fail "a folder that may not be written"
fi
[ "$failures" = 0 ] || exit 1
echo "$(wc -l <out) findings"
