/* data/task_draw: tasks whose problems are drawn at random: the random numbers of a problem, and the draw that is
 * repeated until the problem is on the wanted side.
 *
 * Problem i of a seed is the first of its attempts 0, 1, 2, ... that falls on the side asked for. The side is a hash of
 * the problem's question (or of the canonical text that its `one` sets, for problems that can be put in several orders)
 * under the task's split key: the run's seed has no part in it, so no problem is ever on both sides.
 *
 *     static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out, ...);
 *     static const struct setting options[] = {..., TASK_HELD_OUT};
 *     open: read options; return task_draw_open(a, c, 0x6cd00001u, one, err);
 *     make: return task_draw(a, c, index, 0x6cd00001u, one, out, err);
 */
#ifndef ASSAY_DATA_TASK_DRAW_H
#define ASSAY_DATA_TASK_DRAW_H

#include "core/rng.h"
#include "data/task.h"

enum { TASK_DRAW_LIMIT = 4096 /* attempts until a problem falls on the wanted side */ };

/* The row of the options that every drawn task has. */
#define TASK_HELD_OUT                                                                                            \
  {                                                                                                              \
    "held_out", SETTING_REAL, 0, 0.9, "0.1", NULL, "fraction of the problems that are held out (by the problem)" \
  }

/* The random numbers of one attempt at one problem, in order. */
struct draw {
  uint64_t seed;
  struct rng_at at;
  uint32_t bits[4];
  int left;             /* words of bits that are still unused */
  double held_fraction; /* with held_out, the side that is wanted: set by task_draw */
  bool held_out;
  const char
      *canonical; /* arena text, set by `one` where the question alone does not say which problems are the same */
};

/* attempt: a draw of its own for each. */
struct draw draw_start(uint64_t seed, uint32_t split_key, uint64_t index, uint32_t attempt);
uint64_t draw_bits(struct draw *d);                          /* 64 random bits */
int64_t draw_int(struct draw *d, int64_t low, int64_t high); /* both allowed, unbiased; low <= high */
size_t draw_index(struct draw *d, size_t n);                 /* 0..n-1; n >= 1 */
double draw_unit(struct draw *d);                            /* [0, 1), 53 bits */
bool draw_chance(struct draw *d, double p);                  /* true with probability p */
void draw_shuffle(struct draw *d, void *items, size_t count, size_t item_size); /* Fisher-Yates; item_size <= 256 */

/* Whether the problem with this canonical text is on the wanted side: for a `one` whose problem is worth knowing that
 * before it is worked out. */
bool draw_wanted(const struct draw *d, const char *canonical);

/* Draws one problem of the configuration into arena a. All of out but prompt (NULL unless it sets it) must be set. */
typedef int (*task_draw_one)(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                             struct error *err);

/* Problem index of the configuration. ERROR_INPUT where TASK_DRAW_LIMIT attempts found none on this side: the
 * difficulty leaves too few problems. Rejected attempts leave nothing in the arena. */
int task_draw(struct arena *a, const struct task_config *c, uint64_t index, uint32_t split_key, task_draw_one one,
              struct task_problem *out, struct error *err) MUST_USE;
/* The end of an open: endless, and the first problem can be made (so that a hopeless difficulty fails at once). */
int task_draw_open(struct arena *a, struct task_config *c, uint32_t split_key, task_draw_one one,
                   struct error *err) MUST_USE;

/* ERROR_INPUT unless the option `low` is at most the option `high`. */
int task_need_order(const struct task_config *c, const char *low, const char *high, struct error *err) MUST_USE;
int64_t task_int(const struct task_config *c, const char *name); /* task_value(c, name)->integer */
/* A number between the options low and high, both allowed. */
int64_t task_draw_between(const struct task_config *c, struct draw *d, const char *low, const char *high);

#endif
