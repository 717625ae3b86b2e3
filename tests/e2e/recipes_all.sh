#!/usr/bin/env bash
# label: long. Every recipe at two micro-batches and two numbers of threads (tests/e2e/recipes.sh).
RECIPES_EVERY=1 RECIPES_CORNERS="512,1 512,2 1024,1 1024,2" exec bash "$(dirname "$0")/recipes.sh"
