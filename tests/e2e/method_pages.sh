#!/usr/bin/env bash
# A method's page, recipe and table: that they are there, that the page has its parts and the rows of docs/results.md,
# and that it names options that the program has: those in the first column of its tables, and those set like `name: value` or `name=value`.
. "$(dirname "$0")/../begin.sh"
cd "$root" || exit 1

"$assay" methods --json | sed -nE 's/^\{"name": *"([a-z0-9_]+)".*/\1/p' >"$work/methods"
count=$(wc -l <"$work/methods")
[ "$count" -ge 40 ] || fail "assay methods --json names only $count methods"
"$assay" train --keys | grep -oE '^\| [a-z_.]+ ' | tr -d '| ' >"$work/keys"
options_of() { "$assay" methods "$1" | sed -nE '/^options/,/^metrics/s/^  ([a-z_0-9]+) .*\(.*/\1/p'; }
while read -r name; do options_of "$name"; done <"$work/methods" | sort -u >"$work/everyone"

pages=0 options=0
while read -r name; do
  page=docs/method/$name.md
  for path in "$page" "recipes/$name.yaml" "tests/golden/$name.tsv"; do [ -s "$path" ] || fail "$name has no $path"; done
  [ -s "$page" ] || continue
  pages=$((pages + 1))
  # the idea in a paragraph, formulas, when, cost, what was measured
  sed -n 3p "$page" | grep -qE '^[A-Z].{40}' || fail "$page does not begin with a paragraph"
  grep -qE '^    .' "$page" || fail "$page has no formula"
  for part in '^(\*\*)?When' '^(\*\*)?Cost' '^Measured with `bench/method/'; do
    grep -qE "$part|^## When, cost" "$page" || fail "$page has no paragraph $part"
  done
  grep -q '^Measured with' "$page" || fail "$page does not say what was measured"
  options_of "$name" >"$work/own"
  # first column of tables: words in `code`; a name is followed by nothing, by : or by =
  grep -E '^\| *`' "$page" | cut -d'|' -f2 | grep -oE '`[a-z_0-9]+(`|:|=)' | tr -d '`:=' | sort -u >"$work/named"
  while read -r option; do
    options=$((options + 1))
    grep -qx "$option" "$work/own" || fail "$page: its table has the option $option, which assay methods $name has not"
  done <"$work/named"
  # what a line of a list begins with: options, their values, grpo's options
  { "$assay" methods "$name"; "$assay" methods grpo; } >"$work/help"
  grep -E '^- `' "$page" | cut -d: -f1 | grep -oE '`[a-z_0-9]+`' | tr -d '`' | sort -u >"$work/heads"
  while read -r word; do
    options=$((options + 1))
    grep -qw -- "$word" "$work/help" || fail "$page: a list has $word, which assay methods $name has not"
  done <"$work/heads"
  # anywhere: `name: value`; it may be another method's, a key of the recipe, or an argument of assay calc
  grep -oE '`[a-z_0-9]+(: |=)[^`]*`' "$page" | sed -E 's/^`([a-z_0-9]+).*/\1/' | sort -u >"$work/set"
  while read -r option; do
    options=$((options + 1))
    grep -qx "$option" "$work/everyone" || grep -qE "(^|\.)$option\$" "$work/keys" || grep -qx "$option" "$work/methods" ||
      grep -qs "\"$option\"" "src/method/calc_$name.c" || [ "$option" = methods ] ||
      fail "$page: sets $option, which is no option, no key and no argument of assay calc"
  done <"$work/set"
  # the other methods that it links to
  grep -oE '\]\([a-z_0-9]+\.md\)' "$page" | tr -d '])(' | while read -r link; do [ -s "docs/method/$link" ] || echo "$link"; done >"$work/links"
  while read -r link; do fail "$page links to $link, which is not there"; done <"$work/links"
done <"$work/methods"
for page in docs/method/*.md; do
  grep -qx "$(basename "$page" .md)" "$work/methods" || fail "$page: there is no such method"
done
measured=$(python3 bench/method/report.py --check 2>&1) || fail "$measured"
[ "$options" -ge 40 ] || fail "only $options options were looked at"
[ "$failures" = 0 ] && echo "$pages pages, $options options"
exit $((failures > 0))
