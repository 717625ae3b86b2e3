/* links: text
 * Bytes as a tokenizer.json: refused in a sentence, or a tokenizer that encodes and decodes, the same way twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const char text[] =
    "Hello  world 1234 it's caf\xc3\xa9 \xe6\xbc\xa2 e\xcc\x81 <s> <|im_end|>\r\n\t "
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \xff\xc0 zebra";

static void must(bool holds)
{
  if (!holds) abort();
}

static void run(const struct tokenizer *t)
{
  for (int flags = 0; flags < 4; flags++) {
    struct error err = {0};
    struct token_list once = {0}, twice = {0};
    struct text out = {0};
    int rc = tokenizer_encode(t, text, sizeof text - 1, flags, &once, &err);
    must(rc == tokenizer_encode(t, text, sizeof text - 1, flags, &twice, &err));
    must(once.count == twice.count && (!once.count || !memcmp(once.ids, twice.ids, once.count * sizeof *once.ids)));
    for (size_t i = 0; i < once.count; i++) must(once.ids[i] >= 0 && (size_t)once.ids[i] < tokenizer_vocab_size(t));
    tokenizer_decode(t, once.ids, once.count, flags & 1, &out);
    token_list_free(&once);
    token_list_free(&twice);
    text_free(&out);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  struct error err = {0};
  struct arena *a = arena_create("fuzz", 0, &err);
  if (!a) return 0;
  struct tokenizer *t;
  int rc = tokenizer_from_json(a, (const char *)bytes, size, "tokenizer.json", &t, &err);
  if (!rc)
    run(t);
  else
    must(err.code == rc && err.message[0]);
  arena_destroy(a);
  return 0;
}
