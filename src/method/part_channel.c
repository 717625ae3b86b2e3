#include "method/part_channel.h"

#include "core/math.h"
#include "method/part_group.h"

double channel_clear(const struct error_rates *o)
{
  double c = 1 - o->rho0 - o->rho1;
  return c > o->floor ? c : o->floor;
}

double channel_corrected(const struct error_rates *o, enum channel_mode mode, double reward)
{
  if (mode == CHANNEL_BACKWARD) return (reward - o->rho0) / channel_clear(o);
  return mode == CHANNEL_FORWARD ? reward - (1 - o->rho1) : reward;
}

double channel_scale(const struct error_rates *o, enum channel_scale scale)
{
  if (scale == CHANNEL_SCALE_CLEAR) return channel_clear(o);
  if (scale == CHANNEL_SCALE_ONE) return 1;
  return 1 - o->rho1 > o->floor ? 1 - o->rho1 : o->floor;
}

bool channel_leaves_one_out(enum channel_mode mode, enum channel_baseline baseline)
{
  return baseline == CHANNEL_BASELINE_AUTO ? mode == CHANNEL_BACKWARD : baseline == CHANNEL_BASELINE_LOO;
}

void channel_credit(const struct error_rates *o, enum channel_mode mode, bool leave_one_out, double scale,
                    const double *reward, int32_t n, double *x, double *advantage)
{
  for (int32_t i = 0; i < n; i++) x[i] = channel_corrected(o, mode, reward[i]);
  if (leave_one_out)
    group_leave_one_out(x, n, advantage);
  else
    for (int32_t i = 0; i < n; i++) advantage[i] = x[i];
  for (int32_t i = 0; i < n; i++) advantage[i] /= scale;
}

bool channel_flips(bool right, double rho0, double rho1, double u)
{
  return u < (right ? rho1 : rho0);
}

struct appeal channel_appeal(const struct appeal_options *o, double rho1, double flips, double positives)
{
  double fn = flips / o->q, p = (fn + o->prior_a) / (fn + positives + o->prior_a + o->prior_b);
  bool empty = !(fn + positives > 0);
  return (struct appeal){fn, p, o->skip_empty && empty ? rho1 : o->decay * rho1 + (1 - o->decay) * p};
}

struct audit channel_audit(const double *a, const double *b, int64_t n)
{
  double sum = 0, most = 0, aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = math_abs(a[i] - b[i]);
    sum += d;
    most = d > most ? d : most;
    aa += a[i] * a[i];
    bb += b[i] * b[i];
    ab += a[i] * b[i];
  }
  double by = math_sqrt(aa) * math_sqrt(bb);
  return (struct audit){n ? sum / (double)n : 0, most, by > 0 ? ab / by : 0};
}
