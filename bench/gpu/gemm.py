#!/usr/bin/env python3
"""Peer: PyTorch's bf16 matrix product, y = x W^T, one JSON line a shape: as it comes, and with the fastest algorithm that
cuBLASLt has for the shape (TunableOp tries them all).

Usage: gemm.py M N K [M N K ...]
"""
import json, sys, torch

def measure(m, n, k):
    x = torch.randn(m, k, device="cuda", dtype=torch.bfloat16); w = torch.randn(n, k, device="cuda", dtype=torch.bfloat16)
    for _ in range(3): x @ w.T
    times = []
    calls = max(1, int(2e12 / (2 * m * n * k)))
    for _ in range(5):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        for _ in range(calls): x @ w.T
        b.record(); torch.cuda.synchronize()
        times.append(a.elapsed_time(b) / 1000 / calls)
    return sorted(times)[2]

shapes = list(map(int, sys.argv[1:]))
for tuned in (False, True):
    torch.cuda.tunable.enable(tuned)
    if tuned: torch.cuda.tunable.tuning_enable(True); torch.cuda.tunable.set_max_tuning_duration(30)
    for i in range(0, len(shapes), 3):
        m, n, k = shapes[i:i + 3]
        s = measure(m, n, k)
        print(json.dumps({"peer": "torch" + (", cuBLASLt's best" if tuned else ""), "rows": m, "outputs": n, "inputs": k,
                          "seconds": round(s, 7), "tflop_s": round(2 * m * n * k / s / 1e12, 1)}), flush=True)
