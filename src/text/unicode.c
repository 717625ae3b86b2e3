#include "text/unicode.h"

#include "core/arena.h"
#include "core/cursor.h"

#include <string.h>
#include <utf8proc.h>

bool unicode_is_space(uint32_t c)
{
  return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool unicode_is_alpha(uint32_t c)
{
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

bool unicode_is_digit(uint32_t c)
{
  return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

bool unicode_is_word(uint32_t c)
{
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  if (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) return true; /* L*, M*, Nd, Nl */
  if (k == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d) return true;
  /* Letters in circles and squares: symbols by category, alphabetic by property. */
  return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
         (c >= 0x1f170 && c <= 0x1f189);
}

bool unicode_prints(uint32_t c)
{
  if (c == ' ') return true;
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k != UTF8PROC_CATEGORY_CN && k < UTF8PROC_CATEGORY_ZS;
}

uint32_t unicode_at(const char *s, size_t n, size_t i, size_t *step)
{
  uint32_t c;
  *step = utf8_decode((const uint8_t *)s + i, n - i, &c);
  if (*step) return c;
  *step = 1;
  return 0xfffd;
}

uint32_t unicode_before(const char *s, size_t i, size_t *step)
{
  size_t back = 1;
  while (back < 4 && back < i && ((uint8_t)s[i - back] & 0xc0) == 0x80) back++;
  uint32_t c;
  if (utf8_decode((const uint8_t *)s + i - back, back, &c) != back) {
    *step = 1;
    return 0xfffd;
  }
  *step = back;
  return c;
}

void unicode_put_valid(struct text *out, const char *s, size_t n)
{
  while (n) {
    size_t good = utf8_valid_prefix(s, n);
    text_add(out, s, good);
    if (good == n) return;
    text_puts(out, "\xef\xbf\xbd");
    s += good + 1;
    n -= good + 1;
  }
}

static bool is_ascii(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if ((uint8_t)s[i] >= 0x80) return false;
  return true;
}

int unicode_normalize(enum unicode_form form, const char *s, size_t n, struct text *out, struct error *err)
{
  if (is_ascii(s, n)) {
    text_add(out, s, n);
    return 0;
  }
  static const unsigned options[] = {UTF8PROC_COMPOSE, UTF8PROC_DECOMPOSE, UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
                                     UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
  utf8proc_option_t option = (utf8proc_option_t)(options[form] | UTF8PROC_STABLE);
  utf8proc_ssize_t need = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, NULL, 0, option);
  if (need < 0) FAIL(err, ERROR_INPUT, "a text cannot be normalised: %s", utf8proc_errmsg(need));
  /* One more: utf8proc puts a NUL behind the bytes, which take the place of the code points. */
  utf8proc_int32_t *codes = memory_alloc((size_t)need + 1, sizeof *codes, "tokenizer scratch", err);
  if (!codes) return ERROR_RESOURCE;
  need = utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, codes, need, option);
  if (need >= 0) need = utf8proc_reencode(codes, need, option);
  if (need >= 0) text_add(out, codes, (size_t)need);
  memory_free(codes);
  if (need < 0) FAIL(err, ERROR_INPUT, "a text cannot be normalised: %s", utf8proc_errmsg(need));
  return 0;
}
