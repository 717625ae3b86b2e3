"""Makes tests/parity/peft: two adapters of models/tiny as pip's peft saves them, and what transformers with peft says
of them. From the repository's root, with torch, transformers, peft and safetensors:

    python3 tests/parity/make/peft_adapters.py
"""
import json, os
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

BASE, OUT = "models/tiny", "tests/parity/peft"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {"lora": dict(r=2, lora_alpha=6, target_modules=ALL), "rslora": dict(r=3, lora_alpha=2, use_rslora=True, target_modules=["v_proj", "down_proj"])}
IDS = [[1, 14, 7, 9, 3, 20, 11, 5], [30, 2, 2, 8, 17, 4]]

torch.set_grad_enabled(False)
expected = {}
for name, settings in CASES.items():
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    base = [torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1) for ids in IDS]
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", bias="none", lora_dropout=0.0, **settings))
    for key, tensor in model.named_parameters():
        if "lora_B" in key:  # away from its start, where the adapter counts nothing
            tensor.copy_(torch.randn_like(tensor) * 0.3)
    tuned = [torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1) for ids in IDS]
    model.save_pretrained(os.path.join(OUT, name))
    readme = os.path.join(OUT, name, "README.md")
    if os.path.exists(readme):
        os.remove(readme)
    take = lambda logp: [[row[t].item() for row, t in zip(rows, ids[1:])] for rows, ids in zip(logp, IDS)]
    expected[name] = {"ids": IDS, "base": take(base), "logp": take(tuned)}
with open(os.path.join(OUT, "expected.json"), "w") as out:
    json.dump(expected, out, indent=1)
