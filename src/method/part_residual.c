#include "method/part_residual.h"

#include "core/math.h"
#include "method/part_rank.h"

static void set_weights(struct residual *r, int32_t n, const struct residual_rule *rule, struct ranked *order)
{
  r->low = r->high = __builtin_nan("");
  if (!n) return;
  rank_values(r->distance, n, false, order);
  r->low = rank_quantile(order, n, rule->q_low);
  r->high = rank_quantile(order, n, rule->q_high);
  double span = r->high - r->low > 1e-6 ? r->high - r->low : 1e-6, least = rule->min_weight;
  for (int32_t i = 0; i < n; i++) {
    double past = math_clamp((r->distance[i] - r->low) / span, 0, 1);
    r->weight[i] = span < 1e-5 ? (1 + least) / 2 : least + (1 - least) * past;
  }
}

int residual_weigh(const struct residual_group *g, const struct residual_rule *rule, struct arena *a,
                   struct residual *out, struct error *err)
{
  int32_t width = g->hidden->width;
  size_t cells = (size_t)g->right_count * (size_t)width, n = (size_t)g->wrong_count + 1;
  double *x = ARENA_NEW(a, double, cells, "residual", err), *u = ARENA_NEW(a, double, (size_t)width, "residual", err);
  struct ranked *order = ARENA_NEW(a, struct ranked, n, "residual", err);
  out->distance = ARENA_NEW(a, double, n, "residual", err);
  out->weight = ARENA_NEW(a, double, n, "residual", err);
  if (!x || !u || !order || !out->distance || !out->weight) return err->code;
  for (int32_t i = 0; i < g->right_count; i++) {
    vector_row(g->hidden, g->right[i], x + (int64_t)i * width);
    subspace_layer_norm(x + (int64_t)i * width, width);
  }
  TRY(subspace_fit(x, g->right_count, width, rule->rank, rule->iterations, a, &out->subspace, err));
  for (int32_t i = 0; i < g->wrong_count; i++) {
    vector_row(g->hidden, g->wrong[i], u);
    subspace_layer_norm(u, width);
    out->distance[i] = subspace_distance(&out->subspace, u);
  }
  set_weights(out, g->wrong_count, rule, order);
  return 0;
}

double residual_work(const struct residual_rule *rule, double right, double wrong, double width)
{
  double rank = rule->rank < right - 1 ? rule->rank : right - 1;
  double normed = 5 * (right + wrong) * width;
  return normed + subspace_work(right, width, rank, rule->iterations) + 2 * wrong * rank * width;
}

double residual_length_factor(double length, double start, double longest, double end)
{
  if (length <= start) return 1;
  if (length > longest) return end;
  return 1 - (1 - end) * (length - start) / (longest - start);
}
