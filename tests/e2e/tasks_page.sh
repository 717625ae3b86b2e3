#!/usr/bin/env bash
# assay tasks NAME: a page with colours for a person at a terminal, JSON Lines for everything else.
. "$(dirname "$0")/../begin.sh"
command -v script >/dev/null || { echo "skipped: script (bsdutils) is not installed"; exit 0; }
escape=$(printf '\033')

# What the command prints on a terminal of its own.
terminal() { script -qec "$*" /dev/null </dev/null | tr -d '\r'; }

export TERM=xterm
unset NO_COLOR
terminal "$assay" tasks maze max_dist=7 >"$work/page"
grep -q "$escape\[" "$work/page" || fail "no colours on a terminal"
[ "$(grep -c 'maze:1:' "$work/page")" = 3 ] || fail "not three samples on a terminal"
grep -q "min_grid_size" "$work/page" || fail "no keys on a terminal"
grep -q "right" "$work/page" || fail "nothing about right answers on a terminal"
terminal "$assay" tasks maze --count 5 >"$work/page"
[ "$(grep -c 'maze:1:' "$work/page")" = 5 ] || fail "--count 5 does not show five samples"
for plain in NO_COLOR=1 TERM=dumb; do
  terminal "env $plain $assay" tasks maze >"$work/page"
  grep -q "$escape" "$work/page" && fail "colours with $plain"
  grep -q "min_grid_size" "$work/page" || fail "no page with $plain"
done
terminal "$assay" tasks maze --json >"$work/page"
[ "$(grep -cE '^\{"id": ?"maze:1:' "$work/page")" = 10 ] || fail "--json does not write ten problems on a terminal"

"$assay" tasks maze >"$work/lines"
cmp -s "$work/lines" "$work/page" || fail "a pipe does not get what --json writes"
"$assay" tasks >"$work/list"
grep -q "$escape" "$work/list" && fail "colours in a pipe"
[ "$(grep -c . "$work/list")" -gt 29 ] || fail "the list has not a line for each task"
"$assay" tasks maze --markdown >/dev/null 2>&1 && fail "--markdown with a name is taken"
[ "$failures" = 0 ] && echo "page, colours, lines"
exit $((failures > 0))
