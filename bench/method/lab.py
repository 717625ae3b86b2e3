#!/usr/bin/env python3
"""A method beside its base on a small task of known structure: same seeds, same data, same starts, paired.

    bench/method/lab.py NAME --bed BED --method YAML [--base YAML] --quantity Q --claim up|down [--set KEY=VALUE ...]

trains both on seeds 1..N with `assay train` and prints the means, the 95 % interval of the paired difference (Student's
t over seeds) and the smallest difference that this many seeds would show with a power of 0.8. Each seed has a start model of
its own, the same for both sides, so the interval covers the start too; `starts` counts them. --write puts the row into
docs/results.md in place of the method's row for the same bed, base and quantity. bench/method/NAME.sh are such calls.

The model is a nano decoder (1 layer of 32, 19 thousand parameters) that starts from examples of the answer's form (seed N:
its first weights and the order of examples), so that it answers with letters drawn evenly: a bandit, or a short walk, run by
the whole program: about 150 steps a second and core. beds/start.yaml and beds/train.yaml are the recipes; what a bed and a method change in them stands in BEDS and on the
command line.

beds     24 problems (blocks: 8), a capital each; answers are letters a to h
  bandit   one letter, one is right: solved 1 in 8 at the start
  modes    one letter, three are right
  mixed    one letter of which the start knows more or less: from 1 in 50 to 3 in 4
  chain    three letters, all must be right: 1 in 512, nearly every group without a reward
  long     two to nine letters, then a digit; the digit alone counts: credit over idle tokens
  noisy    as mixed; a verdict is wrong with 10 % (right as wrong) and 20 % (wrong as right)
  decoy    one letter; the start answers with a wrong one in 7 of 10 and with the right one in 3 of 100
  template "it is ", then a letter: seven tokens that all answers share, one that decides
  hint     one letter; of the start's examples 15 in 16 have a letter before the capital and answer with it
  blocks   four letters in tagged blocks, each right 1 in 5, all must be: 1 in 500; each block is a subproblem (2 layers)

A run whose program, bed, recipe and seed were seen before is not run again (build/lab): a second quantity costs nothing.

quantities  KEY of metrics.jsonl, reduced over steps: KEY:last (mean of the last fifth), KEY:mean, KEY:first (mean of the
            first fifth), KEY:end (the last one); accuracy, pass@K: of an evaluation of 32 samples a problem at the end;
            distinct: different right answers a problem in it; prefix: right blocks before the first wrong one (bed blocks)
"""
import argparse, fcntl, hashlib, json, math, os, random, re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LETTERS = "abcdefgh"
NAMES = [chr(65 + i) for i in range(24)]
CONFIG = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=16)
BLOCKS = 4
# What a bed has that others have not: the verifier, keys of the decoder, of start.yaml and of train.yaml.
BEDS = {
    "bandit": {}, "mixed": {}, "noisy": {}, "chain": {}, "decoy": {}, "template": {},
    "modes": dict(verifier="{regex: {match: full}}"),
    "long": dict(verifier="{regex: {match: full}}"),
    "hint": dict(start=["train.steps=600", "train.lr=3.0e-3"]),  # copying from a place takes longer
    "blocks": dict(config=dict(num_hidden_layers=2), start=["train.steps=800", "train.lr=3.0e-3", "train.max_tokens=60"],
                   train=["rollout.max_new_tokens=48", "rollout.problems=8", "rollout.group=16"]),
}
# t of 0.975 and of 0.8 by degrees of freedom
T = {4: (2.776, 0.941), 5: (2.571, 0.920), 6: (2.447, 0.906), 7: (2.365, 0.896), 9: (2.262, 0.883), 11: (2.201, 0.876), 14: (2.145, 0.868),
     19: (2.093, 0.861), 29: (2.045, 0.854)}


def make_bed(bed):
    """Problems, worked examples, and what the recipe needs beside them."""
    draw = random.Random("assay " + bed)
    right = {n: draw.choice(LETTERS) for n in NAMES}
    if bed == "bandit":
        answers = lambda n: draw.choice(LETTERS)
        rows = [dict(answer=right[n]) for n in NAMES]
    elif bed == "modes":
        answers = lambda n: draw.choice(LETTERS)
        rows = [dict(answer="[" + "".join(sorted(draw.sample(LETTERS, 3))) + "]") for n in NAMES]
    elif bed in ("mixed", "noisy"):
        chance = {n: [0.02, 0.1, 0.3, 0.75][i % 4] for i, n in enumerate(NAMES)}
        others = {n: [x for x in LETTERS if x != right[n]] for n in NAMES}
        answers = lambda n: right[n] if draw.random() < chance[n] else draw.choice(others[n])
        rows = [dict(answer=right[n], domain=["hard", "rare", "half", "easy"][i % 4]) for i, n in enumerate(NAMES)]
    elif bed == "chain":
        answers = lambda n: "".join(draw.choice(LETTERS) for _ in range(3))
        rows = [dict(answer="".join(draw.choice(LETTERS) for _ in range(3))) for n in NAMES]
    elif bed == "long":
        answers = lambda n: "".join(draw.choice(LETTERS) for _ in range(draw.randint(2, 9))) + str(draw.randint(0, 7))
        rows = [dict(answer=f"[a-h]+{draw.randint(0, 7)}") for n in NAMES]
    elif bed == "decoy":
        decoy = {n: draw.choice([x for x in LETTERS if x != right[n]]) for n in NAMES}
        rest = {n: [x for x in LETTERS if x not in (right[n], decoy[n])] for n in NAMES}
        answers = lambda n: draw.choices([decoy[n], right[n], draw.choice(rest[n])], [0.7, 0.03, 0.27])[0]
        rows = [dict(answer=right[n]) for n in NAMES]
    elif bed == "template":
        answers = lambda n: "it is " + draw.choice(LETTERS)
        rows = [dict(answer="it is " + right[n]) for n in NAMES]
    elif bed == "hint":
        answers = lambda n: n[0] if len(n) > 1 else draw.choice(LETTERS)
        rows = [dict(answer=right[n]) for n in NAMES]
    elif bed == "blocks":
        form = lambda letters: "".join(f"<p{j + 1}>{x}</p{j + 1}>" for j, x in enumerate(letters))
        solutions = {n: draw.choices(LETTERS, k=BLOCKS) for n in NAMES}
        answers = lambda n: form(x if draw.random() < 0.1 else draw.choice(LETTERS) for x in solutions[n])
        rows = [dict(answer=form(solutions[n]), subproblems=[dict(statement=str(j + 1), ground_truth=x) for j, x in enumerate(solutions[n])])
                for n in NAMES][:8]
    problems = [dict(id=n, prompt=n, **r) for n, r in zip(NAMES, rows)]
    prompts = [draw.choice(LETTERS) + n if bed == "hint" and i % 16 else n for i, n in enumerate(NAMES[:-1] * 261)]
    shown = [dict(prompt=n, completion=answers(n)) for n in (prompts if bed == "hint" else NAMES[:8] * 750 if bed == "blocks" else NAMES * 250)]
    draw.shuffle(shown)
    return problems, shown


def run(args, log):
    with open(log, "w") as out:
        code = subprocess.call(args, stdout=out, stderr=out, cwd=ROOT)
    if code:
        sys.exit(f"lab: {' '.join(args)} ended with {code}:\n" + open(log).read()[-2000:])


def once(done, make):
    """make() unless it was made, by this process or by another."""
    if not os.path.exists(done):
        with open(f"{done}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(done):
                make()
                open(done, "w").close()


def prepare(assay, folder, bed):
    """The bed's folder: its problems, its examples and the decoder's shape."""
    problems, shown = make_bed(bed)
    config = {**CONFIG, **BEDS[bed].get("config", {})}
    with open(assay, "rb") as program, open(f"{HERE}/beds/start.yaml", "rb") as recipe:
        state = hashlib.sha256(program.read() + recipe.read() + json.dumps([problems, shown, BEDS[bed], config]).encode())
    home = f"{folder}/{bed}-{state.hexdigest()[:12]}"
    os.makedirs(f"{home}/nano", exist_ok=True)
    once(f"{home}/ready", lambda: write_bed(home, config, problems, shown))
    return home


def write_bed(home, config, problems, shown):
    config = {**json.load(open(f"{ROOT}/models/tiny/config.json")), **config}
    json.dump(config, open(f"{home}/nano/config.json", "w"))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        open(f"{home}/nano/{name}", "w").write(open(f"{ROOT}/models/tiny/{name}").read())
    for name, rows in (("problems", problems), ("shown", shown)):
        open(f"{home}/{name}.jsonl", "w").writelines(json.dumps(r) + "\n" for r in rows)


def start(assay, home, bed, seed):
    """The model that the runs of a seed start from."""
    folder = f"{home}/start-{seed}"
    words = ["sft", f"{HERE}/beds/start.yaml", f"model=random:{home}/nano", f"data=[{{path: {home}/shown.jsonl}}]", *BEDS[bed].get("start", [])]
    once(f"{folder}.done", lambda: again(assay, words, seed, folder))
    return folder


def arguments(home, bed, methods, settings):
    """What follows `assay train`, without the seed and its start; and the folder's name, made from all that it says."""
    data = f"[{{path: {home}/problems.jsonl, verifier: {BEDS[bed].get('verifier', 'string')}}}]"
    words = [f"{HERE}/beds/train.yaml", f"data={data}", f"eval.data={data}", f"methods={methods}", *BEDS[bed].get("train", []), *settings]
    return words, f"{home}/{hashlib.sha256((open(words[0]).read() + json.dumps(words)).encode()).hexdigest()[:12]}"


def again(assay, words, seed, folder):
    """A run from nothing."""
    subprocess.call(["rm", "-rf", folder])
    run([assay, *words, f"seed={seed}", "--run", folder, "--threads", "1", "--quiet"], f"{folder}.log")


def train(assay, home, bed, words, label, seed):
    folder, model = f"{label}-{seed}", start(assay, home, bed, seed)
    once(f"{folder}.done", lambda: again(assay, ["train", *words, f"model={model}"], seed, folder))
    return folder


def measure(folder, quantity):
    rows = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
    if quantity in ("distinct", "accuracy", "prefix") or quantity.startswith("pass@"):
        names = sorted(os.listdir(f"{folder}/evaluations"))
        text = subprocess.run(["zstd", "-dcq", f"{folder}/evaluations/{names[-1]}"], capture_output=True, text=True, check=True).stdout
        right = {p["id"]: p["answer"] for p in map(json.loads, open(f"{os.path.dirname(folder)}/problems.jsonl"))}
        problems = {}
        for a in map(json.loads, text.splitlines()):
            problems.setdefault(a["problem"], []).append(a)
        each = []
        for tries in problems.values():
            c, n = sum(a["correct"] for a in tries), len(tries)
            if quantity == "prefix":
                each.append(sum(os.path.commonprefix([a["text"], right[a["problem"]]]).count("</p") for a in tries) / n)
            elif quantity == "distinct":
                each.append(len({a["text"] for a in tries if a["correct"]}))
            else:
                k = int(quantity[5:]) if quantity.startswith("pass@") else 1
                each.append(1 - (math.comb(n - c, k) / math.comb(n, k)))
        return sum(each) / len(each)
    key, _, how = quantity.partition(":")
    values = [r[key] for r in rows if r.get(key) is not None]
    if not values:
        sys.exit(f'lab: {folder}/metrics.jsonl has no "{key}"')
    part = max(1, len(values) // 5)
    values = {"last": values[-part:], "first": values[:part], "mean": values, "end": values[-1:]}[how or "last"]
    return sum(values) / len(values)


def write_row(name, bed, base, quantity, row):
    path = f"{ROOT}/docs/results.md"
    text = open(path).read()
    begin, end = "<!-- methods: begin -->\n", "<!-- methods: end -->"
    if begin not in text:
        sys.exit("lab: docs/results.md has no table of methods (<!-- methods: begin -->)")
    head, rest = text.split(begin)
    table, tail = rest.split(end, 1)
    lines = table.splitlines()
    key = f"| {name} | {bed} | {base} | {quantity} |"
    rows = [x for x in lines[2:] if not x.startswith(key)] + [row]
    open(path, "w").write(head + begin + "\n".join(lines[:2] + sorted(rows)) + "\n" + end + tail)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("name", help="the method, as it is called in the table")
    p.add_argument("--bed", required=True, choices=sorted(BEDS))
    p.add_argument("--method", required=True, help="the recipe's list of methods, as YAML: '[dapo]'")
    p.add_argument("--base", default="[grpo]", help="what it is compared with (default [grpo])")
    p.add_argument("--quantity", required=True)
    p.add_argument("--claim", choices=("up", "down"), required=True, help="the direction that the paper claims")
    p.add_argument("--set", nargs="*", default=[], help="recipe keys for both: train.steps=200")
    p.add_argument("--method-set", nargs="*", default=[], help="for the method alone: rollout.group=64")
    p.add_argument("--base-set", nargs="*", default=[], help="for the base alone: train.epochs=2; named in the table")
    p.add_argument("--seeds", type=int, default=5, choices=sorted(d + 1 for d in T))
    p.add_argument("--jobs", type=int, default=2, help="runs at once, one thread each")
    p.add_argument("--assay", default=f"{ROOT}/build/release/assay")
    p.add_argument("--folder", default=f"{ROOT}/build/lab")
    p.add_argument("--write", action="store_true", help="put the row into docs/results.md")
    a = p.parse_args()
    assay, kin = os.path.abspath(a.assay), ", ".join([a.base.strip("[]"), *a.base_set])
    home = prepare(assay, os.path.abspath(a.folder), a.bed)
    noise = ", {reward_noise: {false_negative: 0.1, false_positive: 0.2}}]" if a.bed == "noisy" else "]"
    sides = {"base": arguments(home, a.bed, a.base[:-1] + noise, a.set + a.base_set),
             "method": arguments(home, a.bed, a.method[:-1] + noise, a.set + a.method_set)}
    with ThreadPoolExecutor(a.jobs) as pool:
        for j in [pool.submit(start, assay, home, a.bed, s) for s in range(1, a.seeds + 1)]:
            j.result()
        jobs = {(side, s): pool.submit(train, assay, home, a.bed, *words, s) for s in range(1, a.seeds + 1) for side, words in sides.items()}
        folders = {k: j.result() for k, j in jobs.items()}
    base, method = ([measure(folders[side, s], a.quantity) for s in range(1, a.seeds + 1)] for side in sides)
    differences = [m - b for m, b in zip(method, base)]
    n = a.seeds
    mean = sum(differences) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    wide, power = T[n - 1]
    low, high = mean - wide * spread, mean + wide * spread
    seen = "yes" if (low > 0 if a.claim == "up" else high < 0) else "the opposite" if (high < 0 if a.claim == "up" else low > 0) else "no"
    number = lambda x: f"{x:.4g}"
    row = (f"| {a.name} | {a.bed} | {kin} | {a.quantity} | {number(sum(base) / n)} | {number(sum(method) / n)} | "
           f"{number(mean)} ({number(low)} to {number(high)}) | {number((wide + power) * spread)} | {a.claim} | {seen} | {n} |")
    print("| method | bed | base | quantity | base's mean | method's mean | difference (95 %) | would show | claim | seen | starts |")
    print(row)
    if a.write:
        write_row(a.name, a.bed, kin, a.quantity, row)


if __name__ == "__main__":
    main()
