#include "cli/complete.h"

#include <string.h>

/* The scripts hand the line to `assay completion words` and show what it says, so they never fall behind the program.
 */
static const char BASH[] =
    "# bash completion for assay: source <(assay completion bash)\n"
    "_assay() {\n"
    "  local IFS=$' \\t\\n' line word current prefix\n"
    "  local -a words\n"
    "  if [ -n \"${COMP_LINE-}\" ]; then\n"
    "    line=${COMP_LINE:0:COMP_POINT}\n"
    "    read -ra words <<<\"$line\"\n"
    "    [ \"${line: -1}\" = ' ' ] && words+=('')\n"
    "  else\n"
    "    words=(\"${COMP_WORDS[@]:0:COMP_CWORD+1}\")\n"
    "  fi\n"
    "  current=${words[${#words[@]}-1]}\n"
    "  prefix=\n"
    "  [ \"$COMP_CWORD\" -gt 0 ] && [ \"${COMP_WORDS[COMP_CWORD]}\" != \"$current\" ] && "
    "prefix=${current%\"${current##*[:=]}\"}\n"
    "  COMPREPLY=()\n"
    "  while IFS= read -r line; do\n"
    "    word=${line%%$'\\t'*}\n"
    "    case $word in\n"
    "      :files)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -f -- \"${current#\"$prefix\"}\")\n"
    "        ;;\n"
    "      :open) compopt -o nospace 2>/dev/null ;;\n"
    "      *) COMPREPLY+=(\"${word#\"$prefix\"}\") ;;\n"
    "    esac\n"
    "  done < <(\"${words[0]/#\\~/$HOME}\" completion words -- \"${words[@]}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _assay assay\n";

static const char ZSH[] =
    "#compdef assay\n"
    "# zsh completion for assay: source <(assay completion zsh), or this file as _assay in a folder of $fpath\n"
    "_assay() {\n"
    "  local line files=0\n"
    "  local -a closed open\n"
    "  for line in \"${(@f)$(${~words[1]} completion words -- \"${(@)words[1,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "    case $line in\n"
    "      :files) files=1 ;;\n"
    "      :open|'') ;;\n"
    "      *=$'\\t'*) open+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "      *) closed+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "    esac\n"
    "  done\n"
    "  (( $#closed )) && _describe -t words assay closed\n"
    "  (( $#open )) && _describe -t keys key open -S ''\n"
    "  (( files )) && _files\n"
    "}\n"
    "if [ \"$funcstack[1]\" = _assay ]; then _assay \"$@\"; else compdef _assay assay; fi\n";

static const char FISH[] =
    "# fish completion for assay: assay completion fish | source\n"
    "function __assay_complete\n"
    "  set -l words (commandline -opc)\n"
    "  set -l current (commandline -ct)\n"
    "  for line in (command $words[1] completion words -- $words \"$current\" 2>/dev/null)\n"
    "    switch $line\n"
    "      case ':files'\n"
    "        __fish_complete_path \"$current\"\n"
    "      case ':open'\n"
    "      case '*'\n"
    "        echo $line\n"
    "    end\n"
    "  end\n"
    "end\n"
    "complete -c assay -f -a '(__assay_complete)'\n";

static int run(struct cli *c, struct error *err)
{
  static const struct {
    const char *name, *script;
  } shells[] = {{"bash", BASH}, {"zsh", ZSH}, {"fish", FISH}};
  const char *shell = c->arguments[0];
  struct text t = {0};
  if (!strcmp(shell, "words")) {
    complete_words(c->arguments + 1, c->argument_count - 1, &t);
  } else {
    if (c->argument_count > 1)
      FAIL(err, ERROR_INPUT, "found %d arguments; expected one: bash, zsh or fish", c->argument_count);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++)
      if (!strcmp(shell, shells[i].name)) text_puts(&t, shells[i].script);
    if (!t.size) FAIL_AT(err, ERROR_INPUT, NULL, 0, shell, "found shell \"%s\"; expected bash, zsh or fish", shell);
  }
  int rc = t.size ? print_text(c, &t, err) : text_finish(&t, err);
  text_free(&t);
  return rc;
}

const struct command command_completion = {
    .name = "completion",
    .help = "The script that makes a shell complete assay's command lines",
    .arguments = "bash|zsh|fish",
    .about =
        "Commands, options, tasks, verifiers, methods, keys of recipes and tasks, and their values. For the shell that "
        "runs: source <(assay completion bash);\n"
        "for every one to come put that line into ~/.bashrc (zsh: ~/.zshrc, behind compinit; fish: assay completion "
        "fish > ~/.config/fish/completions/assay.fish).\n"
        "make install puts all three where the shells look. The scripts ask `assay completion words -- WORD...`, which "
        "answers for a line whose last word is being written.",
    .example = "assay completion bash",
    .least = 1,
    .most = -1,
    .run = run};
