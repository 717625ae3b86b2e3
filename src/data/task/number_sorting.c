/* Numbers to be sorted. */
#include <string.h>
#include "data/task_text.h"

enum { SPLIT_KEY = 0x5047d402, NUMBER_LIMIT = 100, DIGIT_ROOM = 48 };

static const struct setting options[] = {
    {"min_numbers", SETTING_INT, 2, NUMBER_LIMIT, "3", NULL, "fewest numbers"},
    {"max_numbers", SETTING_INT, 2, NUMBER_LIMIT, "10", NULL, "most numbers"},
    {"min_decimals", SETTING_INT, 0, 6, "0", NULL, "fewest decimals of a number"},
    {"max_decimals", SETTING_INT, 0, 6, "2", NULL, "most decimals of a number"},
    {"min_value", SETTING_INT, -1e9, 1e9, "-100", NULL, "smallest number"},
    {"max_value", SETTING_INT, -1e9, 1e9, "100", NULL, "largest number"},
    TASK_HELD_OUT,
};

struct entry {
  int64_t millionths;
  const char *text;
};

static int draw_entry(struct arena *a, const struct task_config *c, struct draw *d, struct entry *out,
                      struct error *err)
{
  int decimals = (int)task_draw_between(c, d, "min_decimals", "max_decimals");
  int64_t power = 1, rest = 1000000;
  for (int i = 0; i < decimals; i++) power *= 10, rest /= 10;
  int64_t value = draw_int(d, task_int(c, "min_value") * power, task_int(c, "max_value") * power);
  int64_t size = value < 0 ? -value : value;
  out->millionths = value * rest;
  out->text = decimals ? arena_printf(a, "task", err, "%s%lld.%0*lld", value < 0 ? "-" : "", (long long)(size / power),
                                      decimals, (long long)(size % power))
                       : arena_printf(a, "task", err, "%lld", (long long)value);
  return out->text ? 0 : err->code;
}

static void sort_entries(struct entry *e, size_t count, bool descending)
{
  for (size_t i = 1; i < count; i++)
    for (size_t j = i; j > 0; j--) {
      int64_t front = e[j - 1].millionths, back = e[j].millionths;
      if (descending ? front >= back : front <= back) break;
      struct entry kept = e[j];
      e[j] = e[j - 1];
      e[j - 1] = kept;
    }
}

/* "1, 2.5"; quoted: ["1", "2.5"], so that no reader rounds them. */
static void put_entries(struct text *t, const struct entry *e, size_t count, bool quoted)
{
  if (quoted) text_puts(t, "[");
  for (size_t i = 0; i < count; i++)
    text_printf(t, "%s%s%s%s", i ? ", " : "", quoted ? "\"" : "", e[i].text, quoted ? "\"" : "");
  if (quoted) text_puts(t, "]");
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  struct entry e[NUMBER_LIMIT];
  size_t count = (size_t)task_draw_between(c, d, "min_numbers", "max_numbers");
  bool descending = draw_index(d, 2) == 1;
  const char *direction = descending ? "descending" : "ascending";
  struct text question = {0}, meta = {0}, canonical = {0}, answer = {0};
  for (size_t i = 0; i < count; i++) TRY(draw_entry(a, c, d, &e[i], err));
  text_printf(&question, "Sort these numbers in %s order: ", direction);
  put_entries(&question, e, count, false);
  text_puts(&question, ". Answer with all of them in a list, like [-2.5, 0, 17].");
  text_puts(&meta, "{\"original_numbers\": ");
  put_entries(&meta, e, count, true);
  sort_entries(e, count, false);
  put_entries(&canonical, e, count, false); /* every order of the same numbers is on one side */
  sort_entries(e, count, descending);
  text_printf(&meta, ", \"direction\": \"%s\", \"sorted_numbers\": ", direction);
  put_entries(&meta, e, count, true);
  text_puts(&meta, "}");
  text_puts(&answer, "[");
  put_entries(&answer, e, count, false);
  text_puts(&answer, "]");
  d->canonical = text_keep(a, &canonical, err);
  out->question = text_keep(a, &question, err);
  out->answer = text_keep(a, &answer, err);
  out->meta = text_keep(a, &meta, err);
  return d->canonical && out->question && out->answer && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_numbers", "max_numbers", err));
  TRY(task_need_order(c, "min_decimals", "max_decimals", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static size_t skip_digits(const char *s, size_t n, size_t at)
{
  while (at < n && s[at] >= '0' && s[at] <= '9') at++;
  return at;
}

/* The length of the sign (-, + or U+2212) in front. */
static size_t read_sign(struct list_item item, bool *minus)
{
  bool long_minus = item.n >= 3 && !memcmp(item.at, "\xe2\x88\x92", 3);
  *minus = long_minus || (item.n && item.at[0] == '-');
  return long_minus ? 3 : *minus || (item.n && item.at[0] == '+') ? 1 : 0;
}

/* One spelling for each value: "+007.50" -> "7.5", "-0.0" -> "0". false: no plain decimal number, or a long one. */
static bool read_decimal(struct list_item item, char out[DIGIT_ROOM])
{
  const char *s = item.at;
  bool minus;
  size_t n = item.n, size = 0, whole = read_sign(item, &minus), point = skip_digits(s, n, whole), end = point;
  if (point < n && s[point] == '.') end = skip_digits(s, n, point + 1);
  size_t digits = end - whole - (end > point);
  if (end != n || !digits || digits + 3 > DIGIT_ROOM) return false;
  while (whole < point && s[whole] == '0') whole++;
  while (end > point && (s[end - 1] == '0' || s[end - 1] == '.')) end--;
  if (minus && whole < end) out[size++] = '-';
  if (whole == point) out[size++] = '0';
  memcpy(out + size, s + whole, end - whole);
  out[size + end - whole] = '\0';
  return true;
}

/* How many numbers the list has; 0: it is no list of plain numbers. */
static size_t read_numbers(const char *s, size_t n, char out[NUMBER_LIMIT][DIGIT_ROOM])
{
  struct list_item items[NUMBER_LIMIT];
  size_t count = list_read(s, n, items, NUMBER_LIMIT);
  for (size_t i = 0; i < count; i++)
    if (!read_decimal(items[i], out[i])) return 0;
  return count;
}

/* The sorted numbers: meta's, or those of a known answer. */
static int need_numbers(struct arena *a, const json_t *meta, const char *answer, char want[NUMBER_LIMIT][DIGIT_ROOM],
                        size_t *count, struct error *err)
{
  const char *texts[NUMBER_LIMIT];
  bool read = true;
  TRY(meta_strings(meta, "sorted_numbers", texts, NUMBER_LIMIT, count, err));
  for (size_t i = 0; i < *count && read; i++)
    read = read_decimal((struct list_item){texts[i], strlen(texts[i])}, want[i]);
  if (!*count) {
    TRY(answer_known(a, meta, answer, &answer, err));
    *count = read_numbers(answer, strlen(answer), want);
  }
  if (!*count || !read)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "sorted_numbers", "found no sorted_numbers in meta; expected a list of numbers");
  return 0;
}

/* Every number exactly as often as in want. */
static bool same_numbers(char want[][DIGIT_ROOM], char got[][DIGIT_ROOM], size_t count)
{
  bool used[NUMBER_LIMIT] = {false};
  for (size_t i = 0; i < count; i++) {
    size_t j = 0;
    while (j < count && (used[j] || strcmp(want[i], got[j]) != 0)) j++;
    if (j == count) return false;
    used[j] = true;
  }
  return true;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  char want[NUMBER_LIMIT][DIGIT_ROOM], got[NUMBER_LIMIT][DIGIT_ROOM];
  size_t count, found, right = 0;
  struct answer_span span;
  const char *why;
  TRY(need_numbers(a, meta, answer, want, &count, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  found = read_numbers(read, span.length, got);
  if (!found) return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is no list of numbers", span.rule);
  if (found != count || !same_numbers(want, got, count))
    return answer_verdict(a, out, read, span.length, false, 0, err,
                          "the answer (%s) has not exactly the %zu given numbers", span.rule, count);
  for (size_t i = 0; i < count; i++) right += !strcmp(want[i], got[i]);
  return answer_verdict(a, out, read, span.length, right == count, 0.5 * (double)right / (double)count, err,
                        "%zu of %zu numbers are in their place", right, count);
}

const struct task task_number_sorting = {
    .name = "number_sorting",
    .help = "Numbers to be sorted, upward or downward",
    .right =
        "All the given numbers in the order asked for, as a list: [-2.5, 0, 17], ['-2.5', '0', '17'] or without "
        "brackets; 17 and 17.0 are the same. Partial credit, for exactly the given numbers: half the share in their "
        "place.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};
