# Prints C source with comments, strings and characters blanked out; lines keep their numbers.
{
  out = ""
  n = length($0)
  for (i = 1; i <= n; i++) {
    c = substr($0, i, 1)
    two = substr($0, i, 2)
    if (inside) {
      if (two == "*/") { inside = 0; i++ }
      continue
    }
    if (two == "/*") { inside = 1; i++; continue }
    if (two == "//") break
    if (c == "\"" || c == "'") {
      quote = c
      for (i++; i <= n && substr($0, i, 1) != quote; i++) if (substr($0, i, 1) == "\\") i++
      out = out quote quote
      continue
    }
    out = out c
  }
  printf "%s:%d:%s\n", FILENAME, FNR, out
}
