/* links: text
 * A small tokenizer written here: merges, added tokens, decoding piece by piece, bad files, and the time of the worst
 * texts. */
#include <stdlib.h>

#include "check.h"
#include "core/cursor.h"
#include "core/file.h"
#include "text/tokenizer.h"

static struct arena *arena;

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

/* The 256 bytes in the order of their spelling, then merges: 256 "ab", 257 "abc", 258 "aa", 259 "aaaa", 260 " a". */
static const char *const merges[] = {"a b", "ab c", "a a", "aa aa", "\u0120 a"};

static void put_byte(struct text *out, unsigned byte)
{
  bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  uint32_t c = prints ? byte : byte <= 32 ? 256 + byte : byte <= 160 ? 256 + 33 + byte - 127 : 256 + 67;
  uint8_t utf8[4];
  json_put_string(out, (char *)utf8, utf8_encode(c, utf8));
}

static void put_vocab(struct text *out)
{
  text_puts(out, "{");
  for (unsigned byte = 0; byte < 256; byte++) {
    put_byte(out, byte);
    text_printf(out, ":%u,", byte);
  }
  text_puts(out, "\"ab\":256,\"abc\":257,\"aa\":258,\"aaaa\":259,\"\u0120a\":260}");
}

static const char added[] =
    "[{\"id\":261,\"content\":\"<|end|>\",\"special\":true,\"normalized\":false},"
    "{\"id\":262,\"content\":\"<think>\",\"special\":false,\"normalized\":false,\"lstrip\":true,\"rstrip\":true},"
    "{\"id\":263,\"content\":\"cat\",\"special\":false,\"normalized\":false,\"single_word\":true}]";

static const char *make_json(const char *model_extra, const char *around)
{
  struct error err = {0};
  struct text out = {0};
  text_printf(
      &out,
      "{\"added_tokens\":%s,\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},",
      added);
  text_printf(&out,
              "\"post_processor\":%s,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\"%s,\"vocab\":",
              around, model_extra);
  put_vocab(&out);
  text_puts(&out, ",\"merges\":[");
  for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) text_printf(&out, "%s\"%s\"", i ? "," : "", merges[i]);
  text_puts(&out, "]}}");
  CHECK_OK(text_finish(&out, &err), &err);
  const char *json = arena_strdup(arena, out.bytes, "test", &err);
  text_free(&out);
  return json;
}

static const char around[] =
    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<|end|>\"}},{\"Sequence\":{\"id\":\"A\"}}"
    "],"
    "\"special_tokens\":{\"<|end|>\":{\"id\":\"<|end|>\",\"ids\":[261]}}}";

static struct tokenizer *make(void)
{
  struct error err = {0};
  struct tokenizer *t = NULL;
  const char *json = make_json("", around);
  CHECK_OK(tokenizer_from_json(arena, json, strlen(json), "tokenizer.json", &t, &err), &err);
  return t;
}

static void check_ids(const struct tokenizer *t, const char *text, size_t n, int flags, const int32_t *want,
                      size_t count)
{
  struct error err = {0};
  struct token_list got = {0};
  CHECK_OK(tokenizer_encode(t, text, n, flags, &got, &err), &err);
  CHECK_INT(got.count, count);
  for (size_t i = 0; i < count; i++) CHECK_INT(got.ids[i], want[i]);
  token_list_free(&got);
}
#define IDS(t, text, flags, ...)                                                \
  check_ids((t), (text), strlen(text), (flags), (const int32_t[]){__VA_ARGS__}, \
            sizeof((const int32_t[]){__VA_ARGS__}) / 4)

static void test_merges(void **state)
{
  (void)state;
  struct tokenizer *t = make();
  CHECK_INT(tokenizer_vocab_size(t), 264);
  IDS(t, "abc", 0, 257);
  IDS(t, "aab", 0, 'a', 256); /* rank 0 before rank 2, though "aa" stands first */
  IDS(t, "aaaaa", 0, 259, 'a');
  IDS(t, "ab a", 0, 256, 260);
  IDS(t, "ab", TOKENIZER_ADD_SPECIAL, 261, 256);
  IDS(t, "\xc3\xa9", 0, 0xc3, 0xa9);
  IDS(t, "a\xff", 0, 'a', 0xef, 0xbf, 0xbd); /* a byte that is not UTF-8 counts as U+FFFD */
  check_ids(t, "a\0b", 3, 0, (const int32_t[]){'a', 0, 'b'}, 3);
  check_ids(t, "", 0, 0, NULL, 0);
}

static void test_added_tokens(void **state)
{
  (void)state;
  struct tokenizer *t = make();
  IDS(t, "ab<|end|>", TOKENIZER_SPECIAL, 256, 261);
  IDS(t, "<|end|>", 0, '<', '|', 'e', 'n', 'd', '|', '>');
  IDS(t, "a <think> b", 0, 'a', 262, 'b'); /* not special: also found where special tokens are plain */
  IDS(t, "cat", TOKENIZER_SPECIAL, 263);
  IDS(t, "a cat.", TOKENIZER_SPECIAL, 'a', ' ', 263, '.');
  IDS(t, "cats", TOKENIZER_SPECIAL, 'c', 'a', 't', 's');
  CHECK_INT(tokenizer_id_of_text(t, "<|end|>", 7), 261);
  CHECK_INT(tokenizer_id_of_text(t, "\u0120a", 3), 260);
  CHECK_INT(tokenizer_id_of_text(t, "none", 4), -1);
  CHECK(tokenizer_is_special(t, 261));
  CHECK(!tokenizer_is_special(t, 262));
  CHECK(!tokenizer_is_special(t, -1));
  CHECK_INT(tokenizer_text_of_id(t, 260).size, 2);
  CHECK_BITS(tokenizer_text_of_id(t, 260).bytes, " a", 2);
  CHECK_INT(tokenizer_text_of_id(t, 100000).size, 0);
}

/* Bytes wait until a character is complete; what is broken becomes one U+FFFD per broken sequence. */
static void test_stream(void **state)
{
  (void)state;
  struct tokenizer *t = make();
  struct token_decoder d;
  struct text out = {0};
  static const struct {
    int32_t id;
    const char *after;
  } steps[] = {{'x', "x"},
               {0xe6, "x"},
               {0xbc, "x"},
               {0xa2, "x\u6f22"},
               {0xf0, "x\u6f22"},
               {0x9f, "x\u6f22"},
               {'y', "x\u6f22\ufffdy"},
               {0xff, "x\u6f22\ufffdy\ufffd"},
               {261, "x\u6f22\ufffdy\ufffd"},
               {0xe0, "x\u6f22\ufffdy\ufffd"},
               {0x80, "x\u6f22\ufffdy\ufffd\ufffd\ufffd"},
               {-5, "x\u6f22\ufffdy\ufffd\ufffd\ufffd"},
               {0xc3, "x\u6f22\ufffdy\ufffd\ufffd\ufffd"}};
  token_decoder_start(&d, t, true);
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    token_decoder_add(&d, steps[i].id, &out);
    CHECK_STR(out.bytes, steps[i].after);
  }
  token_decoder_flush(&d, &out);
  CHECK_STR(out.bytes, "x\u6f22\ufffdy\ufffd\ufffd\ufffd\ufffd");
  text_clear(&out);
  tokenizer_decode(t, (const int32_t[]){257, 261}, 2, false, &out);
  CHECK_STR(out.bytes, "abc<|end|>");
  text_free(&out);
}

/* A million times one letter, and the same as one word of random letters: both ways of merging (short words, long
   words) agree with the definition, and neither takes quadratic time (the test's time limit is the judge). */
static void test_long_words(void **state)
{
  (void)state;
  struct tokenizer *t = make();
  struct error err = {0};
  enum { N = 1 << 20 };
  char *text = arena_push(arena, N, 1, "test", &err);
  struct token_list ids = {0};
  memset(text, 'a', N);
  CHECK_OK(tokenizer_encode(t, text, N, TOKENIZER_SPECIAL, &ids, &err), &err);
  CHECK_INT(ids.count, N / 4);
  for (size_t i = 0; i < ids.count; i++) CHECK_INT(ids.ids[i], 259);
  token_list_free(&ids);
  for (size_t n = 1; n < 200; n++) {
    /* aaa...ab: "ab" has the lowest rank, so it is made first; the rest merges by fours and twos from the left. */
    struct token_list got = {0};
    memset(text, 'a', n);
    text[n] = 'b';
    CHECK_OK(tokenizer_encode(t, text, n + 1, 0, &got, &err), &err);
    size_t rest = n - 1;
    CHECK_INT(got.count, rest / 4 + (rest % 4 >= 2) + (rest % 2) + 1);
    CHECK_INT(got.ids[got.count - 1], 256);
    token_list_free(&got);
  }
}

static void check_refused(const char *json, const char *part)
{
  struct error err = {0};
  struct tokenizer *t;
  CHECK_ERROR(tokenizer_from_json(arena, json, strlen(json), "tokenizer.json", &t, &err), &err, ERROR_INPUT, part);
  CHECK_STR(err.file, "tokenizer.json");
}

static void test_refused(void **state)
{
  (void)state;
  check_refused("[]", "no JSON object");
  check_refused("{\"model\":{\"type\":\"Unigram\"}}", "Unigram");
  check_refused("{\"model\":{\"type\":\"BPE\"}}", "vocab and merges");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}", "no token");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "no token");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "same id");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":2000000000},\"merges\":[]}}", "without such gaps");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", "one space");
  check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}", "pre_tokenizer");
  check_refused("{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"normalizer\":{\"type\":\"Lowercase\"}}", "Lowercase");
  check_refused(
      "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"("
      "\"},"
      "\"behavior\":\"Isolated\"}}",
      "cannot be used");
  check_refused(make_json(",\"byte_fallback\":true", "null"), "byte_fallback");
  check_refused(make_json("", "{\"type\":\"Odd\"}"), "Odd");
}

static void test_folder(void **state)
{
  (void)state;
  struct error err = {0};
  struct tokenizer *t;
  const char *folder = ASSAY_BUILD_DIR "/test-files/text_tokenizer", *json = make_json("", around);
  static const char config[] =
      "{\"eos_token\":{\"content\":\"<|end|>\"},\"bos_token\":null,\"chat_template\":["
      "{\"name\":\"default\",\"template\":\"plain\"},{\"name\":\"tool_use\",\"template\":\"tools\"}]}";
  static const char map[] = "{\"pad_token\":\"<|end|>\"}";
  if (file_is_folder(folder)) CHECK_OK(file_remove_tree(folder, &err), &err);
  CHECK_OK(file_make_folder(folder, &err), &err);
  CHECK_ERROR(tokenizer_open(arena, folder, &t, &err), &err, ERROR_INPUT, "no tokenizer.json");
  error_clear(&err);
  CHECK_OK(file_append(path_join(arena, folder, "tokenizer.json", &err), json, strlen(json), false, &err), &err);
  CHECK_OK(file_append(path_join(arena, folder, "tokenizer_config.json", &err), config, strlen(config), false, &err),
           &err);
  CHECK_OK(file_append(path_join(arena, folder, "special_tokens_map.json", &err), map, strlen(map), false, &err), &err);
  CHECK_OK(tokenizer_open(arena, folder, &t, &err), &err);
  CHECK_INT(tokenizer_eos(t), 261);
  CHECK_INT(tokenizer_bos(t), -1);
  CHECK_INT(tokenizer_pad(t), 261);
  CHECK_STR(tokenizer_chat_template(t), "plain");
  CHECK_STR(tokenizer_tool_template(t), "tools");
  CHECK_OK(file_append(path_join(arena, folder, "chat_template.jinja", &err), "own", 3, false, &err), &err);
  CHECK_OK(tokenizer_open(arena, folder, &t, &err), &err);
  CHECK_STR(tokenizer_chat_template(t), "own");
}

static void test_parts_refused(void **state)
{
  (void)state;
  static const struct token_text tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}}, lines[] = {{"a b", 3}};
  struct tokenizer_parts p = {.file = "m.gguf",
                              .tokens = tokens,
                              .token_count = 3,
                              .merges = lines,
                              .merge_count = 1,
                              .pre = "odd",
                              .bos = -1,
                              .eos = 2,
                              .pad = -1};
  struct error err = {0};
  struct tokenizer *t;
  CHECK_ERROR(tokenizer_from_parts(arena, &p, &t, &err), &err, ERROR_INPUT, "smollm");
  error_clear(&err);
  p.pre = NULL;
  CHECK_ERROR(tokenizer_from_parts(arena, &p, &t, &err), &err, ERROR_INPUT, "is missing");
  error_clear(&err);
  p.pre = "gpt-2";
  p.eos = 3;
  CHECK_ERROR(tokenizer_from_parts(arena, &p, &t, &err), &err, ERROR_INPUT, "eos_token_id");
  error_clear(&err);
  p.eos = 2;
  CHECK_OK(tokenizer_from_parts(arena, &p, &t, &err), &err);
  IDS(t, "abxab", 0, 2, 2); /* a byte without a token is dropped */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {TEST(test_merges),       TEST(test_added_tokens), TEST(test_stream),
                                     TEST(test_long_words),   TEST(test_refused),      TEST(test_folder),
                                     TEST(test_parts_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
