#!/usr/bin/env python3
"""How far the log-probabilities of two `assay score --json` files are from each other.

Usage: near.py ONE TWO
"""
import json, sys

def numbers(path):
    out = []
    def walk(x):
        if isinstance(x, dict):
            for key, y in x.items():
                if key == "logp" and isinstance(y, list): out.extend(z for z in y if z is not None)
                elif key == "logp" and isinstance(y, (int, float)): out.append(y)
                else: walk(y)
        elif isinstance(x, list):
            for y in x: walk(y)
    for line in open(path): walk(json.loads(line))
    return out

one, two = numbers(sys.argv[1]), numbers(sys.argv[2])
if not one or len(one) != len(two): sys.exit(f"found {len(one)} and {len(two)} log-probabilities; expected as many of both")
far = [abs(a - b) for a, b in zip(one, two)]
print(f"{sum(f == 0 for f in far)} of {len(far)} equal, the farthest {max(far):.3g}, the mean {sum(far) / len(far):.3g}")
