#!/usr/bin/env python3
"""A model with random weights of the shape in a config.json, drawn on the GPU, for both sides of a measurement.

Usage: make_model.py CONFIG.json TOKENIZER_FOLDER OUT
"""
import os, shutil, sys, torch
from transformers import AutoConfig, AutoModelForCausalLM

config, tokenizer, out = sys.argv[1:4]
os.makedirs(out, exist_ok=True)
shutil.copy(config, os.path.join(out, "config.json"))
torch.manual_seed(0)
torch.set_default_dtype(torch.bfloat16)
with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(out))
model.save_pretrained(out)
for name in ("tokenizer.json", "tokenizer_config.json"):
    if os.path.exists(os.path.join(tokenizer, name)): shutil.copy(os.path.join(tokenizer, name), out)
print(sum(p.numel() for p in model.parameters()), "parameters")
