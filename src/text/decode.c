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

void token_decoder_add(struct token_decoder *d, int32_t id, struct text *out)
{
  if (d->skip_special && tokenizer_is_special(d->t, id)) return;
  struct token_text token = tokenizer_text_of_id(d->t, id);
  /* Nearly every token is whole characters: those go out at once. */
  size_t whole = d->held_count ? 0 : utf8_valid_prefix(token.bytes, token.size);
  if (whole) text_add(out, token.bytes, whole);
  for (size_t i = whole; i < token.size; i++) add_byte(d, (uint8_t)token.bytes[i], out);
}

void token_decoder_flush(struct token_decoder *d, struct text *out)
{
  if (d->held_count) put_replacement(out);
  d->held_count = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t count, bool skip_special, struct text *out)
{
  struct token_decoder d;
  token_decoder_start(&d, t, skip_special);
  for (size_t i = 0; i < count; i++) token_decoder_add(&d, ids[i], out);
  token_decoder_flush(&d, out);
}
