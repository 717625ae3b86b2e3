"""Both verifiers over the same pairs in one run: see math.sh."""
import json
import resource
import subprocess
import sys
import time


def ours(assay, rows, repeat):
    """Verdicts and processor seconds of assay, start and reading included; the start alone is taken off."""
    lines = "".join(json.dumps({"answer": r["gold"], "response": r["pred"]}) + "\n" for r in rows)

    def run(text):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([assay, "verify", "math"], input=text, capture_output=True, text=True, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return out, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    _, start = run("")
    out, seconds = run(lines * repeat)
    verdicts = [json.loads(line) for line in out.splitlines()]
    return verdicts, (seconds - start) / len(verdicts)


def theirs(rows):
    """Verdicts and processor seconds of math-verify with its defaults, the gold answer in a box."""
    from math_verify import parse, verify

    parse("$1$")
    verdicts, start = [], time.process_time()
    for r in rows:
        gold = parse("\\boxed{" + r["gold"] + "}")
        tries = [r["pred"]] if r["form"] == "response" else [r["pred"], "\\boxed{" + r["pred"] + "}"]
        verdicts.append(any(verify(gold, parse(t)) for t in tries))
    return verdicts, (time.process_time() - start) / len(rows)


def main():
    assay, path = sys.argv[1:3]
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    mine, fast = ours(assay, rows, 20)
    other, slow = theirs(rows)
    n = len(rows)
    print(f"{'':12} {'agree':>9} {'false +':>8} {'false -':>8} {'us each':>10}")
    for name, verdicts, each in (("assay", [v["correct"] for v in mine[:n]], fast), ("math-verify", other, slow)):
        agree = sum(v == r["equal"] for v, r in zip(verdicts, rows))
        plus = sum(v and not r["equal"] for v, r in zip(verdicts, rows))
        print(f"{name:12} {agree:4}/{n} {plus:8} {n - agree - plus:8} {1e6 * each:10.1f}")
    ms = sorted(v["ms"] for v in mine)
    print(f"assay: median {ms[len(ms) // 2]:.4f} ms, p99 {ms[len(ms) * 99 // 100]:.4f} ms; ratio {slow / fast:.0f}")


if __name__ == "__main__":
    main()
