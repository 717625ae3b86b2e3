#!/usr/bin/env bash
# assay serve by python3's own HTTP client: answers are those of generate and score to the bit, alone and among others,
# streamed or whole; limits, refusals, clients that leave, and an orderly end.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
cd "$work" || exit 1

# A model with a template, and one that never ends: no end token, a long context.
cp -r "$root/models/tiny" talker
echo "{% for m in messages %}{{ m['content'] }}{{ '=' if m['role'] == 'user' else ' ' }}{% endfor %}" >talker/chat_template.jinja
cp -r talker endless
rm -f endless/generation_config.json
sed -i 's/"max_position_embeddings": 64/"max_position_embeddings": 100000/; s/"eos_token_id": 0/"eos_token_id": null/' endless/config.json
python3 - <<'PYTHON'
import json
path = "endless/tokenizer_config.json"
config = json.load(open(path))
config.pop("eos_token", None)
json.dump(config, open(path, "w"))
PYTHON
timeout 150 python3 "$root/tests/e2e/serve.py" "$assay"
