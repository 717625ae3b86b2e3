#!/usr/bin/env python3
"""Renders tests/golden/template_models.jsonl anew by jinja2 in transformers' environment.

    python template_models.py FILE

The first line holds conversations (all variables of a rendering each), every further one a template with what comes of
it for each of them: a text, or null where it fails. The templates are built as published ones are: tools, reasoning,
pictures, documents, macros that call themselves, blocks, and what jinja2 has beyond that. A new one is a line with its
name and text; this fills in the rest. Needs transformers and jinja2."""
import datetime, json, sys
from transformers.utils import chat_template_utils as utils


class Moment(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 1, 15, 14, 30, 5)


def render(template, variables):
    try:
        return utils._cached_compile_jinja_template(template).render(**variables)
    except Exception:
        return None


utils.datetime = Moment
path = sys.argv[1]
first, *lines = [json.loads(line) for line in open(path, encoding="ascii")]
with open(path, "w", encoding="ascii") as f:
    f.write(json.dumps(first) + "\n")
    for line in lines:
        line["expected"] = [render(line["template"], c) for c in first["conversations"]]
        f.write(json.dumps(line) + "\n")
