#!/usr/bin/env bash
# The guide, walked: its lines for other formats make problem files, its recipe runs on the built-in model, its commands
# answer. Lines are taken from the pages themselves, so that page and test cannot part.
. "$(dirname "$0")/../begin.sh"
program=$assay
guide=$root/docs/guide
cd "$work" || exit 1
assay() { "$program" "$@"; }
ln -s "$root/models" models
ln -s "$root/recipes" recipes

# your-problems.md: a table of one-liners, `COMMAND` in the second column
line_for() { grep -F "| $1 |" "$guide/your-problems.md" | sed -E 's/^[^`]*`(.*)`[^`]*$/\1/'; }
command -v python3 >/dev/null && {
  printf 'question,answer\n"2, and 2 is",4\n3+4=,7\n' >problems.csv
  eval "$(line_for 'CSV with a header')" || fail "the CSV line"
  [ "$(assay verify number 2>/dev/null <problems.jsonl | wc -l)" = 2 ] || fail "the CSV line made no two lines"
  grep -qF '"question": "2, and 2 is"' problems.jsonl || fail "the CSV line lost a field: $(cat problems.jsonl)"
}
command -v jq >/dev/null && {
  echo '[{"question": "3+4=", "answer": 7}]' >problems.json
  eval "$(line_for 'a JSON array')" || fail "the JSON line"
  grep -q '"answer":7' problems.jsonl || fail "the JSON line lost a field"
}

# its example of a verdict, and of the other field names
verdict=$(eval "$(sed -nE 's/^    (echo .*assay verify number)$/\1/p' "$guide/your-problems.md")")
grep -q '"correct": *true' <<<"$verdict" || fail "the verdict of your-problems.md: $verdict"
printf '{"Body": "3+4", "Question": "=", "Answer": 7}\n{"Body": "2+4", "Question": "=", "Answer": 6}\n' >names.jsonl

# its recipe, on the built-in model, with other sizes
assay tasks addition format=plain --count 60 --out problems.jsonl || fail "assay tasks"
sed -n '/^## The recipe/,/^## /p' "$guide/your-problems.md" | sed -n 's/^    //p' >own.yaml
sized=(model=models/tiny data.0.verifier=number train.steps=2 rollout.max_new_tokens=6 eval.problems=8 template.system=null)
assay train own.yaml "${sized[@]}" --plan >plan.txt 2>&1 || fail "the recipe's plan: $(tail -3 plan.txt)"
grep -qi 'memory' plan.txt || fail "the plan says nothing of memory"
assay train own.yaml "${sized[@]}" --run runs/own --quiet || fail "the recipe does not run"
assay eval runs/own --data problems.jsonl --verifier number --samples 4 --problems 8 --max-new-tokens 6 --out after.jsonl >report.txt 2>/dev/null ||
  fail "its evaluation"
grep -q accuracy report.txt || fail "the evaluation reports no accuracy"
assay train own.yaml "${sized[@]}" 'data.0.fields={prompt: "{Body}{Question}", answer: Answer}' data.0.path=names.jsonl \
  data.0.split=all --run runs/names --quiet || fail "fields with other names"

# first-run.md: what it changes in the demo's recipe are keys that exist
sed -nE 's/^    assay train recipes\/demo.yaml ([^ ]*) --run [^ ]*.*/\1/p' "$guide/first-run.md" >keys
[ "$(wc -l <keys)" -ge 3 ] || fail "first-run.md changes nothing"
while read -r key; do
  assay train recipes/demo.yaml "$key" --plan >/dev/null 2>err || fail "first-run.md: $key: $(cat err)"
done <keys

# every command that the guide names exists
grep -ohE 'assay (train|eval|generate|chat|score|verify|tasks|methods|sft|convert|replay|doctor|completion|render|tokenize|calc|bench)\b' "$guide"/*.md |
  sort -u >named
while read -r _ name; do assay "$name" --help >/dev/null 2>&1 || fail "the guide names assay $name"; done <named
[ "$failures" = 0 ] && echo "guide: $(wc -l <named) commands, $(wc -l <keys) keys"
exit $((failures > 0))
