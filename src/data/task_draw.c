#include "data/task_draw.h"
#include <string.h>

struct draw draw_start(uint64_t seed, uint32_t split_key, uint64_t index, uint32_t attempt)
{
  /* group keeps these apart from data/task_pairs, which has 0 and 1 there. */
  return (struct draw){.seed = seed,
                       .at = {.purpose = RNG_TASK,
                              .step = (uint32_t)(index >> 32),
                              .position = (uint32_t)index,
                              .group = 0x64726177u,
                              .attempt = attempt,
                              .rollout = split_key}};
}

static uint32_t next_word(struct draw *d)
{
  if (!d->left) {
    rng_block(d->seed, &d->at, d->bits);
    d->at.draw++;
    d->left = 4;
  }
  return d->bits[4 - d->left--];
}

uint64_t draw_bits(struct draw *d)
{
  uint64_t high = next_word(d);
  return high << 32 | next_word(d);
}

/* As many bits as the span needs, drawn again while they lie outside. */
int64_t draw_int(struct draw *d, int64_t low, int64_t high)
{
  ASSAY_BUG_IF(low > high);
  uint64_t span = (uint64_t)high - (uint64_t)low, mask = span;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  for (;;) {
    uint64_t value = (mask >> 32 ? draw_bits(d) : next_word(d)) & mask;
    if (value <= span) return (int64_t)((uint64_t)low + value);
  }
}

size_t draw_index(struct draw *d, size_t n)
{
  ASSAY_BUG_IF(n == 0);
  return (size_t)draw_int(d, 0, (int64_t)n - 1);
}

double draw_unit(struct draw *d)
{
  return (double)(draw_bits(d) >> 11) * 0x1p-53;
}

bool draw_chance(struct draw *d, double p)
{
  return draw_unit(d) < p;
}

void draw_shuffle(struct draw *d, void *items, size_t count, size_t item_size)
{
  unsigned char kept[256], *bytes = items;
  ASSAY_BUG_IF(item_size > sizeof kept);
  for (size_t i = count; i > 1; i--) {
    size_t j = draw_index(d, i);
    memcpy(kept, bytes + j * item_size, item_size);
    memmove(bytes + j * item_size, bytes + (i - 1) * item_size, item_size);
    memcpy(bytes + (i - 1) * item_size, kept, item_size);
  }
}

/* A number in [0, 1) that depends on the text and the task alone: Philox chained over blocks of 8 bytes, the length in
 * the last. */
static double place(uint32_t split_key, const char *s)
{
  const uint32_t key[2] = {split_key, 0x5eed0002u};
  uint32_t h[4] = {0};
  size_t n = strlen(s);
  for (size_t at = 0; at < n; at += 8) {
    uint64_t word = 0;
    for (size_t i = 0; i < 8 && at + i < n; i++) word |= (uint64_t)(unsigned char)s[at + i] << 8 * i;
    const uint32_t counter[4] = {h[0] ^ (uint32_t)word, h[1] ^ (uint32_t)(word >> 32), h[2], h[3]};
    rng_philox(counter, key, h);
  }
  const uint32_t last[4] = {h[0], h[1], h[2] ^ (uint32_t)n, h[3] ^ 0x80000000u};
  rng_philox(last, key, h);
  return (double)h[0] / 4294967296.0;
}

bool draw_wanted(const struct draw *d, const char *canonical)
{
  return (place(d->at.rollout, canonical) < d->held_fraction) == d->held_out;
}

int task_draw(struct arena *a, const struct task_config *c, uint64_t index, uint32_t split_key, task_draw_one one,
              struct task_problem *out, struct error *err)
{
  double held_out = task_value(c, "held_out")->real;
  for (uint32_t attempt = 0; attempt < TASK_DRAW_LIMIT; attempt++) {
    struct arena_mark mark = arena_mark(a);
    struct draw d = draw_start(c->seed, split_key, index, attempt);
    d.held_fraction = held_out;
    d.held_out = c->held_out;
    *out = (struct task_problem){0};
    TRY(one(a, c, &d, out, err));
    ASSAY_BUG_IF(!out->question || !out->answer || !out->meta);
    if (draw_wanted(&d, d.canonical ? d.canonical : out->question)) return 0;
    arena_release(a, mark);
  }
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "held_out",
          "found no %s problem of task %s in %d draws with held_out: %g; expected some: this difficulty leaves too few "
          "problems for that side; make it harder, or change held_out",
          c->held_out ? "held-out" : "train", c->task->name, TASK_DRAW_LIMIT, held_out);
}

int task_draw_open(struct arena *a, struct task_config *c, uint32_t split_key, task_draw_one one, struct error *err)
{
  struct task_problem p;
  struct arena_mark mark = arena_mark(a);
  c->count = 0;
  TRY(task_draw(a, c, 0, split_key, one, &p, err));
  arena_release(a, mark);
  return 0;
}

int task_need_order(const struct task_config *c, const char *low, const char *high, struct error *err)
{
  const struct setting_value *from = task_value(c, low), *to = task_value(c, high);
  if (from->real > to->real || from->integer > to->integer)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, low, "found %s above %s (%s and %s); expected at most the same", low, high,
            from->text, to->text);
  return 0;
}

int64_t task_int(const struct task_config *c, const char *name)
{
  return task_value(c, name)->integer;
}

int64_t task_draw_between(const struct task_config *c, struct draw *d, const char *low, const char *high)
{
  return draw_int(d, task_int(c, low), task_int(c, high));
}
