#!/usr/bin/env bash
# No file makes the program write outside its output folder: names in an index, in metadata, in a vocabulary, in a split
# model's parts and of a model itself that lead elsewhere are refused or are text, and nothing appears beside the output.
. "$(dirname "$0")/../begin.sh"
mkdir -p "$work/outer/inner" && cd "$work/outer/inner" || exit 1
tiny=$root/models/tiny

# Everything below $work but for the output of the last command, and its bytes.
snapshot() { (cd "$work" && find . -path ./outer/inner/out -prune -o -type f -print0 | sort -z | xargs -0 sha256sum); }
untouched() { # WHAT BEFORE
  snapshot >"$work.after"
  diff -q "$2" "$work.after" >/dev/null || fail "$1: files outside the output changed: $(diff "$2" "$work.after")"
  rm -f "$work.after"
}

# --- shard names of an index ---
"$assay" convert "$tiny" sharded --shard-size 500K --quiet || fail "sharded: exit status $?"
cp sharded/model-00001-of-*.safetensors ../outside.safetensors
for name in ../outside.safetensors "$work/outer/outside.safetensors" sub/../../../outside.safetensors ..; do
  rm -rf hostile && cp -r sharded hostile
  python3 - "$name" <<'PYTHON'
import json, sys
path = "hostile/model.safetensors.index.json"
index = json.load(open(path))
first = sorted(set(index["weight_map"].values()))[0]
index["weight_map"] = {k: sys.argv[1] if v == first else v for k, v in index["weight_map"].items()}
json.dump(index, open(path, "w"))
PYTHON
  snapshot >"$work.before"
  rm -rf out
  "$assay" convert hostile out --quiet 2>error.txt && fail "the shard $name was read"
  grep -q 'expected a file in the same folder' error.txt || fail "the shard $name: $(cat error.txt)"
  rm -f error.txt
  [ -e out ] && fail "the shard $name: an output stands"
  untouched "the shard $name" "$work.before"
done

# --- names in a vocabulary, a template and a folder's name are text ---
rm -rf hostile && cp -r "$tiny" hostile
python3 - <<'PYTHON'
import json
path = "hostile/tokenizer.json"
t = json.load(open(path))
used = max(max(t["model"]["vocab"].values()), max([a["id"] for a in t["added_tokens"]] or [0]))
for i, name in enumerate(["../../../evil", "/tmp/assay-evil", "model.safetensors", "..", "a/b"]):
    t["added_tokens"].append({"id": used + 1 + i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True})
config = json.load(open("hostile/config.json"))
config["vocab_size"] = max(config["vocab_size"], used + 6)
json.dump(t, open(path, "w"))
c = json.load(open("hostile/tokenizer_config.json"))
c["name_or_path"] = c["tokenizer_class_file"] = "../../evil.py"
json.dump(c, open("hostile/tokenizer_config.json", "w"))
PYTHON
snapshot >"$work.before"
for to in out out/model.gguf; do
  rm -rf out && [ "$to" = out ] || mkdir -p out
  "$assay" convert hostile "$to" --quiet 2>/dev/null
  untouched "a hostile vocabulary to $to" "$work.before"
done

# --- a GGUF file's own names ---
rm -rf out && "$assay" convert "$tiny" ../plain.gguf --quiet
cat >../add.py <<'PYTHON'
import struct, sys
# add.py TO [KEY=TEXT | KEY:NUMBER]...: plain.gguf with further pairs, and one more that keeps the data aligned
data = open("../plain.gguf", "rb").read()
def text(name, value):
    return struct.pack("<Q", len(name)) + name + struct.pack("<IQ", 8, len(value)) + value
def number(name, value):
    return struct.pack("<Q", len(name)) + name + struct.pack("<IH", 2, value)
extra = b""
for word in sys.argv[2:]:
    name, sign, value = word.partition("=") if "=" in word else word.partition(":")
    extra += text(name.encode(), value.encode()) if sign == "=" else number(name.encode(), int(value))
extra += text(b"x.pad", b"p" * (-(len(extra) + len(text(b"x.pad", b""))) % 32))
pairs, = struct.unpack_from("<Q", data, 16)
open(sys.argv[1], "wb").write(data[:16] + struct.pack("<Q", pairs + len(sys.argv) - 1) + extra + data[24:])
PYTHON
python3 ../add.py hostile.gguf general.source.url=file:///../../evil ../../evil=../../evil general.basename=../../evil
snapshot >"$work.before"
"$assay" convert hostile.gguf out --quiet || fail "a GGUF file with odd keys: exit status $?"
untouched "a hostile GGUF" "$work.before"
python3 ../add.py ..-00001-of-00003.gguf split.count:3 split.no:0
"$assay" convert ..-00001-of-00003.gguf out2 --quiet 2>error.txt && fail "a split model without its parts was read"
grep -q 'part 2 of 3' error.txt || fail "a split model without its parts: $(cat error.txt)"
[ -e out2 ] && fail "a split model without its parts: an output stands"
exit $((failures > 0))
