#!/usr/bin/env bash
# assay eval: the same attempts whatever the threads and slots, a report that the stored attempts give again, and errors that say what is missing.
. "$(dirname "$0")/../begin.sh"
cd "$work" || exit 1
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
# nor on memory: with the least that it takes, answers wait for each other
for mib in $(seq 6 80); do "$assay" eval run "${task[@]}" --out tight.jsonl --memory "${mib}M" >/dev/null 2>tight.err && break; done
cmp first.jsonl tight.jsonl || fail "the least memory, $mib MiB, changes attempts: $(cat tight.err)"
[ "$mib" -gt 6 ] || fail "6 MiB hold the program, its weights and an answer"
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

# Several data, a greedy answer beside the samples, tables by data; each attempt once; judged again, and compared.
"$assay" eval run --data task:addition,digits=1,format=plain --data task:addition,digits=2,format=plain --problems 6 --samples 4 \
  --greedy --max-new-tokens 6 --quiet --out both.jsonl --svg both.svg >both.txt || fail "eval of two data: exit status $?"
[ "$(wc -l <both.jsonl)" = 60 ] || fail "60 attempts, but $(wc -l <both.jsonl) lines"
[ "$(grep -c '"greedy": true' both.jsonl)" = 12 ] || fail "not one greedy answer a problem"
[ "$(grep -c '"fields": ' both.jsonl)" = 12 ] || fail "not one line a problem is kept"
grep -q '^greedy' both.txt && [ "$(grep -c '^task:addition,digits=' both.txt)" = 2 ] || fail "no greedy line or no table: $(cat both.txt)"
grep -q '</svg>' both.svg || fail "--svg wrote no picture"
"$assay" eval --from both.jsonl --rejudge --out judged.jsonl >judged.txt 2>judged.err || fail "--rejudge: exit status $?"
cmp both.txt judged.txt && cmp both.jsonl judged.jsonl || fail "the same verifier judges otherwise"
grep -q '^0 of 60 attempts' judged.err || fail "--rejudge: $(cat judged.err)"
"$assay" eval --from both.jsonl --verifier string --quiet >string.txt || fail "--verifier: exit status $?"
"$assay" eval --from first.jsonl --from third.jsonl --json >merged.json || fail "two files: exit status $?"
grep -q '"attempts": 80' merged.json || fail "two seeds are not put together: $(head -c 300 merged.json)"
"$assay" eval --from first.jsonl --against third.jsonl >compared.txt || fail "--against: exit status $?"
grep -q '^McNemar' compared.txt && grep -q '^crossing' compared.txt || fail "--against: $(cat compared.txt)"
"$assay" eval --from first.jsonl --against third.jsonl --json | grep -q '"mcnemar"' || fail "--against --json"
sed -n 1p first.jsonl | sed 's/"problem": \("[^"]*"\).*/{"problem": \1, "sample": 0, "verdicts": [true, false, true]}/' | sed 's/^{{/{/' >chains.jsonl
"$assay" eval --from first.jsonl --cot chains.jsonl >cot.txt || fail "--cot: exit status $?"
grep -q 'CoT-pass' cot.txt || fail "--cot: $(cat cot.txt)"

# Benchmarks: the recipes read rows of their files' form, and judge right and wrong answers as such. (The answers are
# given, so that no model is needed.)
row() { printf '%s\n' "$2" >"$1.jsonl"; printf '%s\n' "$3" >"$1.text"; }
row gsm8k '{"question": "Mia has 3 bags of 14 marbles. How many?", "answer": "3*14=<<3*14=42>>42\n#### 42"}' 'Three times 14 is 42. The answer is 42.'
row svamp '{"ID": "made-1", "Body": "Mia has 14 marbles", "Question": "She loses 5. How many are left?", "Answer": 9.0, "Type": "Subtraction"}' 'The answer is 9'
row math500 '{"unique_id": "made/1", "problem": "What is $1/2+1/3$?", "answer": "\\frac{5}{6}", "subject": "Algebra", "level": 1}' 'So it is $\boxed{5/6}$.'
row ifeval '{"key": 1, "prompt": "Say it without commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}' 'It is said.'
row humaneval '{"task_id": "Made/1", "prompt": "def twice(x):\n    \"\"\"Two times x.\"\"\"\n", "entry_point": "twice", "test": "def check(candidate):\n    assert candidate(4) == 8\n"}' '    return 2 * x'
for name in gsm8k svamp math500 ifeval humaneval; do
  id=$(sed -E 's/.*"(ID|unique_id|task_id)": "([^"]*)".*/\2/; t; s/.*"key": ([0-9]+).*/\1/; t; s/.*/gsm8k.jsonl:1/' $name.jsonl)
  for sample in 0 1; do
    text=$([ $sample = 0 ] && sed 's/\\/\\\\/g' $name.text || echo 'well, 3, and so, it, is')
    echo "{\"problem\": \"$id\", \"sample\": $sample, \"correct\": false, \"text\": \"$text\"}"
  done >answers.jsonl
  "$assay" eval --from answers.jsonl --rejudge --recipe "$root/recipes/eval/$name.yaml" data.path=$name.jsonl --out judged.jsonl >report.txt 2>err
  got=$?
  if [ $name = humaneval ] && grep -q 'sandbox' err; then
    echo "no sandbox here: humaneval is left out"
    continue
  fi
  [ $got = 0 ] || fail "recipes/eval/$name.yaml: exit status $got: $(cat err)"
  [ "$(grep -o '"correct": [a-z]*' judged.jsonl | cut -c12- | tr '\n' ' ')" = "true false " ] || fail "recipes/eval/$name.yaml: $(cat judged.jsonl)"
done

# A problem file, judged by the verifier that is named; a random model's digits are now and then the answer.
for i in 1 2 3 4 5; do echo "{\"id\": \"p$i\", \"prompt\": \"$i+0=\", \"answer\": $i}"; done >problems.jsonl
"$assay" eval run --data problems.jsonl --verifier number --samples 2 --max-new-tokens 5 --out file.jsonl --quiet >file.txt || fail "eval of a file: exit status $?"
[ "$(cut -d'"' -f4 file.jsonl | sort -u | tr '\n' ' ')" = "p1 p2 p3 p4 p5 " ] || fail "attempts of a file have other ids"

# Perplexity of stored answers: what assay score says of the same tokens.
sed -n 1p file.jsonl >one.jsonl
text=$(sed -E 's/.*"text": "([^"]*)".*/\1/' one.jsonl)
"$assay" eval --from one.jsonl --data problems.jsonl --verifier number --perplexity run --json --quiet >perplexity.json || fail "--perplexity: exit status $?"
got=$(sed -E 's/.*"quartiles": \[([^,]*),.*/\1/' perplexity.json)
want=$(echo "{\"prompt\": \"1+0=\", \"completion\": \"$text\"}" | "$assay" score run --quiet | sed -E 's/.*"logp": \[([^]]*)\].*/\1/' |
  awk -F', ' '{ for (i = 1; i <= NF; i++) sum += $i; printf "%.10g", exp(-sum / NF) }')
awk -v a="$got" -v b="$want" 'BEGIN { exit !(b > 1 && a / b - 1 < 1e-6 && b / a - 1 < 1e-6) }' || fail "perplexity $got, by assay score $want"

printf 'data: {path: problems.jsonl, verifier: number}\nsampels: 3\n' >wrong.yaml
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
refused 2 '--perplexity' --from file.jsonl --perplexity run
refused 2 'the data lack' --from first.jsonl --data problems.jsonl --verifier number --rejudge --perplexity run
refused 2 'twice' --from first.jsonl --from second.jsonl
refused 2 '--against' run --data problems.jsonl --verifier number --against first.jsonl
refused 2 'no problem in both' --from first.jsonl --against file.jsonl
refused 2 'sampels' run --recipe wrong.yaml
refused 2 '--recipe' run samples=4 --data problems.jsonl

[ "$failures" = 0 ] || exit 1
echo "evaluated as expected"
