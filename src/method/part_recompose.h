/* method/part_recompose: which scored responses are trained at once and which later (RoRecomp, arXiv 2509.25958).
 *
 *     C, W   right and wrong responses of a scope: C by length rising, W falling, ties in sampling order
 *     P      the first ceil(alpha |C|) of C, then the first ceil(alpha |W|) of W: trained in this step
 *     rest   into a buffer, first in first out
 *
 *     each step: what is older than max_age goes; the rest is appended; with `capacity` entries or more the
 *     compensation is due, and if draw < p_comp the oldest `batch` leave for one more update; the oldest beyond
 *     `capacity` go
 *
 * 0.7 of 10 is 7, although 0.7 * 10 > 7 in binary. Responses without a token are in neither part; nor, where drop_equal
 * says so, are groups of equal rewards.
 */
#ifndef ASSAY_METHOD_PART_RECOMPOSE_H
#define ASSAY_METHOD_PART_RECOMPOSE_H

#include "core/arena.h"

struct recompose_rule {
  double alpha;     /* share of each side that is trained at once */
  bool batch_scope; /* sides are formed over the whole batch, not group by group */
  bool drop_equal;
  double threshold; /* a response is right where its reward is above it */
};
struct recompose_batch {
  int32_t count, groups;
  const int32_t *group;  /* [count] 0 .. groups - 1 */
  const double *reward;  /* [count] */
  const double *length;  /* [count] tokens */
  const double *measure; /* [count] what comes before the tokens, such as tool calls; NULL: nothing */
};
enum recompose_part { RECOMPOSE_REST, RECOMPOSE_PRIORITY, RECOMPOSE_LEFT_OUT };
struct recomposed {
  enum recompose_part *part; /* [count] */
  int32_t *priority;         /* [priority_count] scope by scope, the right ones first, in the order of selection */
  int32_t priority_count;
};
/* In arena a. */
int recompose(struct arena *a, const struct recompose_rule *r, const struct recompose_batch *b, struct recomposed *out,
              struct error *err) MUST_USE;

/* What rounding up adds to a scope of n responses, in shares of n, where every number of right ones but none and all is
 * as likely: mean over k = 1 .. n - 1 of (ceil(alpha k) + ceil(alpha (n - k))) / n, less alpha. */
double recompose_rounding(double alpha, double n);

/* end + (start - end) (1 + cos(pi s / steps)) / 2 at s = 0, 1, ...; end from s = steps on. */
double recompose_cosine(double start, double end, int64_t s, int64_t steps);

struct recompose_buffer_rule {
  int64_t capacity, batch; /* entries, both 1 or more */
  double p_comp;
  int64_t max_age; /* steps; 0: off */
};
/* Entries leave at the front: first aged, then (the new ones are appended) popped, then over. */
struct recompose_turn {
  int64_t aged, popped, over;
  bool due;
};
/* origin: [count] the steps of the entries before the new ones, oldest first. */
struct recompose_turn recompose_turn(const struct recompose_buffer_rule *r, const int64_t *origin, int64_t count,
                                     int64_t pushed, int64_t step, double draw);

#endif
