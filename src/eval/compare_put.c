/* A comparison as JSON and as lines for a person: declared in eval/compare.h. */
#include <string.h>
#include "eval/compare.h"

/* Did more than half of the attempts turn right (1), or wrong (-1)? */
static int turn(const struct eval_pair *p)
{
  return (2 * p->after_right > p->after) - (2 * p->before_right > p->before);
}

/* ---- as JSON ----------------------------------------------------------------------------------------------------- */

static void put_interval(struct text *t, const char *key, const struct eval_interval *v)
{
  text_printf(t, "\"%s\": {\"mean\": ", key);
  json_put_f64(t, v->mean);
  text_puts(t, ", \"low\": ");
  json_put_f64(t, v->low);
  text_puts(t, ", \"high\": ");
  json_put_f64(t, v->high);
  text_puts(t, "}");
}

static void put_three(struct text *t, const struct eval_interval *before, const struct eval_interval *after,
                      const struct eval_interval *difference)
{
  put_interval(t, "before", before);
  text_puts(t, ", ");
  put_interval(t, "after", after);
  text_puts(t, ", ");
  put_interval(t, "difference", difference);
}

static void put_sizes(struct text *t, const size_t *x, size_t n)
{
  text_puts(t, "[");
  for (size_t i = 0; i < n; i++) text_printf(t, "%s%zu", i ? ", " : "", x[i]);
  text_puts(t, "]");
}

static void put_turned(struct text *t, const struct eval_comparison *c, const char *key, int way)
{
  bool first = true;
  text_printf(t, ", \"%s\": [", key);
  for (size_t i = 0; i < c->problems; i++) {
    const struct eval_pair *p = &c->pairs[i];
    if (turn(p) != way) continue;
    text_puts(t, first ? "{\"problem\": " : ", {\"problem\": ");
    json_put_string(t, p->problem, strlen(p->problem));
    text_printf(t, ", \"before\": [%zu, %zu], \"after\": [%zu, %zu]}", p->before_right, p->before, p->after_right,
                p->after);
    first = false;
  }
  text_puts(t, "]");
}

static void put_audit(struct text *t, const struct eval_comparison *c)
{
  text_printf(t, ", \"audit\": {\"samples\": %lld, \"crossing\": ", (long long)c->n);
  if (c->crossing)
    text_printf(t, "%lld", (long long)c->crossing);
  else
    text_puts(t, "null");
  text_printf(t,
              ", \"solvable\": {\"before\": %zu, \"after\": %zu, \"both\": %zu, \"neither\": %zu, \"subset_ratio\": ",
              c->coverage.base, c->coverage.trained, c->coverage.both, c->coverage.neither);
  json_put_f64(t, c->coverage.subset_ratio);
  text_puts(t, "}, \"histogram\": {\"before\": ");
  put_sizes(t, c->before_bins, BOUNDARY_BINS);
  text_puts(t, ", \"after\": ");
  put_sizes(t, c->after_bins, BOUNDARY_BINS);
  text_puts(t, "}, \"transitions\": [");
  for (size_t i = 0; i < c->move_bins; i++) {
    if (i) text_puts(t, ", ");
    put_sizes(t, c->moves[i], c->move_bins);
  }
  text_puts(t, "]}");
}

void eval_comparison_put_json(struct text *t, const struct eval_comparison *c)
{
  text_printf(t, "{\"problems\": %zu, \"only_before\": %zu, \"only_after\": %zu, ", c->problems, c->only_before,
              c->only_after);
  put_three(t, &c->before, &c->after, &c->difference);
  text_printf(t, ", \"mcnemar\": {\"gained\": %zu, \"lost\": %zu, \"p\": ", c->gained, c->lost);
  json_put_f64(t, c->p);
  text_puts(t, "}, \"pass@k\": {");
  for (size_t i = 0; i < c->k_count; i++) {
    text_printf(t, "%s\"%lld\": {", i ? ", " : "", (long long)c->at[i].k);
    put_three(t, &c->at[i].before, &c->at[i].after, &c->at[i].difference);
    text_puts(t, "}");
  }
  text_puts(t, "}");
  put_turned(t, c, "gained", 1);
  put_turned(t, c, "lost", -1);
  put_audit(t, c);
  text_puts(t, "}");
}

/* ---- for a person ------------------------------------------------------------------------------------------------ */

static void put_row(struct text *t, const struct eval_interval *before, const struct eval_interval *after,
                    const struct eval_interval *difference)
{
  text_printf(t, "%5.1f %%  %5.1f %%  %+6.1f  (%+.1f to %+.1f)\n", 100 * before->mean, 100 * after->mean,
              100 * difference->mean, 100 * difference->low, 100 * difference->high);
}

static void list_turned(struct text *t, const struct eval_comparison *c, const char *name, int way, size_t most)
{
  size_t listed = 0, all = 0;
  for (size_t i = 0; i < c->problems; i++) {
    const struct eval_pair *p = &c->pairs[way > 0 ? i : c->problems - 1 - i];
    if (turn(p) != way || all++ >= most) continue;
    text_printf(t, "%-10s %s  %zu of %zu -> %zu of %zu\n", listed++ ? "" : name, p->problem, p->before_right, p->before,
                p->after_right, p->after);
  }
  if (all > listed) text_printf(t, "           and %zu more\n", all - listed);
}

static void put_audit_text(struct text *t, const struct eval_comparison *c)
{
  static const char *const edges[] = {"0",   "-10", "-20", "-30", "-40",  "-50",
                                      "-60", "-70", "-80", "-90", "<100", "100"};
  text_printf(t, "solvable   before %zu, after %zu, both %zu, neither %zu in %lld samples", c->coverage.base,
              c->coverage.trained, c->coverage.both, c->coverage.neither, (long long)c->n);
  if (c->coverage.trained)
    text_printf(t, "; %.1f %% of what is solved after was solved before", 100 * c->coverage.subset_ratio);
  if (c->crossing)
    text_printf(t, "\ncrossing   before is ahead from k = %lld on\n", (long long)c->crossing);
  else
    text_puts(t, "\ncrossing   none: before is ahead at no end of the curve\n");
  text_puts(t, "problems by accuracy in %\n          ");
  for (size_t i = 0; i < BOUNDARY_BINS; i++) text_printf(t, "%6s", edges[i]);
  text_puts(t, "\n  before  ");
  for (size_t i = 0; i < BOUNDARY_BINS; i++) text_printf(t, "%6zu", c->before_bins[i]);
  text_puts(t, "\n  after   ");
  for (size_t i = 0; i < BOUNDARY_BINS; i++) text_printf(t, "%6zu", c->after_bins[i]);
  text_puts(t, "\n");
}

static void put_moves(struct text *t, const struct eval_comparison *c)
{
  static const char *const edges[] = {"0", "-1.6 %", "-6 %", "-25 %", "-50 %", "-100 %"};
  text_puts(t, "transitions: accuracy before (rows) to after (columns)\n          ");
  for (size_t i = 0; i < c->move_bins; i++) text_printf(t, "%8s", edges[i]);
  text_puts(t, "\n");
  for (size_t i = 0; i < c->move_bins; i++) {
    text_printf(t, "  %8s", edges[i]);
    for (size_t k = 0; k < c->move_bins; k++) text_printf(t, "%8zu", c->moves[i][k]);
    text_puts(t, "\n");
  }
}

void eval_comparison_put_text(struct text *t, const struct eval_comparison *c, size_t most)
{
  text_printf(t, "problems   %zu in both", c->problems);
  if (c->only_before || c->only_after)
    text_printf(t, "; %zu only before and %zu only after are left out", c->only_before, c->only_after);
  text_puts(t, "\n           before    after  change  (95 %, paired bootstrap)\naccuracy   ");
  put_row(t, &c->before, &c->after, &c->difference);
  for (size_t i = 0; i < c->k_count; i++) {
    if (c->at[i].k == 1) continue;
    text_printf(t, "pass@%-5lld ", (long long)c->at[i].k);
    put_row(t, &c->at[i].before, &c->at[i].after, &c->at[i].difference);
  }
  text_printf(t, "McNemar    gained %zu, lost %zu: p = %.3g\n", c->gained, c->lost, c->p);
  list_turned(t, c, "gained", 1, most);
  list_turned(t, c, "lost", -1, most);
  if (c->n < 2) return;
  put_audit_text(t, c);
  put_moves(t, c);
}
