#!/bin/bash
# What a method costs beside GRPO: instructions, announced prices, processor time.
#
#     bench/method/overhead.sh ASSAY [METHOD ...] [--jobs N] [--keep FOLDER] [--only weight|priced|time] [--rounds N [--time METHOD ...]]
exec "$(dirname "$0")/overhead.py" "$@"
