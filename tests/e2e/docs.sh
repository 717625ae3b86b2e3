#!/usr/bin/env bash
# What the pages say is there: docs/options.md and docs/tasks.md are what the program prints, docs/metrics.md knows every
# metric that runs write, and files named in links or in `code` exist.
. "$(dirname "$0")/../begin.sh"
cd "$root" || exit 1

"$assay" train --keys >"$work/options.md" || fail "assay train --keys"
cmp -s "$work/options.md" docs/options.md || fail "write it anew: assay train --keys --out docs/options.md"
"$assay" tasks --markdown | cmp -s - docs/tasks.md || fail "write it anew: assay tasks --markdown --out docs/tasks.md"
"$assay" doctor --support | cmp -s - docs/support.md || fail "write it anew: assay doctor --support >docs/support.md"
"$assay" calc --markdown | cmp -s - docs/calc.md || fail "write it anew: assay calc --markdown >docs/calc.md"

# A run with evaluation, two optimiser steps and a reference, and one of sft: names with a part of their own are
# generalised as the page has them.
"$assay" train recipes/grpo.yaml train.steps=1 eval.problems=4 rollout.problems=4 \
  --run "$work/run" --quiet || fail "recipes/grpo.yaml does not run"
"$assay" sft recipes/sft.yaml train.steps=1 --run "$work/sft" --quiet || fail "recipes/sft.yaml does not run"
cat "$work"/run/metrics.jsonl "$work"/sft/metrics.jsonl 2>/dev/null | tr ',{}' '\n\n\n' |
  sed -nE 's/^ *"([^"]+)":.*/\1/p' | sed -E 's|^eval/.*/([a-z@]+)$|eval/<name>/\1|' | sort -u >"$work/names"
[ "$(wc -l <"$work/names")" -gt 35 ] || fail "only $(wc -l <"$work/names") metrics were written"
sed -nE 's/^\| `([^`]+)` \|.*/\1/p' docs/metrics.md | sort -u >"$work/described"
for name in $(comm -23 "$work/names" "$work/described"); do fail "docs/metrics.md does not describe $name"; done
for name in $(comm -13 "$work/names" "$work/described" | grep -vE '^(reward/<channel>|verify/failed/<kind>|scores/second_too_long)$'); do
  fail "docs/metrics.md describes $name, which no run writes"
done

# Links and paths. A path begins with a folder of the tree; *, <, {, NAME and ... mark patterns, models/smollm2 is fetched,
# mad is the method that docs/guide/writing-a-method.md makes.
for page in README.md CONTRIBUTING.md docs/*.md docs/method/*.md docs/guide/*.md docs/verify/*.md; do
  [ -f "$page" ] || { fail "$page is missing"; continue; }
  grep -oE '\]\([^)#:]+' "$page" | cut -c3- | grep -vE '^https?$' | while read -r link; do
    [ -e "$(dirname "$page")/$link" ] || echo "$page links to $link, which is not there"
  done
  grep -oE '(src|tests|docs|recipes|tools|bench|include|models)/[A-Za-z0-9_./*<{-]+' "$page" | sed -E 's/[.,:]+$//' | sort -u |
    grep -vE '[*<{]|/$|\.\.\.|NAME|models/smollm2|kind_palindrome|mad\.|part_median' | while read -r path; do
    [ -e "$path" ] || echo "$page names $path, which is not there"
  done
done >"$work/paths"
while read -r line; do fail "$line"; done <"$work/paths"
[ "$failures" = 0 ] && echo "options, $(wc -l <"$work/described") metrics, pages"
exit $((failures > 0))
