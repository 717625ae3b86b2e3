#!/usr/bin/env python3
"""Makes tests/parity/data/models/FAMILY: tiny random checkpoints and what transformers computes from them in float64.

    python make_models.py OUT_DIR [FAMILY ...]

A folder holds config.json in the spelling of transformers 4 (that of nearly every checkpoint in circulation),
config.v5.json as transformers 5 writes it, model.safetensors, and expect.safetensors with input_ids, lengths, logits,
logprob, entropy, hidden.*, coef, loss and every gradient (loss = sum of coef * logprob), in the layout that
tests/parity/models.c reads. Sequences are run one by one, without padding.

transformers casts to float32 in norms, softmax and rotary tables even where weights are float64. wide() makes these
casts float64, and AllFloat64 fails where a narrower tensor occurs.

Made with Python 3.11, torch 2.15.0 (CPU, one thread), transformers 5.23.0, safetensors 0.8.0. Weights come from
torch.manual_seed: another torch may give other weights, and other expectations that are as good."""
import contextlib, importlib, json, math, os, shutil, sys, tempfile
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoConfig, AutoModelForCausalLM

torch.set_num_threads(1)
LENGTHS, WIDTH = [20, 13, 7], 20

BASE = dict(vocab_size=43, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=8, hidden_act="silu", rms_norm_eps=1e-5, max_position_embeddings=64, rope_theta=10000.0, rope_scaling=None,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA = dict(BASE, model_type="llama", architectures=["LlamaForCausalLM"], attention_bias=False, mlp_bias=False)
FAMILIES = {
    # rotary positions of every kind that the fixtures of llama do not have
    "llama-linear": dict(LLAMA, num_hidden_layers=1, rope_scaling=dict(type="linear", factor=4.0)),
    "llama-dynamic": dict(LLAMA, num_hidden_layers=1, rope_scaling=dict(rope_type="dynamic", factor=4.0)),
    "qwen2-yarn": dict(BASE, model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_size=32, num_hidden_layers=1, rope_theta=1000.0,
                       rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16), sliding_window=None,
                       use_sliding_window=False, max_window_layers=1),
    # layer 2 of 4 has no rotary positions, by the list; the interval alone says layer 4
    "smollm3": dict(BASE, model_type="smollm3", architectures=["SmolLM3ForCausalLM"], num_hidden_layers=4, rope_theta=50000.0,
                    no_rope_layers=[1, 0, 1, 1], no_rope_layer_interval=4, use_sliding_window=False, sliding_window=None,
                    attention_bias=False, mlp_bias=False, tie_word_embeddings=True, rms_norm_eps=1e-6),
    # fused matrices, three quarters of a head rotated, longrope, a window
    "phi3": dict({k: v for k, v in BASE.items() if k != "head_dim"}, model_type="phi3", architectures=["Phi3ForCausalLM"], hidden_size=32,
                 intermediate_size=20, partial_rotary_factor=0.75, original_max_position_embeddings=32, sliding_window=6,
                 rope_scaling=dict(type="longrope", short_factor=[1.0, 1.25, 1.5], long_factor=[2.0, 3.0, 4.0])),
    "granite": dict(LLAMA, model_type="granite", architectures=["GraniteForCausalLM"], embedding_multiplier=3.0, residual_multiplier=0.22,
                    attention_multiplier=0.3, logits_scaling=1.5, tie_word_embeddings=True),
    "olmo2": dict(BASE, model_type="olmo2", architectures=["Olmo2ForCausalLM"], hidden_size=32, intermediate_size=20, attention_bias=False, rope_theta=500000.0, rms_norm_eps=1e-6),
}


class WideTorch:
    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextlib.contextmanager
def wide(model_class):
    modules = [importlib.import_module(model_class.__module__), importlib.import_module("transformers.modeling_rope_utils")]
    keep_float, keep_type = torch.Tensor.float, torch.get_default_dtype()
    for m in modules:
        m.torch = WideTorch()
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        for m in modules:
            m.torch = torch
        torch.Tensor.float = keep_float
        torch.set_default_dtype(keep_type)


class AllFloat64(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(t, torch.Tensor) and t.is_floating_point() and t.dtype != torch.float64:
                raise AssertionError(f"{func} gave {t.dtype}")
        return out


def read_config(folder_config):
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "config.json"), "w") as f:
            json.dump(folder_config, f)
        return AutoConfig.from_pretrained(d)


def build(v4):
    return AutoModelForCausalLM.from_config(read_config(v4), attn_implementation="eager", dtype=torch.float32).eval()


def widened(model):
    with wide(type(model)):
        m = type(model)(model.config).double().eval()
        m.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
    return m


def fill(model, seed):
    """Weights under which nothing is degenerate: logits of standard deviation near 2, norms away from 1."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            r = torch.randn(p.shape, generator=g)
            if p.ndim == 1:
                p.copy_(0.3 * r + ("norm" in name))
            elif "embed_tokens" in name:
                p.copy_(r * (2.0 / p.shape[1] ** 0.5 if model.config.tie_word_embeddings else 1.0))
            else:
                p.copy_(r * (2.0 if "lm_head" in name else 1.5) / p.shape[1] ** 0.5)


def run(model, sequences, coefs):
    model.zero_grad(set_to_none=True)
    records, loss = [], 0.0
    for ids, coef in zip(sequences, coefs):
        hidden, hooks, base = {}, [], model.model

        def grab(name):
            def hook(mod, args, out):
                hidden[name] = (out[0] if isinstance(out, tuple) else out).detach()[0]
            return hook
        hooks.append(base.layers[0].register_forward_pre_hook(
            lambda mod, args, kw: hidden.__setitem__("embed", (args[0] if args else kw["hidden_states"]).detach()[0]), with_kwargs=True))
        hooks += [l.register_forward_hook(grab(f"layer{i}")) for i, l in enumerate(base.layers)]
        hooks.append(base.norm.register_forward_hook(grab("norm")))
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        for h in hooks:
            h.remove()
        logp = torch.log_softmax(logits, -1)
        lp = logp[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        part = (torch.tensor(coef, dtype=lp.dtype) * lp).sum()
        part.backward()
        loss += part.item()
        records.append({"logits": logits.detach(), "logprob": lp.detach(), "entropy": -(logp.exp() * logp).sum(-1).detach(),
                        **{"hidden." + k: v for k, v in hidden.items()}})
    return records, loss, {n: p.grad.detach().clone() for n, p in model.named_parameters()}


def padded(rows):
    out = torch.zeros((len(rows), WIDTH) + tuple(rows[0].shape[1:]), dtype=rows[0].dtype)
    for b, r in enumerate(rows):
        out[b, :len(r)] = r
    return out


def differences(model, ids, coefs, grads, g):
    """The largest distance of some gradients from central differences, in parts of the tensor's largest."""
    worst, h = 0.0, 1e-5
    for name, p in model.named_parameters():
        flat = p.data.view(-1)
        for i in torch.randint(0, flat.numel(), (2,), generator=g).tolist() + [int(grads[name].abs().argmax())]:
            keep, both = flat[i].item(), []
            for step in (h, -h):
                flat[i] = keep + step
                with wide(type(model)), torch.no_grad():
                    both.append(sum((torch.tensor(c) * torch.log_softmax(model(input_ids=torch.tensor([s]), use_cache=False).logits[0, :-1], -1)
                                     .gather(1, torch.tensor(s[1:])[:, None])[:, 0]).sum().item() for s, c in zip(ids, coefs)))
            flat[i] = keep
            worst = max(worst, abs((both[0] - both[1]) / (2 * h) - grads[name].view(-1)[i].item()) / float(grads[name].abs().max()))
    return worst


def make(folder, v4, seed):
    shutil.rmtree(folder, ignore_errors=True)
    model = build(v4)
    fill(model, seed)
    model.save_pretrained(folder)
    os.rename(os.path.join(folder, "config.json"), os.path.join(folder, "config.v5.json"))
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(dict(v4, torch_dtype="float32", transformers_version="4.51.0", use_cache=True), f, indent=1)
        f.write("\n")
    g = torch.Generator().manual_seed(seed + 1)
    ids = [torch.randint(0, v4["vocab_size"], (n,), generator=g).tolist() for n in LENGTHS]
    coefs = [(torch.randint(-512, 513, (n - 1,), generator=g) / 256).tolist() for n in LENGTHS]
    wide_model = widened(model)
    with wide(type(wide_model)), AllFloat64():
        rec, loss, grads = run(wide_model, ids, coefs)
    out = {"input_ids": padded([torch.tensor(i) for i in ids]), "lengths": torch.tensor(LENGTHS),
           "coef": padded([torch.tensor(c, dtype=torch.float64) for c in coefs]), "loss": torch.tensor([loss], dtype=torch.float64)}
    out |= {k: padded([r[k] for r in rec]) for k in rec[0]} | {"grad." + n: v for n, v in grads.items()}
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(folder, "expect.safetensors"))
    rec32, loss32, grads32 = run(model, ids, coefs)
    off = {k: max(float((a[k].double() - b[k]).abs().max()) for a, b in zip(rec32, rec)) for k in ("logits", "logprob", "entropy")}
    off["gradient"] = max(float((grads32[n].double() - v).abs().max() / v.abs().max()) for n, v in grads.items())
    for name in os.listdir(folder):
        os.chmod(os.path.join(folder, name), 0o644)
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(os.path.basename(folder), f"{size / 1024:.0f} KiB; float32 is off by", {k: f"{v:.1e}" for k, v in off.items()},
          f"differences {differences(wide_model, ids, coefs, grads, g):.1e}", flush=True)


def main(out, names):
    os.makedirs(out, exist_ok=True)
    for i, (name, v4) in enumerate(FAMILIES.items()):
        if not names or name in names:
            make(os.path.join(out, name), v4, 3000 + 10 * i)


main(sys.argv[1], sys.argv[2:])
