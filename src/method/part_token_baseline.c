#include "method/part_token_baseline.h"

#include "core/math.h"

double token_baseline_energy(double logp, double sum_pi_squared, double importance)
{
  return (1.0 - 2.0 * math_exp(logp) + sum_pi_squared) * importance * importance;
}

/* The longest row's number where it is longer than every other, and the second longest length. */
static int32_t find_tail(const struct token_baseline_row *rows, int32_t n, int32_t *second)
{
  int32_t longest = 0;
  *second = 0;
  for (int32_t i = 1; i < n; i++) {
    if (rows[i].count > rows[longest].count) {
      *second = rows[longest].count;
      longest = i;
    } else if (rows[i].count > *second) {
      *second = rows[i].count;
    }
  }
  return rows[longest].count > *second ? longest : -1;
}

static bool stands_at(const struct token_baseline_row *r, int32_t slot)
{
  return r->at < r->count && r->slot[r->at] == slot;
}

/* The smallest slot that is left, -1: none. */
static int32_t next_slot(const struct token_baseline_row *rows, int32_t n)
{
  int32_t slot = -1;
  for (int32_t i = 0; i < n; i++) {
    if (rows[i].at < rows[i].count && (slot < 0 || rows[i].slot[rows[i].at] < slot)) slot = rows[i].slot[rows[i].at];
  }
  return slot;
}

void token_baseline(struct token_baseline_row *rows, int32_t n, bool tail)
{
  int32_t second = 0, longest = n > 1 && tail ? find_tail(rows, n, &second) : -1;
  for (int32_t i = 0; i < n; i++) rows[i].path = rows[i].at = 0;
  for (int32_t slot; (slot = next_slot(rows, n)) >= 0;) {
    double first = 0, sum = 0, paths = 0;
    bool any = false;
    for (int32_t i = 0; i < n; i++) {
      struct token_baseline_row *r = &rows[i];
      if (!stands_at(r, slot)) continue;
      if (!any) first = r->returns[r->at];
      any = true;
      r->path += r->energy[r->at];
      sum += r->path * (r->returns[r->at] - first);
      paths += r->path;
    }
    for (int32_t i = 0; i < n; i++) {
      struct token_baseline_row *r = &rows[i];
      if (!stands_at(r, slot)) continue;
      bool alone = n == 1 || (i == longest && slot >= second);
      r->advantage[r->at] = r->returns[r->at] - (alone ? 0 : first + sum / (paths + 1e-8));
      r->at++;
    }
  }
}
