#!/usr/bin/env python3
"""What a method costs beside GRPO, with a learning rate of 0, so that every run sees the same rollouts.

    bench/method/overhead.sh ASSAY [METHOD ...] [--jobs N] [--keep FOLDER] [--only weight|priced|time]
                             [--rounds N [--time METHOD ...]]

METHOD     those to look at; else all
--keep     counts that are there are not made again
--rounds   N runs of each METHOD of --time beside as many of GRPO: off where they can be turned off, else on
RUNNER     environment: a command that stands before every count (nice, a lock)

instructions  user-mode instructions of one thread: perf where it can count, else valgrind (AVX2 kernels); the same in every
              run, whatever else the machine does. The seeds draw problems of which each has right and wrong
              answers, so that GRPO trains all of them and a method none more.
weight-only   a method that needs nothing but the rollouts: a run of one step of 8 problems of 16 beside GRPO's, its start and
              its end included, in shares of one step. A method's own instructions do not depend on the model, so the model is
              the smallest at hand, the nano decoder of lab.py (bed long, 19 thousand parameters): with any other the share is
              smaller. Expected below +1 % where the method trains the same rows.
priced        a method that needs more, on models/tiny, 4 problems of 8: its second step less GRPO's second step, in forwards,
              where one forward is what the KL to a reference adds to GRPO. Expected within a tenth of the price that
              `assay methods --resolve` announces for prompts and answers of these lengths.
time          30 steps of 16 problems of 8 with models/tiny, N runs of each in turn. Of every step the shortest of its N times
              (what disturbs a step only adds to it), and the 95 % interval over the steps of the paired difference
              (Student's t), expected below +3 %.
"""
import argparse, json, math, os, re, shlex, shutil, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor

import lab

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RUNNER = shlex.split(os.environ.get("RUNNER", ""))
SETTINGS = ["train.lr=0", "train.minibatches=1", "eval=null"]
GRPO, KL = "[grpo]", "[{grpo: {kl_coef: 0.001}}]"
# Options without which the built-in model and one step do not do what the method is for; several settings have a name each.
# A probe that is fitted in the second step, on 64 rows; a slot at once; a replay in the second step, of the first one's batch;
# what waits of a step's rollouts, and in the second step as many that come back: of each group 3 or 4 in 8, of a batch half.
ON = {"poise": {"": "layer: -2, bootstrap: 1, warmup: 1, max_rows: 64"},
      "laser": {"": "token: 256, warm_loss: 0, warm_mix: 0"},
      "pipo": {"": "window: 1, min_steps: 1, normalise: false"},
      "rorecomp": {"": "capacity: 24, batch: 12", "scope: batch": "scope: batch, capacity: 24, batch: 15"},
      "sdpo": {"": "prompt: '{solution}{prompt}', solution: '{text} '"}}
# Another bed, for GRPO beside it too: what is within 2 of a sum is right, so that each group of the second step has two right
# texts and two second contexts of them, "90 25+64=" and "88 25+64=". Such a context is priced as long as prompts may be.
BED = {"sdpo": ["data=[{task: addition, format: plain, held_out: 0.2, train_until: 0.7, verifier: {number: {absolute: 2}}}]",
                "rollout.max_prompt_tokens=10", "seed=12"]}
OTHER_DATA = {"sft", "reward_model", "scrl"}  # examples, pairs, subproblems: no step of GRPO to stand beside
PROBLEMS, PARTS = 4, ("passes", "rows", "trained", "updates", "probes", "own")
STEPS, T = 30, 2.045  # timed; t of 0.975 with 29 degrees of freedom


def read(path):
    return open(path).read() if os.path.exists(path) else ""


def lines(path):
    return read(path).count("\n")


class Bench:
    def __init__(self, assay, keep):
        self.assay, self.keep, self.work, self.home = assay, keep, tempfile.mkdtemp(), None
        os.makedirs(keep, exist_ok=True)
        can = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True) if shutil.which("perf") else None
        self.perf = bool(can and re.match(r"\d", can.stderr))

    def ask(self, *words):
        return subprocess.run([self.assay, *words], capture_output=True, text=True, cwd=ROOT)

    def words(self, methods, problems, bed=""):
        return ["recipes/cispo.yaml", f"methods={methods}", *SETTINGS, f"rollout.problems={problems}", "seed=5", *BED.get(bed, [])]

    def train(self, methods, steps, problems, folder, bed=""):
        return [self.assay, "train", *self.words(methods, problems, bed), f"train.steps={steps}", "--threads", "1", "--quiet", "--run", folder]

    def train_nano(self, methods, steps, folder):
        if not self.home:
            self.home = lab.prepare(self.assay, f"{ROOT}/build/lab", "long")
        words, _ = lab.arguments(self.home, "long", methods, [*SETTINGS, f"train.steps={steps}", "seed=2", "rollout.problems=8", "rollout.group=16"])
        words = [w for w in words if not w.startswith("eval.data")] + [f"model={lab.start(self.assay, self.home, 'long', 1)}"]
        return [self.assay, "train", *words, "--threads", "1", "--quiet", "--run", folder]

    def kept(self, methods, what, make):
        """What make() returns, from the folder where it is there."""
        path = os.path.join(self.keep, re.sub(r"[^A-Za-z0-9_.-]+", "_", methods).strip("_") + f".{what}.json")
        if os.path.exists(path):
            return json.load(open(path))
        folder = tempfile.mkdtemp(dir=self.work)
        instructions = make(folder + "/run")
        out = dict(instructions=instructions, metrics=[json.loads(x) for x in open(folder + "/run/metrics.jsonl")][-1])
        json.dump(out, open(path, "w"))
        print(f"{methods}, {what}: {instructions}", file=sys.stderr, flush=True)
        return out

    def run(self, methods, before, words):
        env = os.environ if self.perf else {**os.environ, "ASSAY_ISA": "avx2"}
        return subprocess.run(RUNNER + before + words, capture_output=True, text=True, cwd=ROOT, env=env).stderr

    def whole(self, methods, words):
        """Instructions of a run."""
        if self.perf:
            before, pattern = ["perf", "stat", "-x,", "-e", "instructions:u"], r"^(\d+),"
        else:
            before, pattern = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"], r"I +refs: +([\d,]+)"
        said = self.run(methods, before, words)
        found = re.search(pattern, said, re.M)
        if not found:
            raise SystemExit(f"{methods}: {said[-600:]}")
        return int(found[1].replace(",", ""))

    def count(self, methods, steps):
        """Of a run on the nano decoder, and the last step's metrics."""
        return self.kept(methods, f"nano.{steps}", lambda run: self.whole(methods, self.train_nano(methods, steps, run)))

    def second(self, methods, bed=""):
        """Of the second step with models/tiny, and its metrics: two runs' difference, or one run whose profile is cut at each step."""
        def make(run):
            words = lambda steps: self.train(methods, steps, PROBLEMS, f"{run}{'' if steps == 2 else '.1'}", bed)
            if self.perf:
                return self.whole(methods, words(2)) - self.whole(methods, words(1))
            words = ["valgrind", "--tool=callgrind", "--dump-after=run_step", f"--callgrind-out-file={run}.profile", *words(2)]
            with open(f"{run}.log", "w") as log:
                going = subprocess.Popen(RUNNER + words, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "ASSAY_ISA": "avx2"})
            while going.poll() is None and not (lines(f"{run}/metrics.jsonl") == 2 and lines(f"{run}.profile.2")):
                time.sleep(0.5)
            going.terminate()  # what is left is the checkpoint
            going.wait()
            found = re.search(r"^(?:summary|totals): (\d+)", read(f"{run}.profile.2"), re.M)
            if not found:
                raise SystemExit(f"{methods}: {read(run + '.log')[-600:]}")
            return int(found[1])
        return self.kept(methods, f"tiny.{bed + '.' if bed else ''}second", make)

    def seconds(self, methods):
        """Of each step."""
        shutil.rmtree(self.work + "/timed", ignore_errors=True)
        subprocess.run(self.train(methods, STEPS, 16, self.work + "/timed"), check=True, capture_output=True, cwd=ROOT)
        return [json.loads(x)["time_s"] for x in open(self.work + "/timed/metrics.jsonl")]

    def neutral(self, name):
        found = re.search(r"^  neutral +(.*) gives the bits of grpo$", self.ask("methods", name).stdout, re.M)
        return f"[{{{name}: {{{found[1].replace(' ', ', ').replace('=', ': ')}}}}}]" if found else None

    def resolve(self, methods, *lengths, bed=""):
        said = json.loads(self.ask("methods", "--resolve", *self.words(methods, PROBLEMS, bed), *lengths, "--json").stdout)
        if "error" in said:
            raise SystemExit(f"{methods}: {said['error']['message']}")
        return said

    def price(self, methods, bed):
        """In forwards, at the lengths of GRPO's second step: a row is a token of a prompt, or of an answer but its last."""
        m = self.second(GRPO, bed)["metrics"]
        rollouts = round(m["tokens/generated"] / m["length/mean"])
        prompt = (m["rows/forward"] - m["tokens/generated"] + rollouts) / PROBLEMS
        return self.resolve(methods, "--prompt-tokens", str(prompt), "--answer-tokens", str(m["length/mean"]), bed=bed)["forwards"]["price"]


def settings(b, names):
    """(name, word, methods, needs) of all that is counted."""
    for name in names:
        on = [(word, f"[{{{name}: {{{options}}}}}]") for word, options in ON[name].items()] if name in ON else [("", f"[{name}]")]
        for word, methods in [("off", b.neutral(name)), *on]:
            if methods and name != "grpo" and name not in OTHER_DATA:
                yield name, word, methods, b.resolve(methods)["needs"]


def tables(b, rows, jobs):
    weight, priced = [r for r in rows if not r[3]], sorted(r for r in rows if r[3])
    out = weight_table(b, weight, jobs) if weight else []
    return out + ([""] if weight and priced else []) + (price_table(b, priced, jobs) if priced else [])


def weight_table(b, rows, jobs):
    base, out = b.count(GRPO, 1), []  # the first makes the nano model
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda r: b.count(*r), [(GRPO, 2)] + [(r[2], 1) for r in rows]))
    nano_step = b.count(GRPO, 2)["instructions"] - base["instructions"]
    out += ["| weight-only method | instructions beside GRPO, off | on |", "|---|---|---|"]
    shares = {}
    for name, word, methods, _ in rows:
        of = b.count(methods, 1)
        more = 100 * (of["instructions"] - base["instructions"]) / nano_step
        shares.setdefault(name, {})[word or "on"] = (more, of["metrics"]["rows/backward"] / base["metrics"]["rows/backward"])
    for name, of in sorted(shares.items()):
        off, on = (f"{of[w][0]:+.2f} %" if w in of else "" for w in ("off", "on"))
        out.append(f"| {name} | {off} | {on}{'' if of.get('on', (0, 1))[1] == 1 else ', %.2f of the rows' % of['on'][1]} |")
    return out


def price_table(b, rows, jobs):
    beds = {r[0] if r[0] in BED else "" for r in rows} | {""}
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda x: b.second(*x), [(m, bed) for bed in sorted(beds) for m in (GRPO, KL)] +
                      [(r[2], r[0] if r[0] in BED else "") for r in rows]))
    second = lambda m, bed: b.second(m, bed)["instructions"]
    out = ["| priced method | needs | announced, forwards | of which | counted | instructions beside GRPO |", "|---|---|---|---|---|---|"]
    for name, word, methods, needs in rows:
        bed = name if name in BED else ""
        step, forward = second(GRPO, bed), second(KL, bed) - second(GRPO, bed)
        more, price = second(methods, bed) - step, b.price(methods, bed)
        parts = ", ".join(f"{part} {price[part]:.2f}" for part in PARTS if abs(price[part]) >= 0.005)
        out.append(f"| {name}{', ' + word if word else ''} | {', '.join(needs)} | {price['total']:.2f} | {parts} | "
                   f"{more / forward:.2f} | {100 * more / step:+.1f} % |")
    step, forward = second(GRPO, ""), second(KL, "") - second(GRPO, "")
    return out + ["", f"One forward is {100 * forward / step:.1f} % of GRPO's step here."]


def times(b, names, rounds):
    out = ["| method | time of a step beside GRPO's, 95 % |", "|---|---|"]
    for name in names:
        methods = b.neutral(name) or f"[{name}]"
        took = {GRPO: [], methods: []}
        for i in range(rounds):
            for m in [GRPO, methods] if i % 2 else [methods, GRPO]:
                took[m].append(b.seconds(m))
        least = {m: [min(step) for step in zip(*runs)] for m, runs in took.items()}
        differences = [100 * (x / y - 1) for x, y in zip(least[methods], least[GRPO])]
        mean = sum(differences) / STEPS
        half = T * math.sqrt(sum((x - mean) ** 2 for x in differences) / (STEPS - 1) / STEPS)
        out.append(f"| {name}, {'off' if b.neutral(name) else 'on'} | {mean - half:+.1f} to {mean + half:+.1f} % |")
        print(out[-1], file=sys.stderr, flush=True)
    return out


def main():
    a = argparse.ArgumentParser(usage=__doc__.replace("%", "%%"))
    a.add_argument("assay")
    a.add_argument("methods", nargs="*")
    a.add_argument("--jobs", type=int, default=1)
    a.add_argument("--keep")
    a.add_argument("--rounds", type=int, default=0)
    a.add_argument("--time", nargs="*", default=["ace", "beyond_8020", "ppl_position"])
    a.add_argument("--only", choices=("weight", "priced", "time"))
    a = a.parse_args()
    temporary = None if a.keep else tempfile.mkdtemp()
    b = Bench(os.path.realpath(a.assay), a.keep or temporary)
    try:
        if a.only != "time":
            names = a.methods or [line.split()[1] for line in b.ask("methods").stdout.splitlines()]
            rows = [r for r in settings(b, names) if a.only in (None, "priced" if r[3] else "weight")]
            print("\n".join(tables(b, rows, a.jobs)))
        if a.rounds > 1:
            print("\n".join(times(b, a.time, a.rounds)))
    finally:
        shutil.rmtree(b.work, ignore_errors=True)
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


main()
