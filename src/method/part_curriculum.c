#include "method/part_curriculum.h"

#include <stdio.h>
#include <string.h>

#include "data/source.h"

/* ---- responses --------------------------------------------------------------------------------------------------- */

struct tag {
  size_t begin, end;
  bool closes;
  int64_t number;
};

/* The next tag at or behind byte `from`. */
static bool next_tag(const char *text, size_t size, size_t from, struct tag *out)
{
  for (size_t at = from; at < size; at++) {
    if (text[at] != '<') continue;
    size_t p = at + 1;
    *out = (struct tag){.begin = at, .closes = p < size && text[p] == '/'};
    p += out->closes;
    if (p == size || text[p++] != 'p') continue;
    size_t digits = p;
    for (; p < size && text[p] >= '0' && text[p] <= '9'; p++)
      if (out->number <= CURRICULUM_MOST) out->number = 10 * out->number + (text[p] - '0');
    if (p == digits || p == size || text[p] != '>') continue;
    out->end = p + 1;
    return true;
  }
  return false;
}

bool curriculum_blocks(const char *text, size_t size, int32_t k, struct curriculum_block *blocks)
{
  struct tag t = {0};
  int32_t n = 0;
  for (; next_tag(text, size, t.end, &t); n++) {
    int32_t j = n / 2;
    if (j >= k || t.number != j + 1 || t.closes != (n % 2 == 1)) return false;
    if (t.closes) {
      blocks[j].end = t.begin;
      blocks[j].tag_end = t.end;
    } else {
      blocks[j].begin = t.end;
    }
  }
  return n == 2 * k;
}

bool curriculum_boxed(const char *text, size_t begin, size_t end, size_t *from, size_t *to)
{
  static const char WORD[] = "\\boxed{";
  size_t last = end;
  for (size_t at = begin; (at = span_find(text, end, at, WORD)) < end; at++) last = at;
  if (last == end) return false;
  *from = last + sizeof WORD - 1;
  int64_t depth = 1;
  for (*to = *from; *to < end; ++*to) {
    depth += (text[*to] == '{') - (text[*to] == '}');
    if (!depth) return true;
  }
  return false;
}

struct span curriculum_tokens(const struct rollout *r, const struct curriculum_block *b, bool closing_tag)
{
  return span_tokens(r, b->begin, closing_tag ? b->tag_end : b->end, SPAN_INSIDE);
}

int32_t curriculum_spread(const struct step *s, int32_t k, int32_t j, bool closing_tag, const double *from, double *to)
{
  int32_t tokens = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    struct curriculum_block b[CURRICULUM_MOST];
    if (!curriculum_blocks(r->text, r->text_size, k, b)) continue;
    struct span span = curriculum_tokens(r, &b[j], closing_tag);
    for (int32_t p = r->path; p < r->path + r->path_count; p++) {
      int32_t t = step_response_index(s, p);
      if (t < span.begin || t >= span.end || r->token_byte[t] == r->token_byte[t + 1]) continue;
      to[p] = from[p];
      tokens++;
    }
  }
  return tokens;
}

int32_t curriculum_progress(const double *raw, int32_t k)
{
  int32_t n = 0;
  while (n < k && raw[n] > 0) n++;
  return n;
}

static double power(double x, int64_t n)
{
  double out = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) out *= x;
  return out;
}

double curriculum_informative(int64_t n, double p)
{
  return 1 - power(p, n) - power(1 - p, n);
}

/* ---- the generator's subproblems --------------------------------------------------------------------------------- */

const char *curriculum_verdict_words(enum curriculum_verdict v)
{
  static const char *const WORDS[] = {"accepted", "not JSON", "keys", "empty field", "last answer"};
  return WORDS[v];
}

static bool blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without blanks at the ends. */
static const char *stripped(const char *s, size_t *n)
{
  *n = strlen(s);
  while (*n && blank(s[*n - 1])) --*n;
  while (*n && blank(*s)) s++, --*n;
  return s;
}

static enum curriculum_verdict check_items(json_t *object, int32_t k, const char *answer)
{
  const char *key, *last = "";
  json_t *item;
  size_t n, m;
  int32_t j = 0;
  json_object_foreach(object, key, item)
  {
    char want[32];
    snprintf(want, sizeof want, "question_%d", (int)++j);
    if (j > k || strcmp(key, want)) return CURRICULUM_KEYS;
  }
  if (j != k) return CURRICULUM_KEYS;
  json_object_foreach(object, key, item)
  {
    const char *statement = json_string_value(json_object_get(item, "statement"));
    last = json_string_value(json_object_get(item, "ground_truth"));
    if (!statement || !last) return CURRICULUM_EMPTY_FIELD;
    stripped(statement, &n);
    stripped(last, &m);
    if (!n || !m) return CURRICULUM_EMPTY_FIELD;
  }
  const char *got = stripped(last, &n), *known = stripped(answer, &m);
  return n == m && !memcmp(got, known, n) ? CURRICULUM_ACCEPTED : CURRICULUM_LAST_ANSWER;
}

enum curriculum_verdict curriculum_read(struct arena *a, const char *text, size_t size, int32_t k, const char *answer,
                                        json_t **list)
{
  struct error ignored = {0};
  json_t *object, *item;
  const char *key;
  if (json_parse(a, text, size, "curriculum", 0, JSON_READ_UNIQUE, &object, &ignored)) return CURRICULUM_NOT_JSON;
  if (!json_is_object(object)) return CURRICULUM_KEYS;
  enum curriculum_verdict v = check_items(object, k, answer);
  if (v != CURRICULUM_ACCEPTED || !list) return v;
  *list = json_array();
  json_object_foreach(object, key, item)
      json_array_append_new(*list, json_pack("{s:O, s:O}", "statement", json_object_get(item, "statement"),
                                             "ground_truth", json_object_get(item, "ground_truth")));
  return v;
}

static void release(void *fields)
{
  json_decref(fields);
}

int curriculum_problem(struct arena *a, const struct problem *p, int32_t j, const struct problem **out,
                       struct error *err)
{
  json_t *truth = json_object_get(json_array_get(json_object_get(p->fields, "subproblems"), (size_t)j), "ground_truth");
  json_t *fields = json_copy((json_t *)(uintptr_t)p->fields);
  struct problem *made = ARENA_NEW(a, struct problem, 1, "subproblems", err);
  if (!made || !fields || arena_on_reset(a, release, fields, err)) {
    json_decref(fields);
    FAIL(err, ERROR_RESOURCE, "no memory for subproblems");
  }
  *made = *p;
  made->fields = fields;
  json_object_set(fields, "answer", truth);
  *out = made;
  return problem_value_text(a, truth, &made->answer, err);
}
