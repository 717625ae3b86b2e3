/* links: text
 * How a text is cut: every behaviour of Split, Digits, the added space, as the tokenizers package 0.23.3 cuts the same
 * text. */
#include "check.h"
#include "text/pretoken.h"

static struct arena *arena;
static const char text[] = "  ab, 12 cd!!x 3";

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

/* The pieces with '|' between them. */
static void check_cuts(const struct pretoken *p, const char *s, size_t n, const char *want)
{
  struct error err = {0};
  struct pretoken_cuts cuts = {0};
  struct text joined = {0};
  for (int round = 0; round < 2; round++) { /* the buffers may be used again */
    text_clear(&joined);
    CHECK_OK(pretoken_run(p, s, n, &cuts, &err), &err);
    for (size_t i = 0; i < cuts.spans.count; i++) {
      text_puts(&joined, i ? "|" : "");
      text_add(&joined, cuts.bytes + cuts.spans.items[i].start, cuts.spans.items[i].end - cuts.spans.items[i].start);
    }
    CHECK_STR(joined.size ? joined.bytes : "", want);
  }
  text_free(&joined);
  pretoken_cuts_free(&cuts);
}

static void test_split(void **state)
{
  (void)state;
  static const struct {
    enum pretoken_behavior behavior;
    bool literal;
    const char *pattern;
    bool invert;
    const char *want;
  } cases[] = {
      {PRETOKEN_ISOLATED, false, "\\s", false, " | |ab,| |12| |cd!!x| |3"},
      {PRETOKEN_ISOLATED, false, "\\s", true, " | |ab,| |12| |cd!!x| |3"},
      {PRETOKEN_ISOLATED, false, "[^\\s\\w]|\\d+", false, "  ab|,| |12| cd|!|!|x |3"},
      {PRETOKEN_ISOLATED, false, "[^\\s\\w]|\\d+", true, "  ab|,| |12| cd|!|!|x |3"},
      {PRETOKEN_ISOLATED, true, "b", false, "  a|b|, 12 cd!!x 3"},
      {PRETOKEN_ISOLATED, true, "b", true, "  a|b|, 12 cd!!x 3"},
      {PRETOKEN_REMOVED, false, "\\s", false, "ab,|12|cd!!x|3"},
      {PRETOKEN_REMOVED, false, "\\s", true, " | | | | "},
      {PRETOKEN_REMOVED, false, "[^\\s\\w]|\\d+", false, "  ab| | cd|x "},
      {PRETOKEN_REMOVED, false, "[^\\s\\w]|\\d+", true, ",|12|!|!|3"},
      {PRETOKEN_REMOVED, true, "b", false, "  a|, 12 cd!!x 3"},
      {PRETOKEN_REMOVED, true, "b", true, "b"},
      {PRETOKEN_WITH_PREVIOUS, false, "\\s", false, " | |ab, |12 |cd!!x |3"},
      {PRETOKEN_WITH_PREVIOUS, false, "\\s", true, " | ab,| 12| cd!!x| 3"},
      {PRETOKEN_WITH_PREVIOUS, false, "[^\\s\\w]|\\d+", false, "  ab,| 12| cd!|!|x 3"},
      {PRETOKEN_WITH_PREVIOUS, false, "[^\\s\\w]|\\d+", true, "  ab|, |12 cd|!|!x |3"},
      {PRETOKEN_WITH_PREVIOUS, true, "b", false, "  ab|, 12 cd!!x 3"},
      {PRETOKEN_WITH_PREVIOUS, true, "b", true, "  a|b, 12 cd!!x 3"},
      {PRETOKEN_WITH_NEXT, false, "\\s", false, " | ab,| 12| cd!!x| 3"},
      {PRETOKEN_WITH_NEXT, false, "\\s", true, " | |ab, |12 |cd!!x |3"},
      {PRETOKEN_WITH_NEXT, false, "[^\\s\\w]|\\d+", false, "  ab|, |12 cd|!|!x |3"},
      {PRETOKEN_WITH_NEXT, false, "[^\\s\\w]|\\d+", true, "  ab,| 12| cd!|!|x 3"},
      {PRETOKEN_WITH_NEXT, true, "b", false, "  a|b, 12 cd!!x 3"},
      {PRETOKEN_WITH_NEXT, true, "b", true, "  ab|, 12 cd!!x 3"},
      {PRETOKEN_CONTIGUOUS, false, "\\s", false, "  |ab,| |12| |cd!!x| |3"},
      {PRETOKEN_CONTIGUOUS, false, "\\s", true, "  |ab,| |12| |cd!!x| |3"},
      {PRETOKEN_CONTIGUOUS, false, "[^\\s\\w]|\\d+", false, "  ab|,| |12| cd|!!|x |3"},
      {PRETOKEN_CONTIGUOUS, false, "[^\\s\\w]|\\d+", true, "  ab|,| |12| cd|!!|x |3"},
      {PRETOKEN_CONTIGUOUS, true, "b", false, "  a|b|, 12 cd!!x 3"},
      {PRETOKEN_CONTIGUOUS, true, "b", true, "  a|b|, 12 cd!!x 3"},
  };
  struct error err = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct pretoken p = {.count = 0};
    struct pretoken_step step = {.kind = PRETOKEN_SPLIT,
                                 .behavior = cases[i].behavior,
                                 .pattern = cases[i].pattern,
                                 .literal = cases[i].literal,
                                 .invert = cases[i].invert};
    CHECK_OK(pretoken_add(arena, &p, step, "test", &err), &err);
    check_cuts(&p, text, sizeof text - 1, cases[i].want);
  }
}

static void test_digits(void **state)
{
  (void)state;
  struct error err = {0};
  struct pretoken each = {.count = 0}, runs = {.count = 0};
  CHECK_OK(
      pretoken_add(arena, &each, (struct pretoken_step){.kind = PRETOKEN_DIGITS, .each_digit = true}, "test", &err),
      &err);
  CHECK_OK(pretoken_add(arena, &runs, (struct pretoken_step){.kind = PRETOKEN_DIGITS}, "test", &err), &err);
  check_cuts(&each, text, sizeof text - 1, "  ab, |1|2| cd!!x |3");
  check_cuts(&runs, text, sizeof text - 1, "  ab, |12| cd!!x |3");
  check_cuts(&runs, "", 0, "");
}

/* Every piece gets a space in front, not only the first. */
static void test_prefix_space(void **state)
{
  (void)state;
  struct error err = {0};
  struct pretoken p = {.count = 0};
  CHECK_OK(pretoken_add(arena, &p, (struct pretoken_step){.kind = PRETOKEN_SPLIT, .pattern = "\\s"}, "test", &err),
           &err);
  CHECK_OK(pretoken_add(arena, &p, (struct pretoken_step){.kind = PRETOKEN_BYTES, .prefix_space = true}, "test", &err),
           &err);
  check_cuts(&p, text, sizeof text - 1, " | | ab,| | 12| | cd!!x| | 3");
  CHECK_ERROR(pretoken_add(arena, &p, (struct pretoken_step){.kind = PRETOKEN_DIGITS}, "test", &err), &err, ERROR_INPUT,
              "ByteLevel to be the last");
}

/* U+180E was white space once and is for PCRE2; for the models it is not. */
static void test_spaces(void **state)
{
  (void)state;
  struct error err = {0};
  struct pretoken p = {.count = 0};
  static const char s[] =
      "a\xe1\xa0\x8e"
      "b\xe2\x80\x83"
      "c\xc2\x85"
      "d";
  CHECK_OK(pretoken_add(arena, &p, (struct pretoken_step){.kind = PRETOKEN_SPLIT, .pattern = "[\\s]"}, "test", &err),
           &err);
  check_cuts(&p, s, sizeof s - 1,
             "a\xe1\xa0\x8e"
             "b|\xe2\x80\x83|c|\xc2\x85|d");
}

static void test_names(void **state)
{
  (void)state;
  struct error err = {0};
  struct pretoken p = {.count = 0};
  bool nfc, ignore;
  CHECK_OK(pretoken_by_name(arena, &p, "smollm", false, &nfc, &ignore, "test", &err), &err);
  CHECK(!nfc && !ignore);
  check_cuts(&p, "it's 42", 7, "it|'s| |4|2");
  p.count = 0;
  CHECK_OK(pretoken_by_name(arena, &p, "llama-bpe", false, &nfc, &ignore, "test", &err), &err);
  CHECK(!nfc && ignore);
  check_cuts(&p, "IT'S 4242\n\n x", 13, "IT|'S| |424|2|\n\n| x");
  p.count = 0;
  CHECK_OK(pretoken_by_name(arena, &p, "qwen2", false, &nfc, &ignore, "test", &err), &err);
  CHECK(nfc && !ignore);
  p.count = 0;
  CHECK_ERROR(pretoken_by_name(arena, &p, "other", false, &nfc, &ignore, "test", &err), &err, ERROR_INPUT,
              "gpt-2, smollm");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {TEST(test_split), TEST(test_digits), TEST(test_prefix_space), TEST(test_spaces),
                                     TEST(test_names)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
