/* links: text
 * fixtures/tokenizers: ids, cuts and decoding of the tokenizers package, for every family; of the byte-level ones the
 * same through GGUF's parts and through the files that are written. With ASSAY_SMOLLM2 (the GGUF of
 * tools/get-smollm2.sh) the real tokenizer too. */
#include <stdlib.h>

#include "check.h"
#include "core/cursor.h"
#include "core/file.h"
#include "text/tokenizer.h"

static const char *const families[] = {"gpt2",   "gpt2-prefix-space", "smollm",     "llama3", "qwen2",
                                       "tekken", "deepseek",          "added-flags"};
enum { FAMILIES = sizeof families / sizeof *families };

/* Vocabularies of text: BPE with byte fallback, Unigram. */
static const char *const plain_families[] = {"llama2", "llama2-metaspace", "gemma", "unigram"};
enum { PLAIN_FAMILIES = sizeof plain_families / sizeof *plain_families };

static struct arena *arena;

static const char *fixture(const char *name)
{
  struct error err = {0};
  const char *folder = getenv("ASSAY_FIXTURES");
  const char *all = path_join(arena, folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures", "tokenizers", &err);
  return path_join(arena, all, name, &err);
}

static int setup(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static const json_t *member(const json_t *o, const char *key, const json_t *fallback)
{
  const json_t *v = json_object_get(o, key);
  return v ? v : fallback;
}

static void check_ids(const struct token_list *got, const json_t *want, const char *text)
{
  bool same = got->count == json_array_size(want);
  for (size_t i = 0; same && i < got->count; i++) same = got->ids[i] == json_integer_value(json_array_get(want, i));
  if (same) return;
  printf("text: %s\ngot: ", text);
  for (size_t i = 0; i < got->count && i < 60; i++) printf(" %d", got->ids[i]);
  printf("\nwant:");
  for (size_t i = 0; i < json_array_size(want) && i < 60; i++)
    printf(" %lld", json_integer_value(json_array_get(want, i)));
  printf("\n");
  CHECK(same);
}

static void check_encoding(const struct tokenizer *t, const json_t *text, int flags, const json_t *want)
{
  struct error err = {0};
  struct token_list ids = {0};
  CHECK_OK(tokenizer_encode(t, json_string_value(text), json_string_length(text), flags, &ids, &err), &err);
  check_ids(&ids, want, json_string_value(text));
  token_list_free(&ids);
}

/* The whole and the stream give the same text, and no piece of the stream ends inside a character. */
static void check_decoding(const struct tokenizer *t, const json_t *ids, bool skip, const json_t *want)
{
  struct text whole = {0}, stream = {0};
  struct token_list list = {0};
  struct token_decoder decoder;
  struct error err = {0};
  token_decoder_start(&decoder, t, skip);
  for (size_t i = 0; i < json_array_size(ids); i++) {
    int32_t id = (int32_t)json_integer_value(json_array_get(ids, i));
    CHECK_OK(token_list_push(&list, id, &err), &err);
    token_decoder_add(&decoder, id, &stream);
    CHECK_INT(utf8_valid_prefix(stream.bytes, stream.size), stream.size);
  }
  token_decoder_flush(&decoder, &stream);
  tokenizer_decode(t, list.ids, list.count, skip, &whole);
  CHECK_INT(whole.size, json_string_length(want));
  CHECK_INT(stream.size, whole.size);
  if (whole.size) CHECK_BITS(whole.bytes, json_string_value(want), whole.size);
  if (whole.size) CHECK_BITS(stream.bytes, whole.bytes, whole.size);
  text_free(&whole);
  text_free(&stream);
  token_list_free(&list);
}

static void check_case(const struct tokenizer *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text"), *ids = json_object_get(o, "ids");
  const json_t *special = member(o, "ids_special", ids), *decode = member(o, "decode", text);
  check_encoding(t, text, TOKENIZER_SPECIAL, ids);
  check_encoding(t, text, TOKENIZER_SPECIAL | TOKENIZER_ADD_SPECIAL, special);
  check_encoding(t, text, 0, member(o, "ids_plain", ids));
  check_decoding(t, ids, false, decode);
  check_decoding(t, special, true, member(o, "decode_skip", decode));
}

static void check_decode_case(const struct tokenizer *t, const json_t *o)
{
  check_decoding(t, json_object_get(o, "ids"), false, json_object_get(o, "decode"));
}

static void check_pieces(const struct tokenizer *t, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  struct token_list lengths = {0};
  struct error err = {0};
  CHECK_OK(tokenizer_cut(t, json_string_value(text), json_string_length(text), &lengths, &err), &err);
  check_ids(&lengths, json_object_get(o, "pieces"), json_string_value(text));
  token_list_free(&lengths);
}

static void each_line(const struct tokenizer *t, const char *path, int count,
                      void (*check)(const struct tokenizer *, const json_t *))
{
  struct error err = {0};
  struct line_reader *reader;
  char *line;
  size_t size;
  int number, seen = 0;
  CHECK_OK(line_reader_open(arena, path, &reader, &err), &err);
  for (;; seen++) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) break;
    json_t *o;
    CHECK_OK(json_parse(arena, line, size, path, number - 1, JSON_READ_PLAIN, &o, &err), &err);
    check(t, o);
  }
  CHECK_INT(seen, count);
}

static void check_family(const struct tokenizer *t, const char *prefix)
{
  struct error err = {0};
  each_line(t, fixture(arena_printf(arena, "test", &err, "%scases.jsonl", prefix)), 360, check_case);
  each_line(t, fixture(arena_printf(arena, "test", &err, "%sdecode.jsonl", prefix)), 60, check_decode_case);
  each_line(t, fixture(arena_printf(arena, "test", &err, "%spieces.jsonl", prefix)), 360, check_pieces);
}

static struct tokenizer *open_family(const char *family)
{
  struct error err = {0};
  struct tokenizer *t = NULL;
  CHECK_OK(tokenizer_open_folder(arena, fixture(family), &t, &err), &err);
  return t;
}

static void test_families(void **state)
{
  (void)state;
  struct error err = {0};
  for (int i = 0; i < FAMILIES; i++) {
    printf("%s\n", families[i]);
    check_family(open_family(families[i]), arena_printf(arena, "test", &err, "%s/", families[i]));
    arena_reset(arena);
  }
}

static void check_plain(const struct tokenizer *t, const char *family)
{
  struct error err = {0};
  each_line(t, fixture(arena_printf(arena, "test", &err, "%s/cases.jsonl", family)), 360, check_case);
  each_line(t, fixture(arena_printf(arena, "test", &err, "%s/decode.jsonl", family)), 60, check_decode_case);
}

static void test_plain_families(void **state)
{
  (void)state;
  struct error err = {0};
  struct tokenizer *again;
  for (int i = 0; i < PLAIN_FAMILIES; i++) {
    printf("%s\n", plain_families[i]);
    struct tokenizer *t = open_family(plain_families[i]);
    check_plain(t, plain_families[i]);
    const char *folder = path_join(arena, ASSAY_BUILD_DIR "/test-files/tokenizers", plain_families[i], &err);
    CHECK_OK(file_make_folder(folder, &err), &err);
    CHECK_OK(tokenizer_write_json(t, arena, folder, &err), &err);
    CHECK_OK(tokenizer_open_folder(arena, folder, &again, &err), &err);
    check_plain(again, plain_families[i]);
    arena_reset(arena);
  }
}

/* What GGUF would carry of a tokenizer.json. */
static void make_parts(const char *family, const char *pre, struct tokenizer_parts *p)
{
  struct error err = {0};
  json_t *root;
  CHECK_OK(json_parse_file(arena, path_join(arena, fixture(family), "tokenizer.json", &err), &root, &err), &err);
  json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab"),
         *merges = json_object_get(json_object_get(root, "model"), "merges");
  json_t *added = json_object_get(root, "added_tokens"), *v;
  size_t count = json_object_size(vocab) + json_array_size(added), i;
  struct token_text *tokens = ARENA_NEW(arena, struct token_text, count, "test", &err);
  struct token_text *lines = ARENA_NEW(arena, struct token_text, json_array_size(merges), "test", &err);
  int32_t *types = ARENA_NEW(arena, int32_t, count, "test", &err);
  const char *key;
  json_object_foreach(vocab, key, v)
  {
    tokens[json_integer_value(v)] = (struct token_text){key, strlen(key)};
    types[json_integer_value(v)] = TOKEN_NORMAL;
  }
  json_array_foreach(added, i, v)
  {
    const char *text = json_string_value(json_object_get(v, "content"));
    int64_t id = json_integer_value(json_object_get(v, "id"));
    tokens[id] = (struct token_text){text, strlen(text)};
    types[id] = json_is_true(json_object_get(v, "special")) ? TOKEN_CONTROL : TOKEN_USER;
  }
  json_array_foreach(merges, i, v)
  {
    const char *line = json_is_string(v)
                           ? json_string_value(v)
                           : arena_printf(arena, "test", &err, "%s %s", json_string_value(json_array_get(v, 0)),
                                          json_string_value(json_array_get(v, 1)));
    lines[i] = (struct token_text){line, strlen(line)};
  }
  *p = (struct tokenizer_parts){.file = family,
                                .tokens = tokens,
                                .types = types,
                                .token_count = count,
                                .merges = lines,
                                .merge_count = json_array_size(merges),
                                .pre = pre,
                                .bos = -1,
                                .eos = -1,
                                .pad = -1};
}

static void test_parts(void **state)
{
  (void)state;
  static const struct {
    const char *family, *pre;
    int bos;
  } kinds[] = {{"gpt2", "gpt-2", -1},        {"smollm", "smollm", -1},  {"qwen2", "qwen2", -1},
               {"llama3", "llama-bpe", 706}, {"tekken", "tekken", 601}, {"deepseek", "deepseek-v3", 700}};
  struct error err = {0};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct tokenizer_parts p;
    struct tokenizer *t;
    printf("%s\n", kinds[i].family);
    make_parts(kinds[i].family, kinds[i].pre, &p);
    p.bos = kinds[i].bos;
    p.add_bos = p.bos >= 0;
    CHECK_OK(tokenizer_from_parts(arena, &p, &t, &err), &err);
    check_family(t, arena_printf(arena, "test", &err, "%s/", kinds[i].family));
    arena_reset(arena);
  }
}

static void check_written(const struct tokenizer *t, const char *name, const char *prefix)
{
  struct error err = {0};
  struct tokenizer *again;
  const char *folder = path_join(arena, ASSAY_BUILD_DIR "/test-files/tokenizers", name, &err);
  CHECK_OK(file_make_folder(folder, &err), &err);
  CHECK_OK(tokenizer_write_json(t, arena, folder, &err), &err);
  CHECK_OK(tokenizer_open_folder(arena, folder, &again, &err), &err);
  check_family(again, prefix);
  CHECK_INT(tokenizer_bos(again), tokenizer_bos(t));
  CHECK_INT(tokenizer_eos(again), tokenizer_eos(t));
  CHECK_INT(tokenizer_vocab_size(again), tokenizer_vocab_size(t));
  if (tokenizer_chat_template(t)) CHECK_STR(tokenizer_chat_template(again), tokenizer_chat_template(t));
}

static void test_written(void **state)
{
  (void)state;
  struct error err = {0};
  for (int i = 0; i < FAMILIES; i++) {
    check_written(open_family(families[i]), families[i], arena_printf(arena, "test", &err, "%s/", families[i]));
    arena_reset(arena);
  }
}

static void test_smollm2(void **state)
{
  (void)state;
  const char *path = getenv("ASSAY_SMOLLM2");
  if (!path) {
    printf("skipped: ASSAY_SMOLLM2 does not name the GGUF of tools/get-smollm2.sh\n");
    skip();
  }
  struct error err = {0};
  struct tokenizer *t;
  CHECK_OK(tokenizer_open(arena, path, &t, &err), &err);
  check_family(t, "smollm2-135m-");
  CHECK_INT(tokenizer_eos(t), tokenizer_id_of_text(t, "<|im_end|>", 10));
  CHECK(tokenizer_is_special(t, tokenizer_eos(t)));
  check_written(t, "smollm2", "smollm2-135m-");
}

int main(void)
{
  const char *folder = getenv("ASSAY_FIXTURES");
  if (!file_is_folder(folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures")) {
    printf("parity_tokenizers: skipped, ASSAY_FIXTURES names no folder and ../shared/fixtures is absent\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_families, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_plain_families, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_written, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_smollm2, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
