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

static unsigned combining_class(utf8proc_int32_t c)
{
  return (unsigned)utf8proc_get_property(c)->combining_class & 255;
}

/* Canonical order of one run of combining marks: by class, stable, in linear time (a megabyte of marks is a legal
 * text). */
static void order_marks(utf8proc_int32_t *marks, size_t n, utf8proc_int32_t *spare)
{
  size_t starts[257] = {0};
  for (size_t i = 0; i < n; i++) starts[combining_class(marks[i]) + 1]++;
  for (size_t k = 0; k < 256; k++) starts[k + 1] += starts[k];
  for (size_t i = 0; i < n; i++) spare[starts[combining_class(marks[i])]++] = marks[i];
  memcpy(marks, spare, n * sizeof *marks);
}

static void order_all(utf8proc_int32_t *codes, size_t n, utf8proc_int32_t *spare)
{
  for (size_t i = 0; i < n;) {
    size_t end = i;
    bool sorted = true;
    while (end < n && combining_class(codes[end])) {
      if (end > i && combining_class(codes[end - 1]) > combining_class(codes[end])) sorted = false;
      end++;
    }
    if (!sorted) order_marks(codes + i, end - i, spare);
    i = end + 1;
  }
}

enum { MOST_CODES = 18 /* that one character decomposes into */ };

/* Decomposed code points of n bytes into codes, which has room for `room`; their number, negative on failure. */
static utf8proc_ssize_t decompose(const char *s, size_t n, utf8proc_option_t option, utf8proc_int32_t *codes,
                                  size_t room)
{
  size_t count = 0;
  for (size_t i = 0, step; i < n; i += step) {
    int state = UTF8PROC_BOUNDCLASS_START;
    utf8proc_int32_t c = (utf8proc_int32_t)unicode_at(s, n, i, &step);
    utf8proc_ssize_t more = utf8proc_decompose_char(c, codes + count, (utf8proc_ssize_t)(room - count), option, &state);
    if (more < 0 || (size_t)more > room - count) return more < 0 ? more : UTF8PROC_ERROR_OVERFLOW;
    count += (size_t)more;
  }
  return (utf8proc_ssize_t)count;
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
  /* Canonically a character of k bytes has at most 2 k parts; by compatibility one of 3 bytes has 18. */
  size_t room = n * (options[form] & UTF8PROC_COMPAT ? 6 : 2) + MOST_CODES;
  utf8proc_int32_t *codes = memory_alloc(room, 2 * sizeof *codes, "tokenizer scratch", err);
  if (!codes) return ERROR_RESOURCE;
  utf8proc_ssize_t count = decompose(s, n, option, codes, room);
  if (count > 0) order_all(codes, (size_t)count, codes + room);
  if (count > 0) count = utf8proc_normalize_utf32(codes, count, option);
  for (utf8proc_ssize_t i = 0; i < count; i++) {
    uint8_t utf8[4];
    text_add(out, utf8, utf8_encode((uint32_t)codes[i], utf8));
  }
  memory_free(codes);
  if (count < 0) FAIL(err, ERROR_INPUT, "a text cannot be normalised: %s", utf8proc_errmsg(count));
  return 0;
}
