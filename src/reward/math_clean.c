#include <string.h>
#include "core/cursor.h"
#include "core/json.h"
#include "reward/math_lex.h"
#include "text/unicode.h"

static const struct {
  uint32_t code;
  const char *ascii;
} signs[] = {
    {0xa0, " "},
    {0xa2, " cents "},
    {0xa3, "\\pounds "},
    {0xa5, "\\yen "},
    {0xac, "\\neg "},
    {0xb0, "^{\\circ}"},
    {0xb1, "\\pm "},
    {0xb5, "\\mu "},
    {0xb7, "\\cdot "},
    {0xbc, "\\frac{1}{4}"},
    {0xbd, "\\frac{1}{2}"},
    {0xbe, "\\frac{3}{4}"},
    {0xd7, "\\times "},
    {0xf7, "\\div "},
    {0x2009, " "},
    {0x200a, " "},
    {0x200b, ""},
    {0x2010, "-"},
    {0x2011, "-"},
    {0x2012, "-"},
    {0x2013, "-"},
    {0x2014, " - "},
    {0x2018, "'"},
    {0x2019, "'"},
    {0x201c, "\""},
    {0x201d, "\""},
    {0x2026, "\\ldots "},
    {0x202f, " "},
    {0x2032, "'"},
    {0x2033, "''"},
    {0x2044, "/"},
    {0x2061, ""},
    {0x2062, "\\cdot "},
    {0x20ac, "\\euro "},
    {0x20b9, "\\rupee "},
    {0x2102, "\\mathbb{C}"},
    {0x2115, "\\mathbb{N}"},
    {0x211a, "\\mathbb{Q}"},
    {0x211d, "\\mathbb{R}"},
    {0x2124, "\\mathbb{Z}"},
    {0x2126, "\\Omega "},
    {0x2148, "i"},
    {0x2150, "\\frac{1}{7}"},
    {0x2151, "\\frac{1}{9}"},
    {0x2152, "\\frac{1}{10}"},
    {0x2153, "\\frac{1}{3}"},
    {0x2154, "\\frac{2}{3}"},
    {0x2155, "\\frac{1}{5}"},
    {0x2156, "\\frac{2}{5}"},
    {0x2157, "\\frac{3}{5}"},
    {0x2158, "\\frac{4}{5}"},
    {0x2159, "\\frac{1}{6}"},
    {0x215a, "\\frac{5}{6}"},
    {0x215b, "\\frac{1}{8}"},
    {0x215c, "\\frac{3}{8}"},
    {0x215d, "\\frac{5}{8}"},
    {0x215e, "\\frac{7}{8}"},
    {0x2192, "\\to "},
    {0x21d2, "\\implies "},
    {0x21d4, "\\iff "},
    {0x2205, "\\emptyset "},
    {0x2208, "\\in "},
    {0x2209, "\\notin "},
    {0x2212, "-"},
    {0x2213, "\\mp "},
    {0x2215, "/"},
    {0x2216, "\\setminus "},
    {0x2217, "*"},
    {0x2218, "\\circ "},
    {0x2219, "\\cdot "},
    {0x221a, "\\surd "},
    {0x221b, "\\cuberoot "},
    {0x221c, "\\fourthroot "},
    {0x221e, "\\infty "},
    {0x2220, "\\angle "},
    {0x2223, "\\mid "},
    {0x2227, "\\land "},
    {0x2228, "\\lor "},
    {0x2229, "\\cap "},
    {0x222a, "\\cup "},
    {0x2234, " "},
    {0x2236, ":"},
    {0x2245, "\\cong "},
    {0x2248, "\\approx "},
    {0x2260, "\\neq "},
    {0x2261, "\\equiv "},
    {0x2264, "\\le "},
    {0x2265, "\\ge "},
    {0x2282, "\\subset "},
    {0x2286, "\\subseteq "},
    {0x22c5, "\\cdot "},
    {0x2308, "\\lceil "},
    {0x2309, "\\rceil "},
    {0x230a, "\\lfloor "},
    {0x230b, "\\rfloor "},
    {0x27e8, "\\langle "},
    {0x27e9, "\\rangle "},
    {0x2a7d, "\\le "},
    {0x2a7e, "\\ge "},
    {0x3001, ","},
    {0x3002, "."},
};

/* Greek letters, alpha to omega in the order of Unicode. */
static const char *const greek[] = {"alpha", "beta",   "gamma",   "delta", "epsilon", "zeta", "eta",  "theta", "iota",
                                    "kappa", "lambda", "mu",      "nu",    "xi",      "o",    "pi",   "rho",   "sigma",
                                    "sigma", "tau",    "upsilon", "phi",   "chi",     "psi",  "omega"};
static const char *const great[] = {NULL,    NULL,     "Gamma",   "Delta", NULL, NULL,  NULL,   "Theta", NULL,
                                    NULL,    "Lambda", NULL,      NULL,    "Xi", NULL,  "Pi",   NULL,    NULL,
                                    "Sigma", NULL,     "Upsilon", "Phi",   NULL, "Psi", "Omega"};

/* The character that a raised (^) or lowered (_) one stands for, or 0. */
static char script(uint32_t c, char *how)
{
  static const char high[] =
      "0\0\0\0"
      "456789+-=()n";
  *how = '^';
  if (c == 0xb9) return '1';
  if (c == 0xb2 || c == 0xb3) return (char)('2' + (c - 0xb2));
  if (c == 0x2071) return 'i';
  if (c == 0x2070 || (c >= 0x2074 && c <= 0x207f)) return high[c - 0x2070];
  if (c >= 0x2080 && c <= 0x208e) {
    *how = '_';
    return "0123456789+-=()"[c - 0x2080];
  }
  return 0;
}

static void put_letter(struct text *t, const char *name)
{
  text_printf(t, "\\%s ", name);
}

/* A sign of no script. False: not one that is known. */
static bool put_sign(struct text *t, uint32_t c)
{
  size_t low = 0, high = sizeof signs / sizeof *signs;
  if (c >= 0xff01 && c <= 0xff5e) {
    text_printf(t, "%c", (int)(c - 0xfee0));
    return true;
  }
  if (c >= 0x3b1 && c <= 0x3c9) {
    put_letter(t, greek[c - 0x3b1]);
    return true;
  }
  if (c >= 0x391 && c <= 0x3a9 && great[c - 0x391]) {
    put_letter(t, great[c - 0x391]);
    return true;
  }
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (signs[mid].code == c) {
      text_puts(t, signs[mid].ascii);
      return true;
    }
    if (signs[mid].code < c)
      low = mid + 1;
    else
      high = mid;
  }
  return false;
}

static void clean(struct text *t, const char *s, size_t n)
{
  char open = 0;
  for (size_t i = 0, step; i < n; i += step) {
    uint32_t c = unicode_at(s, n, i, &step);
    char how, plain = c < 0x80 ? 0 : script(c, &how);
    if (open && (!plain || how != open)) {
      text_puts(t, "}");
      open = 0;
    }
    if (plain) {
      if (!open) text_printf(t, "%c{", open = how);
      text_add(t, &plain, 1);
    } else if (c < 0x80 || !put_sign(t, c)) {
      text_add(t, s + i, step);
    }
  }
  if (open) text_puts(t, "}");
}

int math_clean(struct math *m, const char **s, size_t *n)
{
  size_t i = 0;
  while (i < *n && (unsigned char)(*s)[i] < 0x80) i++;
  if (i == *n) return 0;
  struct text t = {0};
  clean(&t, *s, *n);
  int rc = text_finish(&t, m->err);
  if (!rc && !(*s = arena_strndup(m->arena, t.bytes ? t.bytes : "", t.size, "math", m->err))) rc = m->err->code;
  *n = t.size;
  text_free(&t);
  if (rc) m->rc = rc;
  return rc;
}
