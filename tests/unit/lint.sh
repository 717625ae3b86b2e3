#!/usr/bin/env bash
# The lint finds each kind of fault in a small tree made for it, and nothing in a clean one.
set -euo pipefail
root=${ASSAY_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
for tool in git pmccabe clang-format-14; do
  command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree"/tools "$tree"/src/{core,model,train,method}
cp "$root"/tools/{lint.sh,lint_strip.awk,layers.txt} "$tree/tools/"
cp "$root/.clang-format" "$tree/"
cd "$tree"
git init -q .

# Words in comments and strings are no calls; snprintf is no sprintf.
cat >src/core/good.c <<'C'
#include "core/good.h"

/* strcpy(a, b), malloc(3) and exp(x) */
const char *core_text(void)
{
  return "printf(\"%s\") system(";
}
C
printf '#ifndef ASSAY_CORE_GOOD_H\n#define ASSAY_CORE_GOOD_H\n\nconst char *core_text(void);\n\n#endif\n' >src/core/good.h
tools/lint.sh >out.txt || { echo "a clean tree was refused:"; cat out.txt; exit 1; }

# Each file has one fault; each line below is a file and what must be said of it.
body() { printf '%s\nvoid f(void);\nvoid f(void)\n{\n%s\n}\n' "$1" "$2"; }
body '' '  char a[4];
  strcpy(a, "x");' >src/model/a.c
body '#include <stdlib.h>' '  void *p = malloc(3);
  (void)p;' >src/model/b.c
body '' '  double x = __builtin_exp(1.0);
  (void)x;' >src/model/c.c
body '#include <math.h>' '  ;' >src/model/d.c
body '#include <stdio.h>' '  printf("x");' >src/train/e.c
body '#include "train/x.h"' '  ;' >src/model/f.c
body "/* TO""DO: more */" '  ;' >src/train/g.c
body "/* see /ho""me/me/x */" '  ;' >src/train/h.c
body '' "$(for i in {1..70}; do echo '  f();'; done)" >src/train/i.c
body 'int g(int);' "$(for i in {1..16}; do echo "  if (g($i)) g(0);"; done)" >src/train/j.c
body '' '    ;' >src/train/k.c
{ for i in {1..801}; do echo; done; } >src/train/l.c
printf '#ifndef ASSAY_TRAIN_X_H\n#define ASSAY_TRAIN_X_H\n\nsize_t x(void);\n\n#endif\n' >src/train/x.h
printf '#ifndef X_H\n#define X_H\n#endif\n' >src/train/y.h
body '' '  ;' >src/method/lonely.c
if tools/lint.sh >out.txt; then echo "a faulty tree was accepted"; exit 1; fi

while read -r file words; do
  grep -qE "^$file:[0-9]+: .*$words" out.txt || { echo "lint is silent: $file: $words"; cat out.txt; exit 1; }
done <<'WANT'
src/model/a.c banned function
src/model/b.c memory comes from core/arena.h
src/model/c.c libm rounds differently
src/model/d.c use core/math.h
src/train/e.c only cli/ ends the program or prints
src/model/f.c model may not include train
src/train/g.c finish it
src/train/h.c path of a machine
src/train/i.c has 7[0-9] lines; at most 60
src/train/j.c complexity 17; at most 15
src/train/k.c not formatted
src/train/l.c over 800 lines
src/train/x.h does not compile on its own
src/train/y.h the guard is not ASSAY_TRAIN_Y_H
src/method/lonely.c no file in recipes/ uses lonely
src/method/lonely.c no test names lonely
WANT
! grep -q '^src/core/' out.txt || { echo "a sound file was accused"; cat out.txt; exit 1; }
! tools/lint.sh src/train >part.txt
! grep -q '^src/model/' part.txt || { echo "a path was given, yet another was checked"; exit 1; }
echo "lint finds what it must"
