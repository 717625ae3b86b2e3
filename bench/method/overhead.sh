#!/bin/bash
# What a method costs beside GRPO: instructions, announced prices, processor time.
#
#     bench/method/overhead.sh ASSAY [METHOD ...] [--jobs N] [--keep FOLDER] [--rounds N [--time METHOD ...]] [--write]
exec "$(dirname "$0")/overhead.py" "$@"
