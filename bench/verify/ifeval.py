"""Verdicts of `assay verify ifeval` and of the Python checkers that lm_eval carries (google-research's), on the same
responses, strict and loose, one after the other on one core, by processor time.

    python bench/verify/ifeval.py [ASSAY] [VERDICTS.jsonl.gz]     (pip install lm_eval langdetect nltk immutabledict)

NLTK's sentence model is a download; where it is lacking a regular expression stands in for it, which is faster.
"""
import gzip
import importlib.util
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
import types

import nltk

nltk.data.find = lambda name: name  # no download at import
package = pathlib.Path(importlib.util.find_spec("lm_eval").origin).parent
for name in ("lm_eval", "lm_eval.tasks"):  # their own imports need far more than the checkers do
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(package / "tasks" if "tasks" in name else package)]
from lm_eval.tasks.ifeval import instructions_util, utils  # noqa: E402


class Sentences:
    def tokenize(self, text):
        return re.split(r"(?<=[.!?])\s+", text)


here = pathlib.Path(__file__).resolve().parent
assay = sys.argv[1] if len(sys.argv) > 1 else str(here / "../../build/release/assay")
path = sys.argv[2] if len(sys.argv) > 2 else str(here / "../../../shared/fixtures/ifeval/verdicts.jsonl.gz")
instructions_util._get_sentence_tokenizer = Sentences
instructions_util.nltk.word_tokenize = nltk.tokenize.NLTKWordTokenizer().tokenize
rows = [json.loads(line) for line in gzip.open(path, "rt")]

begin, wrong, verdicts = time.process_time(), 0, 0
for r in rows:
    inp = utils.InputExample(r["key"], r["instruction_id_list"], r["prompt"], r["kwargs"])
    strict = utils.test_instruction_following_strict(inp, r["response"]).follow_instruction_list
    loose = utils.test_instruction_following_loose(inp, r["response"]).follow_instruction_list
    verdicts += len(strict)
    wrong += sum(a != b for a, b in zip(strict + loose, r["strict"] + r["loose"]))
theirs = time.process_time() - begin

with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
    f.writelines(json.dumps(r) + "\n" for r in rows)
    f.flush()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run([assay, "verify", "ifeval", "--in", f.name], check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
ours = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
judging = sum(json.loads(line)["ms"] for line in out.splitlines())
missed = sum(a != b for r, o in zip(rows, map(json.loads, out.splitlines()))
             for a, b in zip(r["strict"] + r["loose"], o["strict"] + o["loose"]))
print(f"{len(rows)} responses, {verdicts} constraints, strict and loose")
print(f"Python   {1e3 * theirs / len(rows):8.3f} ms a response   {wrong} verdicts differ from the recorded ones")
print(f"assay    {1e3 * ours / len(rows):8.3f} ms a response   {missed} verdicts differ")
print(f"ratio    {theirs / ours:8.1f}   with start-up, reading and writing JSON, which Python's time is without; "
      f"judging alone, by the clock: {1e3 * judging / 1e3 / len(rows):.3f} ms, {1e3 * theirs / judging:.1f}")
