#!/usr/bin/env bash
# Completion and manual pages: what a shell would ask, answered by the tables; pages that roff has nothing to say
# against; all of it where `make install` puts it.
. "$(dirname "$0")/../begin.sh"
[ -x "$assay" ] || { echo "$assay is not built"; exit 1; }
mkdir "$work/bin" && ln -s "$assay" "$work/bin/assay"
export PATH="$work/bin:$PATH"
cd "$work" || exit 1
touch recipe.yaml problems.jsonl

# --- bash: the line as typed, broken at = and : as readline breaks it, and by words alone ---
# shellcheck disable=SC1090
source <(assay completion bash) || fail "the bash script is not bash"
complete -p assay 2>/dev/null | grep -q -- '-F _assay assay' || fail "assay is not completed by _assay"
typed() {
  COMP_LINE=$1
  COMP_POINT=${#1}
  local apart
  apart=$(sed -E 's/([=:])/ \1 /g' <<<"$1")
  read -ra COMP_WORDS <<<"$apart"
  [ "${1: -1}" = ' ' ] && COMP_WORDS+=('')
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _assay
}
# gives LINE WORD...: the words are among the answers. lacks LINE WORD: it is not.
gives() {
  typed "$1"
  shift
  local word
  for word; do
    printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -- "$word" || fail "\"$COMP_LINE\" lacks $word: ${COMPREPLY[*]}"
  done
}
lacks() {
  typed "$1"
  printf '%s\n' "${COMPREPLY[@]}" | grep -qxF -- "$2" && fail "\"$1\" gives $2"
}
gives 'assay ' train replay chat doctor completion help
gives 'assay tr' train
lacks 'assay tr' chat
gives 'assay help ch' chat
gives 'assay train --' --run --resume --plan --threads --help
gives 'assay train rec' recipe.yaml
gives 'assay train recipe.yaml ' rollout.group= train.lr= seed=
gives 'assay train recipe.yaml rollout.gr' rollout.group=
gives 'assay train recipe.yaml train.schedule=' constant linear cosine
gives 'assay train recipe.yaml train.schedule=li' linear
gives 'assay train --run somewhere recipe.yaml rollout.gr' rollout.group=
gives 'assay sft recipe.yaml train.b' train.batch=
lacks 'assay sft recipe.yaml rollout' rollout.group=
gives 'assay tasks ' addition multiplication
gives 'assay tasks addition fo' format=
gives 'assay tasks addition format=' plain question
gives 'assay verify ' number string task
gives 'assay methods gr' grpo
gives 'assay eval models/tiny --verifier ' number string
gives 'assay eval models/tiny --verifier=nu' number
gives 'assay eval models/tiny --data ' task:addition problems.jsonl
gives 'assay eval models/tiny --data task:add' addition
gives 'assay bench ' gemm grpo
gives 'assay completion ' bash zsh fish
gives 'assay man tok' tokenize
gives 'assay doctor --compute ' f32
typed 'assay doctor '
[ "${#COMPREPLY[@]}" = 0 ] || fail "doctor takes nothing: ${COMPREPLY[*]}"
typed 'assay nonsense x'
[ "${#COMPREPLY[@]}" = 0 ] || fail "an unknown command takes nothing: ${COMPREPLY[*]}"
unset COMP_LINE COMP_POINT
COMP_WORDS=(assay tasks add) COMP_CWORD=2 COMPREPLY=()
_assay
[[ " ${COMPREPLY[*]} " == *' addition '* ]] || fail "words alone: ${COMPREPLY[*]}"
for task in $(assay tasks --json | sed -n 's/^{"name": "\([a-z0-9_]*\)".*/\1/p'); do gives "assay tasks $task" "$task"; done

# --- the other shells, where they are ---
if command -v zsh >/dev/null; then
  assay completion zsh >_assay && zsh -n _assay || fail "the zsh script is not zsh"
fi
if command -v fish >/dev/null; then
  assay completion fish >assay.fish
  HOME=$work fish -c "source assay.fish; complete -C 'assay tasks addition fo'" >out 2>err || fail "fish: $(cat err)"
  grep -q '^format=' out || fail "fish completes nothing: $(cat out err)"
fi
for script in bash zsh fish; do [ "$(assay completion $script | wc -l)" -gt 10 ] || fail "completion $script"; done
assay completion tcsh 2>err
[ $? = 2 ] && grep -q 'expected bash, zsh or fish' err || fail "an unknown shell: $(cat err)"
sh -c 'assay completion words' || fail "a line without words"

# --- manual pages ---
assay man --folder man || fail "assay man --folder"
for command in $(assay | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  page=man/assay-$command.1
  [ -s "$page" ] || { fail "no page of $command"; continue; }
  assay man "$command" | cmp -s - "$page" || fail "assay man $command is another page"
  grep -qF "assay\\-$command (1)" man/assay.1 || fail "assay(1) does not name $command"
  for option in $(assay "$command" --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p'); do
    sed 's/\\-/-/g' "$page" | grep -qF -- "$option" || fail "the page of $command lacks $option"
  done
done
if command -v groff >/dev/null; then
  for page in man/*.1; do
    said=$(groff -man -ww -Tutf8 "$page" 2>&1 >out)
    [ -z "$said" ] || fail "$page: $said"
    [ "$(wc -l <out)" -gt 20 ] || fail "$page is empty"
  done
else
  echo "skipped: no groff to read the pages"
fi
[ "$failures" = 0 ] || exit 1
echo "completed as expected, $(find man -name '*.1' | wc -l) pages"
