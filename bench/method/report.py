#!/usr/bin/env python3
"""Carries the table of docs/results.md to where its rows are read.

    bench/method/report.py [--check]

- Each docs/method/NAME.md ends with a list of what was measured of NAME: its rows, in words.
- docs/results.md gets, for every row that did not show its claim, how large the claim is (claims.tsv) beside how large a
  difference the row would have shown.

--check writes nothing and fails where a page would change.
"""
import argparse, os, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
RESULTS = "docs/results.md"
COLUMNS = ("method", "bed", "base", "quantity", "base_mean", "mean", "difference", "shows", "claim", "seen", "starts")


def read(path):
    with open(f"{ROOT}/{path}") as f:
        return f.read()


def between(text, name):
    """What stands before, between and behind a pair of marks."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, rest = text.split(begin)
    inside, tail = rest.split(end, 1)
    return head + begin, inside, end + tail


def rows(text):
    for line in between(text, "methods")[1].splitlines()[2:]:
        yield dict(zip(COLUMNS, (x.strip() for x in line.strip("|").split(" | "))))


def claims():
    for line in read("bench/method/claims.tsv").splitlines():
        if not line.startswith("#"):
            method, bed, base, quantity, size, source = line.split("\t")
            yield (method, bed, base, quantity), (size, source)


def claim_table(text):
    known, used, out, count = dict(claims()), set(), [], dict.fromkeys(("shown", "undecided", "none"), 0)
    out += ["| method | bed | base | quantity | the claim | would show | so | the claim is from |", "|---|---|---|---|---|---|---|---|"]
    for r in rows(text):
        if r["seen"] != "no":
            continue
        key = (r["method"], r["bed"], r["base"], r["quantity"])
        if key not in known:
            sys.exit(f"report: claims.tsv has no line for {', '.join(key)}; add how large its claim is, or -")
        size, source = known[key]
        used.add(key)
        shows, base = float(r["shows"]), float(r["base_mean"])
        share = f"{100 * shows / base:.0f} % of the base's mean" if base else "any"
        if not source:
            sys.exit(f"report: claims.tsv says nothing of where {', '.join(key)} is from; add what was read")
        if size == "-":
            said, so, decided = "none given", f"no size to hold it against; open below {share}", "none"
        else:
            value = float(size[:-2]) / 100 * base if size.endswith(" %") else float(size)
            said, decided = f"{value:.3g}", "shown" if shows < value else "undecided"
            so = "would have shown" if decided == "shown" else "undecided: more seeds, or a larger task"
        count[decided] += 1
        out.append(f"| {' | '.join(key)} | {said} | {shows:.3g} | {so} | {source} |")
    for key in sorted(set(known) - used):
        sys.exit(f"report: claims.tsv has a line for {', '.join(key)}, which is no row that says no; take it out")
    out += ["", f"{sum(count.values())} rows: {count['shown']} would have shown a difference of the claim's size, {count['undecided']} would "
            f"not, and for {count['none']} no size is given."]
    return "\n".join(out) + "\n"


def measured(name, of):
    words = {"yes": "seen", "no": "not seen", "the opposite": "the opposite was seen"}
    out = [f"Measured with `bench/method/{name}.sh` ([all rows](../results.md#methods-on-small-tasks)); 95 % interval of the paired difference:", ""]
    for r in of:
        shows = "" if r["seen"] == "yes" else f"; {r['shows']} would show"
        starts = "from one start" if r["starts"] == "1" else f"{r['starts']} seeds, each from its own start"
        out.append(f"- {r['quantity']} on {r['bed']}, against {r['base']}: {r['base_mean']} to {r['mean']}, difference {r['difference']} ({starts}). "
                   f"Claimed: {r['claim']}; {words[r['seen']]}{shows}.")
    return "\n".join(out) + "\n"


def page(name, text, of):
    """A page with its list in place of the one it has, or of a line that names docs/results.md."""
    text = re.sub(r"\n+Measured with `bench/method/.*\Z", "\n", text, flags=re.S)
    text = re.sub(r"[ \n]+[Mm]easured:\s+see\s+docs/results\.md[^\n]*\n?\Z", "\n", text)
    return text.rstrip("\n") + "\n\n" + measured(name, of)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true")
    check = p.parse_args().check
    results, wanted, by_method = read(RESULTS), {}, {}
    for r in rows(results):
        by_method.setdefault(r["method"], []).append(r)
    head, _, tail = between(results, "claims")
    wanted[RESULTS] = head + claim_table(results) + tail
    for name, of in by_method.items():
        path = f"docs/method/{name}.md"
        wanted[path] = page(name, read(path), of)
    stale = [path for path, text in wanted.items() if read(path) != text]
    for path in stale:
        if not check:
            open(f"{ROOT}/{path}", "w").write(wanted[path])
    if check and stale:
        sys.exit(f"report: {', '.join(stale)} differ from docs/results.md; run bench/method/report.py")
    print(f"{len(by_method)} methods have rows, {len(stale)} pages {'would change' if check else 'written'}")


main()
