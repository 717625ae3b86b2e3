#include "core/cursor.h"

#include <string.h>

struct cursor cursor_over(const void *bytes, size_t size, const char *file)
{
  static const uint8_t nothing[1] = {0};
  const uint8_t *start = size > 0 ? bytes : nothing;
  return (struct cursor){.start = start, .at = start, .end = start + size, .file = file};
}

size_t cursor_left(const struct cursor *c)
{
  return (size_t)(c->end - c->at);
}

size_t cursor_offset(const struct cursor *c)
{
  return (size_t)(c->at - c->start);
}

int cursor_bytes(struct cursor *c, uint64_t n, const uint8_t **out, const char *what, struct error *err)
{
  if (n > cursor_left(c)) {
    FAIL_AT(err, ERROR_INPUT, c->file, 0, NULL,
            "at byte %zu: %s needs %llu bytes, found %zu before the end; expected a whole file; get the file again",
            cursor_offset(c), what, (unsigned long long)n, cursor_left(c));
  }
  *out = c->at;
  c->at += n;
  return 0;
}

int cursor_skip(struct cursor *c, uint64_t n, const char *what, struct error *err)
{
  const uint8_t *ignored;
  return cursor_bytes(c, n, &ignored, what, err);
}

static int read_number(struct cursor *c, unsigned bytes, uint64_t *out, const char *what, struct error *err)
{
  const uint8_t *s;
  TRY(cursor_bytes(c, bytes, &s, what, err));
  uint64_t value = 0;
  for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)s[i] << 8 * (c->big_endian ? bytes - 1 - i : i);
  *out = value;
  return 0;
}

int cursor_u8(struct cursor *c, uint8_t *out, const char *what, struct error *err)
{
  uint64_t value;
  TRY(read_number(c, 1, &value, what, err));
  *out = (uint8_t)value;
  return 0;
}

int cursor_u16(struct cursor *c, uint16_t *out, const char *what, struct error *err)
{
  uint64_t value;
  TRY(read_number(c, 2, &value, what, err));
  *out = (uint16_t)value;
  return 0;
}

int cursor_u32(struct cursor *c, uint32_t *out, const char *what, struct error *err)
{
  uint64_t value;
  TRY(read_number(c, 4, &value, what, err));
  *out = (uint32_t)value;
  return 0;
}

int cursor_u64(struct cursor *c, uint64_t *out, const char *what, struct error *err)
{
  return read_number(c, 8, out, what, err);
}

bool size_mul(uint64_t a, uint64_t b, uint64_t *out)
{
  return !__builtin_mul_overflow(a, b, out);
}

bool size_add(uint64_t a, uint64_t b, uint64_t *out)
{
  return !__builtin_add_overflow(a, b, out);
}

/* Table 3-7 of the Unicode Standard: the first byte tells the length and the range of the second. */
struct utf8_lead {
  uint8_t first, length, low, high;
};

static const struct utf8_lead utf8_leads[] = {
    {0xf5, 0, 0, 0},       {0xf4, 4, 0x80, 0x8f}, {0xf1, 4, 0x80, 0xbf}, {0xf0, 4, 0x90, 0xbf}, {0xee, 3, 0x80, 0xbf},
    {0xed, 3, 0x80, 0x9f}, {0xe1, 3, 0x80, 0xbf}, {0xe0, 3, 0xa0, 0xbf}, {0xc2, 2, 0x80, 0xbf}, {0x80, 0, 0, 0}};

size_t utf8_decode(const uint8_t *s, size_t n, uint32_t *code)
{
  if (n == 0) return 0;
  if (s[0] < 0x80) {
    *code = s[0];
    return 1;
  }
  const struct utf8_lead *lead = utf8_leads;
  while (s[0] < lead->first) lead++;
  if (lead->length == 0 || n < lead->length || s[1] < lead->low || s[1] > lead->high) return 0;
  uint32_t value = s[0] & (0x7fu >> lead->length);
  for (size_t i = 1; i < lead->length; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    value = value << 6 | (s[i] & 0x3fu);
  }
  *code = value;
  return lead->length;
}

size_t utf8_valid_prefix(const void *bytes, size_t size)
{
  const uint8_t *s = bytes;
  size_t at = 0;
  while (at < size) {
    uint32_t code;
    size_t n = s[at] < 0x80 ? 1 : utf8_decode(s + at, size - at, &code);
    if (n == 0) break;
    at += n;
  }
  return at;
}

size_t utf8_encode(uint32_t code, uint8_t out[4])
{
  if (code < 0x80) {
    out[0] = (uint8_t)code;
    return 1;
  }
  size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (uint8_t)(0x80 | (code & 0x3f));
  out[0] = (uint8_t)(lead[length] | code);
  return length;
}
