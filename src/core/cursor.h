/* core/cursor: a bounded reader over bytes. Every binary format goes through it: no length is believed before it has
 * been compared with what is left. Errors name the file and the byte offset ("at byte 8: ..."). */
#ifndef ASSAY_CORE_CURSOR_H
#define ASSAY_CORE_CURSOR_H

#include <stdint.h>
#include "core/error.h"

struct cursor {
  const uint8_t *start, *at, *end;
  const char *file; /* for messages */
  bool big_endian;
};

struct cursor cursor_over(const void *bytes, size_t size, const char *file);
size_t cursor_left(const struct cursor *c);
size_t cursor_offset(const struct cursor *c);
int cursor_bytes(struct cursor *c, uint64_t n, const uint8_t **out, const char *what, struct error *err) MUST_USE;
int cursor_u8(struct cursor *c, uint8_t *out, const char *what, struct error *err) MUST_USE;
int cursor_u16(struct cursor *c, uint16_t *out, const char *what, struct error *err) MUST_USE;
int cursor_u32(struct cursor *c, uint32_t *out, const char *what, struct error *err) MUST_USE;
int cursor_u64(struct cursor *c, uint64_t *out, const char *what, struct error *err) MUST_USE;
int cursor_skip(struct cursor *c, uint64_t n, const char *what, struct error *err) MUST_USE;
/* Overflow-checked size arithmetic: false where the result does not fit. */
bool size_mul(uint64_t a, uint64_t b, uint64_t *out);
bool size_add(uint64_t a, uint64_t b, uint64_t *out);
/* Strict UTF-8 (no surrogates, no overlong forms). Returns the length of the valid prefix. */
size_t utf8_valid_prefix(const void *bytes, size_t size);
/* Decodes one code point at s (n bytes left); returns its length, or 0 if it is not UTF-8. */
size_t utf8_decode(const uint8_t *s, size_t n, uint32_t *code);
size_t utf8_encode(uint32_t code, uint8_t out[4]);

#endif
