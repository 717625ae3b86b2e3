# label: long. models/tiny is what its recipe makes, to the last bit, whatever the instruction set and the threads.
set -euo pipefail
want=$(cat "$ASSAY_SOURCE_DIR/models/tiny/weights.sha256")
[ "$("$ASSAY_BINARY" convert --hash "$ASSAY_SOURCE_DIR/models/tiny" | awk '$1 == "weights" { print $2 }')" = "$want" ]
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$ASSAY_SOURCE_DIR"
"$ASSAY_BINARY" sft models/tiny/sft.yaml --run "$folder/tiny" --quiet
grep -q "weights $want" "$folder/tiny/log.txt"
