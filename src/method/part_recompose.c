#include "method/part_recompose.h"

#include <stdlib.h>

#include "core/math.h"
#include "method/part_rank.h"

double recompose_cosine(double start, double end, int64_t s, int64_t steps)
{
  const double pi = 3.14159265358979323846;
  if (s >= steps) return end;
  return end + 0.5 * (start - end) * (1 + math_cos(pi * (double)s / (double)steps));
}

double recompose_rounding(double alpha, double n)
{
  const double most = 1e6; /* of more nothing is seen */
  int32_t count = (int32_t)(n < most ? n : most);
  if (count < 2) return count ? rank_count(alpha, 1, RANK_CEIL) - alpha : 0;
  double taken = 0;
  for (int32_t k = 1; k < count; k++) taken += 2.0 * rank_count(alpha, k, RANK_CEIL); /* k and count - k */
  return taken / (count - 1.0) / count - alpha;
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

struct candidate {
  double measure, length;
  int32_t index;
};

static int compare_numbers(double a, double b)
{
  return (a > b) - (a < b);
}

static int shortest_first(const void *x, const void *y)
{
  const struct candidate *a = x, *b = y;
  int by = compare_numbers(a->measure, b->measure);
  if (!by) by = compare_numbers(a->length, b->length);
  return by ? by : (a->index > b->index) - (a->index < b->index);
}

static int longest_first(const void *x, const void *y)
{
  const struct candidate *a = x, *b = y;
  int by = compare_numbers(b->measure, a->measure);
  if (!by) by = compare_numbers(b->length, a->length);
  return by ? by : (a->index > b->index) - (a->index < b->index);
}

/* One side of one scope (-1: all groups). */
static void select_side(const struct recompose_rule *r, const struct recompose_batch *b, int32_t scope, bool right,
                        struct candidate *side, struct recomposed *out)
{
  int32_t n = 0;
  for (int32_t i = 0; i < b->count; i++) {
    if (out->part[i] == RECOMPOSE_LEFT_OUT || (scope >= 0 && b->group[i] != scope)) continue;
    if ((b->reward[i] > r->threshold) != right) continue;
    side[n++] = (struct candidate){b->measure ? b->measure[i] : 0, b->length[i], i};
  }
  if (n > 1) qsort(side, (size_t)n, sizeof *side, right ? shortest_first : longest_first);
  n = rank_count(r->alpha, n, RANK_CEIL);
  for (int32_t k = 0; k < n; k++) {
    out->part[side[k].index] = RECOMPOSE_PRIORITY;
    out->priority[out->priority_count++] = side[k].index;
  }
}

/* Groups whose rewards are all those of their first response. */
static int leave_equal(struct arena *a, const struct recompose_batch *b, enum recompose_part *part, struct error *err)
{
  int32_t *first = ARENA_NEW(a, int32_t, (size_t)b->groups + 1, "recomposition", err);
  bool *mixed = ARENA_NEW(a, bool, (size_t)b->groups + 1, "recomposition", err);
  if (!first || !mixed) return err->code;
  for (int32_t i = b->count; i-- > 0;) first[b->group[i]] = i;
  for (int32_t i = 0; i < b->count; i++) {
    double x = b->reward[i], y = b->reward[first[b->group[i]]];
    if (x < y || x > y) mixed[b->group[i]] = true;
  }
  for (int32_t i = 0; i < b->count; i++)
    if (!mixed[b->group[i]]) part[i] = RECOMPOSE_LEFT_OUT;
  return 0;
}

int recompose(struct arena *a, const struct recompose_rule *r, const struct recompose_batch *b, struct recomposed *out,
              struct error *err)
{
  size_t n = (size_t)b->count + 1;
  *out = (struct recomposed){.part = ARENA_NEW(a, enum recompose_part, n, "recomposition", err),
                             .priority = ARENA_NEW(a, int32_t, n, "recomposition", err)};
  struct candidate *side = ARENA_NEW(a, struct candidate, n, "recomposition", err);
  if (!out->part || !out->priority || !side) return err->code;
  for (int32_t i = 0; i < b->count; i++) out->part[i] = b->length[i] > 0 ? RECOMPOSE_REST : RECOMPOSE_LEFT_OUT;
  if (r->drop_equal) TRY(leave_equal(a, b, out->part, err));
  for (int32_t scope = r->batch_scope ? -1 : 0; scope < (r->batch_scope ? 0 : b->groups); scope++) {
    select_side(r, b, scope, true, side, out);
    select_side(r, b, scope, false, side, out);
  }
  return 0;
}

/* ---- the buffer -------------------------------------------------------------------------------------------------- */

struct recompose_turn recompose_turn(const struct recompose_buffer_rule *r, const int64_t *origin, int64_t count,
                                     int64_t pushed, int64_t step, double draw)
{
  struct recompose_turn t = {0};
  while (r->max_age && t.aged < count && step - origin[t.aged] > r->max_age) t.aged++;
  int64_t left = count - t.aged + pushed;
  t.due = left >= r->capacity;
  if (t.due && draw < r->p_comp) t.popped = r->batch < left ? r->batch : left;
  left -= t.popped;
  t.over = left > r->capacity ? left - r->capacity : 0;
  return t;
}
