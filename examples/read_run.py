#!/usr/bin/env python3
"""Reads a run folder: how it went by metrics.jsonl, and what was answered by rollouts/.

    python3 examples/read_run.py runs/demo-1 [STEP]

Standard library alone; rollouts are zstd: by the module compression.zstd (Python 3.14) or zstandard where there is one,
else by the command zstd.
"""
import json
import pathlib
import subprocess
import sys


def read_metrics(run):
    """One dict a step; the line of step 0 holds an evaluation alone."""
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return  # the last line of a run that is writing it now


def unpack(path):
    data = path.read_bytes()
    try:
        from compression import zstd
        return zstd.decompress(data)
    except ImportError:
        pass
    try:
        import zstandard
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except ImportError:
        pass
    try:
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    except FileNotFoundError:
        sys.exit("read_run: rollouts need zstd: apt-get install zstd, or pip install zstandard")


def read_rollouts(run, step):
    """One dict a rollout: problem, ids, from, logp, entropy, reward, advantage, text, verdict, ..."""
    for line in unpack(run / "rollouts" / f"{step:06}.jsonl.zst").decode("utf-8").splitlines():
        yield json.loads(line)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: read_run.py RUN [STEP]")
    run = pathlib.Path(sys.argv[1])
    if not (run / "metrics.jsonl").exists():
        sys.exit(f"read_run: {run} holds no metrics.jsonl; expected the folder of a run")
    steps = list(read_metrics(run))
    trained = [m for m in steps if "loss" in m]
    for m in trained[:: max(1, len(trained) // 10)]:
        print(f"step {m['step']:4}  solved {100 * m['solved']:5.1f} %  reward {m['reward/mean']:.3f}  "
              f"entropy {m['entropy']:.3f}  length {m['length/mean']:.1f}  mismatch {m['mismatch']}")
    for m in steps:
        for name, value in m.items():
            if name.startswith("eval/") and name.endswith("/accuracy"):
                print(f"step {m['step']:4}  {name} {100 * value:.1f} %")
    step = int(sys.argv[2]) if len(sys.argv) > 2 else trained[-1]["step"]
    rollouts = sorted(read_rollouts(run, step), key=lambda r: -r["reward"])
    print(f"step {step}: {len(rollouts)} rollouts; the best and the worst:")
    for r in rollouts[:2] + rollouts[-2:]:
        sure = sum(r["logp"]) / len(r["logp"])
        print(f"  {r['problem']}  reward {r['reward']:g}  {sure:.2f} nats a token  {r['text']!r}  ({r['verdict']['reason']})")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.stderr.close()
