#!/usr/bin/env bash
# assay eval: the same attempts whatever the threads and slots, a report that the stored attempts give again, and errors that say what is missing.
set -u
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
assay=${ASSAY_BINARY:-$root/build/release/assay}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
cat >recipe.yaml <<RECIPE
model: random:$root/models/tiny
data: [{task: addition, format: plain}]
rollout: {problems: 2, group: 2, max_new_tokens: 4, max_prompt_tokens: 16}
train: {steps: 1}
RECIPE
"$assay" train recipe.yaml --run run --quiet || fail "no run to evaluate"

# A run folder is a MODEL. Attempts go to --out, the report to stdout; neither depends on how the work is laid out.
task=(--data "task:addition,digits=1,format=plain" --problems 10 --samples 4 --max-new-tokens 20 --k 1,4 --quiet)
"$assay" eval run "${task[@]}" --out first.jsonl --threads 1 --slots 1 >first.txt || fail "eval: exit status $?"
"$assay" eval run "${task[@]}" --out second.jsonl --threads 3 --slots 7 >second.txt || fail "eval: exit status $?"
cmp first.jsonl second.jsonl || fail "threads or slots change attempts"
cmp first.txt second.txt || fail "threads or slots change the report"
[ "$(wc -l <first.jsonl)" = 40 ] || fail "40 attempts, but $(wc -l <first.jsonl) lines"
"$assay" eval run "${task[@]}" --seed 2 --out third.jsonl >third.txt || fail "eval: exit status $?"
cmp -s first.jsonl third.jsonl && fail "another seed gives the same attempts"
for field in problem sample reward correct readable extracted tokens finish reason text; do
  [ "$(grep -c "\"$field\": " first.jsonl)" = 40 ] || fail "attempts lack $field"
done
"$assay" eval --from first.jsonl --k 1,4 >again.txt || fail "eval --from: exit status $?"
cmp first.txt again.txt || fail "the stored attempts give another report"
"$assay" eval run "${task[@]}" --json >report.json || fail "eval --json: exit status $?"
[ "$(wc -l <report.json)" = 1 ] && grep -q '"accuracy"' report.json || fail "--json is not one object: $(head -c 200 report.json)"

# A problem file, judged by the verifier that is named; a random model's digits are now and then the answer.
for i in 1 2 3 4 5; do echo "{\"id\": \"p$i\", \"prompt\": \"$i+0=\", \"answer\": $i}"; done >problems.jsonl
"$assay" eval run --data problems.jsonl --verifier number --samples 2 --max-new-tokens 5 --out file.jsonl --quiet >file.txt || fail "eval of a file: exit status $?"
[ "$(cut -d'"' -f4 file.jsonl | sort -u | tr '\n' ' ')" = "p1 p2 p3 p4 p5 " ] || fail "attempts of a file have other ids"

refused() {
  local want=$1 text=$2
  shift 2
  "$assay" eval "$@" --out refused.jsonl >out 2>err </dev/null
  local got=$?
  [ "$got" = "$want" ] || fail "eval $*: exit status $got, want $want"
  grep -qF -- "$text" err || fail "eval $*: stderr lacks \"$text\": $(head -c 300 err)"
  [ ! -e refused.jsonl ] && [ ! -s out ] || fail "eval $*: left something behind"
}
refused 2 '--data' run
refused 2 'absent' run --data absent.jsonl
refused 2 'absent' absent --data problems.jsonl --verifier number
refused 2 'verifier' run --data problems.jsonl
refused 2 'number' run --data problems.jsonl --verifier numbr
refused 2 '--k 1,8' run --data problems.jsonl --verifier number --k 1,8 --samples 4
refused 2 '--from' run --from first.jsonl

[ "$failures" = 0 ] || exit 1
echo "evaluated as expected"
