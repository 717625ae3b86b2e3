#!/usr/bin/env python3
"""Peer: TRL's GRPOTrainer on the fixed GRPO workload: every rollout is exactly --new tokens, so that the work is equal.

Usage: trl_grpo.py MODEL_DIR [--problems 8] [--group 8] [--new 64] [--steps 4] [--threads 2]
Prints one JSON line: median seconds per step after the first, and its parts.
"""
import argparse, json, os, resource, tempfile, time, random, torch
os.environ["CUDA_VISIBLE_DEVICES"] = ""; os.environ["WANDB_DISABLED"] = "true"
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

a = argparse.ArgumentParser()
a.add_argument("model"); a.add_argument("--problems", type=int, default=8); a.add_argument("--group", type=int, default=8)
a.add_argument("--new", type=int, default=64); a.add_argument("--steps", type=int, default=4); a.add_argument("--threads", type=int, default=2)
a.add_argument("--bf16", action="store_true")
a = a.parse_args()
torch.set_num_threads(a.threads); random.seed(0)
tok = AutoTokenizer.from_pretrained(a.model, padding_side="left")
rows = []
for _ in range(a.problems * (a.steps + 2)):
    x, y = random.randint(10, 99), random.randint(10, 99)
    rows.append({"prompt": [{"role": "user", "content": f"What is {x} + {y}? Answer with a number."}], "answer": str(x + y)})

def reward(completions, answer, **_):
    return [float(a in c[0]["content"]) + 0.01 * len(set(c[0]["content"])) for c, a in zip(completions, answer)]

clock = time.process_time if a.threads == 1 else time.perf_counter  # as assay bench
stamp = []
class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__): stamp.append(clock())
    def on_train_end(self, *_, **__): stamp.append(clock())

part = {"generate": 0.0}
cfg = GRPOConfig(output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=a.bf16, fp16=False, per_device_train_batch_size=a.problems * a.group,
                 gradient_accumulation_steps=1, num_generations=a.group, max_completion_length=a.new, max_steps=a.steps, beta=0.0,
                 learning_rate=1e-6, logging_steps=1, save_strategy="no", report_to=[], temperature=1.0, gradient_checkpointing=False,
                 generation_kwargs={"min_new_tokens": a.new})
tr = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.bfloat16 if a.bf16 else torch.float32), reward_funcs=reward, args=cfg,
                 train_dataset=Dataset.from_list(rows), processing_class=tok, callbacks=[Clock()])
gen = tr._generate_and_score_completions
def timed(*x, **k):
    t = clock(); r = gen(*x, **k); part["generate"] += clock() - t; return r
tr._generate_and_score_completions = timed
tr.train()
d = sorted(b - a_ for a_, b in zip(stamp[1:], stamp[2:]))
n = a.problems * a.group * a.new
print(json.dumps({"peer": "trl", "work": "grpo", "problems": a.problems, "group": a.group, "new": a.new, "threads": a.threads, "bf16": a.bf16,
                  "step_s": round(d[len(d) // 2], 2), "all": [round(x, 2) for x in d], "rollout_tok_s": round(n / d[len(d) // 2], 1),
                  "generate_share": round(part["generate"] / (stamp[-1] - stamp[0]), 3),
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))
