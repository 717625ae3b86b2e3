/* Instruction following: a problem names constraints that a program can check (reward/ifeval.h), a response follows all
 * of them or not. Strict: the response as it stands. Loose: also without its first line, its last line, both, and each
 * of these without asterisks; one that follows is enough (Zhou et al. 2023, section 2.2).
 */
#include <string.h>
#include "reward/ifeval.h"
#include "reward/verifier.h"
#include "text/unicode.h"

enum { VARIANTS = 8, MOST_CONSTRAINTS = 64 };

static const struct setting settings[] = {
    {"mode", SETTING_TEXT, 0, 0, "strict", "strict loose", "which reading earns the reward"},
    {"partial", SETTING_BOOL, 0, 0, "false", NULL, "reward the share of constraints that hold instead of all or none"},
};

static int open_kind(struct arena *a, struct verifier_config *c, struct error *err)
{
  struct ifeval_patterns *p = ARENA_NEW(a, struct ifeval_patterns, 1, "ifeval", err);
  c->state = p;
  return p ? ifeval_compile(a, p, err) : err->code;
}

/* ---- readings of a response -------------------------------------------------------------------------------------- */

static struct span without_first(struct span t)
{
  const char *end = t.n ? memchr(t.s, '\n', t.n) : NULL;
  size_t cut = end ? (size_t)(end - t.s) + 1 : t.n;
  return (struct span){t.s + cut, t.n - cut};
}

static struct span without_last(struct span t)
{
  size_t n = t.n;
  while (n && t.s[n - 1] != '\n') n--;
  return (struct span){t.s, n ? n - 1 : 0};
}

static int without_stars(struct arena *a, struct span t, struct span *out, struct error *err)
{
  char *s = ARENA_NEW(a, char, t.n + 1, "ifeval", err);
  if (!s) return err->code;
  *out = (struct span){s, 0};
  for (size_t i = 0; i < t.n; i++)
    if (t.s[i] != '*') s[out->n++] = t.s[i];
  return 0;
}

/* The first is the response itself. */
static int make_variants(struct arena *a, struct span t, struct span out[VARIANTS], struct error *err)
{
  struct span both = without_last(without_first(t));
  out[0] = t;
  out[1] = span_strip(without_first(t));
  out[2] = span_strip(without_last(t));
  out[3] = span_strip(memchr(t.s, '\n', t.n) ? both : (struct span){t.s, 0});
  for (int i = 0; i < 4; i++) TRY(without_stars(a, out[i], &out[4 + i], err));
  return 0;
}

/* ---- verdicts ---------------------------------------------------------------------------------------------------- */

struct outcome {
  bool strict[MOST_CONSTRAINTS], loose[MOST_CONSTRAINTS];
  size_t count;
  const char *first; /* id of the first constraint that the chosen reading does not follow, */
  const char *why;   /* and why */
};

static int check_one(struct constraint *c, const struct span variants[VARIANTS], bool loose_mode, struct outcome *o,
                     struct error *err)
{
  const char *why = NULL;
  size_t k = o->count++;
  for (int v = 0; v < VARIANTS && !o->loose[k]; v++) {
    bool holds = false;
    if (span_strip(variants[v]).n) TRY(constraint_check(c, variants[v], &holds, err));
    if (v == 0) why = c->reason;
    o->strict[k] |= v == 0 && holds;
    o->loose[k] |= holds;
  }
  if (!o->first && !(loose_mode ? o->loose[k] : o->strict[k])) {
    o->first = c->id;
    o->why = why ? why : "the response is empty";
  }
  return 0;
}

static int check_all(struct arena *scratch, const struct verifier_config *config, const struct problem *p,
                     struct span text, struct outcome *o, struct error *err)
{
  const json_t *ids = json_object_get(p->fields, "instruction_id_list"), *kwargs = json_object_get(p->fields, "kwargs");
  size_t count = json_array_size(ids);
  struct span variants[VARIANTS];
  if (!json_is_array(ids) || !count || count > MOST_CONSTRAINTS || json_array_size(kwargs) != count)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "instruction_id_list",
            "found %zu constraints and %zu kwargs; expected instruction_id_list and kwargs of one length, 1 to %d",
            count, json_array_size(kwargs), MOST_CONSTRAINTS);
  TRY(make_variants(scratch, text, variants, err));
  for (size_t i = 0; i < count; i++) {
    struct constraint c = {.arena = scratch,
                           .patterns = config->state,
                           .arguments = json_array_get(kwargs, i),
                           .id = json_string_value(json_array_get(ids, i))};
    if (!c.id) FAIL_AT(err, ERROR_INPUT, p->source, p->line, "instruction_id_list", "found an id that is no text");
    if (check_one(&c, variants, !strcmp(verifier_value(config, "mode")->text, "loose"), o, err))
      return error_place(err, p->source, p->line);
  }
  return 0;
}

static void put_list(struct text *t, const char *name, const bool *list, size_t count)
{
  text_printf(t, "\"%s\": [", name);
  for (size_t i = 0; i < count; i++) text_printf(t, "%s%s", i ? ", " : "", list[i] ? "true" : "false");
  text_puts(t, "]");
}

static double share(const bool *list, size_t count)
{
  size_t n = 0;
  for (size_t i = 0; i < count; i++) n += list[i];
  return (double)n / (double)count;
}

static int put_verdict(struct arena *a, const struct verifier_config *c, const struct outcome *o, struct verdict *out,
                       struct error *err)
{
  struct text t = {0};
  double strict = share(o->strict, o->count), loose = share(o->loose, o->count);
  double chosen = !strcmp(verifier_value(c, "mode")->text, "loose") ? loose : strict;
  *out = (struct verdict){.readable = true, .correct = chosen >= 1, .channel_count = 2};
  out->reward = verifier_value(c, "partial")->integer ? chosen : out->correct ? 1 : 0;
  out->channels[0].name = "ifeval_strict", out->channels[0].value = strict;
  out->channels[1].name = "ifeval_loose", out->channels[1].value = loose;
  put_list(&t, "strict", o->strict, o->count);
  text_puts(&t, ", ");
  put_list(&t, "loose", o->loose, o->count);
  int rc = text_finish(&t, err);
  out->more = rc ? NULL : arena_strndup(a, t.bytes, t.size, "verdict", err);
  text_free(&t);
  out->reason = o->first ? arena_printf(a, "verdict", err, "%s: %s", o->first, o->why)
                         : arena_printf(a, "verdict", err, "all %zu constraints hold", o->count);
  return out->more && out->reason ? 0 : err->code;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  struct outcome o = {0};
  struct text valid = {0};
  struct arena *scratch = arena_create("ifeval", 0, err);
  if (!scratch) return err->code;
  unicode_put_valid(&valid, response, n);
  int rc = text_finish(&valid, err);
  if (!rc) rc = check_all(scratch, c, p, (struct span){valid.bytes ? valid.bytes : "", valid.size}, &o, err);
  if (!rc) rc = put_verdict(a, c, &o, out, err);
  text_free(&valid);
  arena_destroy(scratch);
  return rc;
}

const struct verifier verifier_ifeval = {
    .name = "ifeval",
    .help = "the response follows all of IFEval's constraints that the problem names",
    .fields = "instruction_id_list, kwargs",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open_kind,
    .judge = judge,
};
