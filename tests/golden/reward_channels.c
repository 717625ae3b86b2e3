/* links: reward. Worked numbers of the rewards beside the verifier's, and of their combination: rewards.tsv. */
#include "check.h"

#include <stdlib.h>

#include "core/file.h"
#include "reward/channel.h"
#include "reward/combine.h"

static const double ROUNDING = 1e-15; /* a cosine and a few operations in f64 */
static struct arena *arena;
static struct error err;

struct row {
  char *field[4];
  int number;
};

/* "a=1 b=2" -> {name: {a: 1, b: 2}} in a list. */
static struct channel_config *open_channel(const char *name, const char *settings)
{
  char text[512];
  struct yaml_node *n;
  struct channel_config *list;
  size_t count, at = (size_t)snprintf(text, sizeof text, "[{%s: {", name);
  for (const char *s = settings; *s && at < sizeof text - 8; s++) {
    bool key = true; /* the first = of a setting stands behind its key */
    for (const char *b = s; key && b > settings && b[-1] != ' ';) key = *--b != '=';
    at += (size_t)snprintf(text + at, sizeof text - at, *s == '=' && key ? ": '" : *s == ' ' ? "', " : "%c", *s);
  }
  snprintf(text + at, sizeof text - at, "%s}}]", *settings ? "'" : "");
  CHECK_OK(yaml_parse_text(arena, text, strlen(text), "golden", &n, &err), &err);
  CHECK_OK(channel_read(arena, n, &list, &count, &err), &err);
  CHECK_INT((int64_t)count, 1);
  return list;
}

/* The field with \n as line feeds. */
static char *unescape(char *s)
{
  char *to = s;
  for (char *at = s; *at; at++)
    if (at[0] == '\\' && at[1] == 'n')
      *to++ = '\n', at++;
    else
      *to++ = *at;
  *to = 0;
  return s;
}

static double run_channel(const struct row *row)
{
  const char *kind = row->field[0];
  char *text = row->field[2], right[16] = "right";
  struct problem p = {.source = "golden", .line = row->number, .prompt = ""};
  struct verdict v = {.reason = "r"};
  struct channel_input in = {.problem = &p, .verdict = &v, .response = "", .max_new_tokens = 100};
  if (!strcmp(kind, "length") || !strcmp(kind, "cosine")) {
    int fields = sscanf(text, "%d %d %15s", &in.tokens, &in.max_new_tokens, right);
    CHECK(fields >= 2 && (fields == 2 || !strcmp(right, "right") || !strcmp(right, "wrong")));
    v.correct = !strcmp(right, "right");
  } else if (!strcmp(kind, "language")) {
    char *bar = strstr(text, " | ");
    CHECK(bar != NULL);
    *bar = 0;
    p.prompt = text;
    in.response = bar + 3;
  } else {
    in.response = unescape(text);
  }
  in.n = strlen(in.response);
  double value;
  struct channel_config *c = open_channel(kind, row->field[1]);
  CHECK_OK(c->channel->value(arena, c, &in, &value, &err), &err);
  return value;
}

static double channel_of(void *arg, const char *name)
{
  char wanted[64];
  snprintf(wanted, sizeof wanted, "%s=", name);
  const char *at = strstr(arg, wanted);
  CHECK(at != NULL);
  return strtod(at + strlen(wanted), NULL);
}

/* The value, and the same from what combine_put wrote. */
static double run_combine(const struct row *row)
{
  struct yaml_node *n;
  struct combine *c;
  struct text again = {0};
  double value[2];
  const char *text = row->field[1];
  for (int i = 0; i < 2; i++) {
    CHECK_OK(yaml_parse_text(arena, text, strlen(text), "golden", &n, &err), &err);
    CHECK_OK(combine_read(arena, n, &c, &err), &err);
    value[i] = combine_value(c, channel_of, row->field[2]);
    if (!i) combine_put(c, &again);
    text = again.bytes;
  }
  text_free(&again);
  CHECK(value[0] <= value[1] && value[0] >= value[1]);
  return value[0];
}

static void test_table(void **state)
{
  (void)state;
  char *text;
  size_t n;
  int rows = 0, number = 0;
  arena = arena_create("test", 0, &err);
  CHECK_OK(file_read(arena, ASSAY_SOURCE_DIR "/tests/golden/rewards.tsv", 1 << 20, &text, &n, &err), &err);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    struct row row = {.number = ++number};
    *end = 0;
    if (*line == '#') continue;
    char *at = line;
    for (int i = 0; i < 4; i++) {
      row.field[i] = at;
      at = i < 3 ? strchr(at, '\t') : at;
      if (!at) fail_msg("rewards.tsv:%d has %d columns; expected 4", number, i + 1);
      if (i < 3) *at++ = 0;
    }
    double want = strtod(row.field[3], NULL),
           got = strcmp(row.field[0], "combine") ? run_channel(&row) : run_combine(&row);
    if (!(check_abs(got - want) <= ROUNDING * 16)) fail_msg("rewards.tsv:%d: got %.17g, want %.17g", number, got, want);
    rows++;
  }
  CHECK(rows > 50);
  arena_destroy(arena);
}

/* Every kind over a megabyte of what may be slow, and over every length of it up to a hundred: a finite number. */
static void test_bounds(void **state)
{
  (void)state;
  enum { MEGABYTE = 1 << 20 };
  static const char *const patterns[] = {"a", "a b ", "<think>", "$", "\\(", "`", "\xe4\xb8\xad", "\xff", "</answer>"};
  struct problem p = {.prompt = "What?"};
  struct verdict v = {.reason = "r", .correct = true};
  arena = arena_create("test", 0, &err);
  char *text = memory_alloc(MEGABYTE, 1, "test", &err);
  int32_t *ids = memory_alloc(MEGABYTE, sizeof *ids, "test", &err);
  for (size_t k = 0; k < channel_count(); k++) {
    struct channel_config *c = open_channel(channel_at(k)->name, "");
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
      for (size_t b = 0; b < MEGABYTE; b++) text[b] = patterns[i][b % strlen(patterns[i])];
      for (size_t size = 0; size <= 101; size++) {
        struct arena_mark mark = arena_mark(arena);
        double value;
        size_t bytes = size > 100 ? MEGABYTE : size;
        struct channel_input in = {&p, &v, text, bytes, ids, (int32_t)bytes, 4096};
        CHECK_OK(c->channel->value(arena, c, &in, &value, &err), &err);
        CHECK(check_finite(value) && value >= -1.0 - 300 && value <= 1);
        arena_release(arena, mark);
      }
    }
  }
  memory_free(ids);
  memory_free(text);
  arena_destroy(arena);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_bounds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
