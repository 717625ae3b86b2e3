/* Ids to text. A token is bytes, and a character may be spread over several tokens: bytes wait until it is complete. */
#include "text/tokenizer_state.h"

#include "core/cursor.h"

#include <string.h>

static void put_replacement(struct text *out)
{
  text_add(out, "\xef\xbf\xbd", 3);
}

/* May `byte` follow the bytes held? The first continuation byte has a narrower range behind some leads (Unicode,
 * table 3-7). */
static bool continues(const struct token_decoder *d, uint8_t byte)
{
  uint8_t lead = d->held[0], low = 0x80, high = 0xbf;
  if (d->held_count == 1) {
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  return byte >= low && byte <= high;
}

static void add_byte(struct token_decoder *d, uint8_t byte, struct text *out)
{
  if (d->held_count && !continues(d, byte)) token_decoder_flush(d, out);
  if (!d->held_count && byte < 0x80) {
    text_add(out, &byte, 1);
    return;
  }
  if (!d->held_count && (byte < 0xc2 || byte > 0xf4)) {
    put_replacement(out);
    return;
  }
  d->held[d->held_count++] = byte;
  unsigned length = d->held[0] < 0xe0 ? 2 : d->held[0] < 0xf0 ? 3 : 4;
  if (d->held_count == length) {
    text_add(out, d->held, length);
    d->held_count = 0;
  }
}

void token_decoder_start(struct token_decoder *d, const struct tokenizer *t, bool skip_special)
{
  *d = (struct token_decoder){.t = t, .skip_special = skip_special};
}

/* ---- vocabularies of text ------------------------------------------------------------------------------------ */

/* The byte that a token such as <0x0A> stands for, or -1. */
static int byte_of_token(struct token_text token)
{
  int byte = 0;
  if (token.size != 6 || memcmp(token.bytes, "<0x", 3) != 0 || token.bytes[5] != '>') return -1;
  for (int i = 3; i < 5; i++) {
    char c = token.bytes[i];
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

/* One space less at the start of the whole text. */
static void put_plain(struct token_decoder *d, const char *bytes, size_t n, struct text *out)
{
  size_t from = n && !d->begun && d->t->decode_strip && *bytes == ' ';
  if (n) d->begun = true;
  text_add(out, bytes + from, n - from);
}

/* A run of byte tokens has ended: text if it is UTF-8, else U+FFFD for each byte, as the `tokenizers` package does. */
static void end_run(struct token_decoder *d, struct text *out)
{
  bool valid = utf8_valid_prefix((const char *)d->held, d->held_count) == d->held_count;
  if (valid) put_plain(d, (const char *)d->held, d->held_count, out);
  for (unsigned i = 0; i < d->held_count && !valid; i++) put_plain(d, "\xef\xbf\xbd", 3, out);
  d->held_count = 0;
}

/* A run that fills the room gives what is whole. */
static void add_to_run(struct token_decoder *d, uint8_t byte, struct text *out)
{
  if (d->held_count == sizeof d->held) {
    unsigned whole = (unsigned)utf8_valid_prefix((const char *)d->held, d->held_count), count = d->held_count;
    if (!whole) whole = 1;
    d->held_count = whole;
    uint8_t rest[sizeof d->held];
    memcpy(rest, d->held + whole, count - whole);
    end_run(d, out);
    memcpy(d->held, rest, count - whole);
    d->held_count = count - whole;
  }
  d->held[d->held_count++] = byte;
}

/* Text with a space for each U+2581; the first token of Metaspace loses them. */
static void add_plain(struct token_decoder *d, struct token_text token, struct text *out)
{
  bool first = !d->begun && d->t->decode == DECODE_METASPACE;
  int byte = d->t->decode == DECODE_SPACES ? byte_of_token(token) : -1;
  if (byte >= 0) {
    add_to_run(d, (uint8_t)byte, out);
    return;
  }
  if (d->held_count) end_run(d, out);
  for (size_t from = 0, at = 0; at <= token.size; at++) {
    bool sign = at + 3 <= token.size && !memcmp(token.bytes + at, "\xe2\x96\x81", 3);
    if (!sign && at < token.size) continue;
    put_plain(d, token.bytes + from, at - from, out);
    if (sign && !first) put_plain(d, " ", 1, out);
    from = at + 3;
    at += 2;
  }
  d->begun = true;
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

/* An added token that is looked for in the normalised text prints as that. */
static struct token_text shown(const struct tokenizer *t, int32_t id)
{
  struct token_text token = tokenizer_text_of_id(t, id);
  for (size_t i = 0; token.size && t->bpe.tokens[id].added && i < t->added_count; i++)
    if (t->added[i].id == id && t->added[i].normalized) return (struct token_text){t->added[i].text, t->added[i].size};
  return token;
}

void token_decoder_add(struct token_decoder *d, int32_t id, struct text *out)
{
  if (d->skip_special && tokenizer_is_special(d->t, id)) return;
  struct token_text token = tokenizer_text_of_id(d->t, id);
  if (d->t->decode != DECODE_BYTES) {
    token = shown(d->t, id);
    if (token.size) add_plain(d, token, out);
    return;
  }
  /* Nearly every token is whole characters: those go out at once. */
  size_t whole = d->held_count ? 0 : utf8_valid_prefix(token.bytes, token.size);
  if (whole) text_add(out, token.bytes, whole);
  for (size_t i = whole; i < token.size; i++) add_byte(d, (uint8_t)token.bytes[i], out);
}

void token_decoder_flush(struct token_decoder *d, struct text *out)
{
  if (d->t->decode != DECODE_BYTES)
    end_run(d, out);
  else if (d->held_count)
    put_replacement(out);
  d->held_count = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip_special, struct text *out)
{
  struct token_decoder d;
  token_decoder_start(&d, t, skip_special);
  for (size_t i = 0; i < count; i++) token_decoder_add(&d, ids[i], out);
  token_decoder_flush(&d, out);
}
