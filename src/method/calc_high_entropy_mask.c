/* Which tokens are among the most uncertain, as TRL decides it: entropy at least the quantile of all tokens' in f32. */
#include <string.h>
#include "method/part_entropy.h"
#include "method/part_grid.h"

static const struct grid_names names = {.mask = "mask", .entropy = "entropies"};

static int compute(struct calc_case *c, struct error *err)
{
  struct grid g;
  double threshold;
  TRY(grid_open(c, &names, &g, err));
  TRY(calc_real(c, "threshold", 0.8, &threshold, err));
  double *x = ARENA_NEW(c->arena, double, 2 * (size_t)g.batch.count, "calc", err), *keep = x + g.batch.count;
  if (!x) return err->code;
  memcpy(x, g.batch.entropy, (size_t)g.batch.count * sizeof *x);
  double least = entropy_quantile_f32(x, (size_t)g.batch.count, threshold);
  for (int32_t i = 0; i < g.batch.count; i++) keep[i] = g.batch.entropy[i] >= least;
  json_object_set_new(c->outputs, "mask", grid_rectangle(&g, keep));
  return 0;
}

const struct calc calc_high_entropy_mask = {
    .function = "high_entropy_mask",
    .help = "tokens of the largest entropy, as TRL chooses them",
    .compute = compute,
};
