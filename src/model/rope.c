#include "model/rope.h"

#include "core/arena.h"
#include "core/math.h"

enum { CHUNK_REALS = 1 << 16 }; /* host numbers held at a time */

static const double PI = 3.14159265358979323846;

const char *model_rope_name(enum rope_kind kind)
{
  static const char *const names[] = {"default", "linear", "dynamic", "llama3", "yarn", "longrope"};
  return names[kind];
}

int model_rope_pairs(const struct model_config *c)
{
  return (c->rotary ? c->rotary : c->head_dim) / 2;
}

/* ---- the kinds ----------------------------------------------------------------------------------------------- */

static void scale_llama3(const struct rope_scaling *s, int pairs, double *frequency)
{
  double low_wavelength = s->original / s->low_freq, high_wavelength = s->original / s->high_freq;
  for (int i = 0; i < pairs; i++) {
    double f = frequency[i], wavelength = 2 * PI / f;
    double smooth = (s->original / wavelength - s->low_freq) / (s->high_freq - s->low_freq);
    if (wavelength > low_wavelength) {
      frequency[i] = f / s->factor;
    } else if (wavelength >= high_wavelength) {
      frequency[i] = (1 - smooth) * f / s->factor + smooth * f;
    }
  }
}

/* The pair that turns so often over the original positions, as a real number. */
static double yarn_pair(const struct model_config *c, double rotations)
{
  double dim = 2.0 * model_rope_pairs(c);
  return dim * math_log(c->rope.original / (rotations * 2 * PI)) / (2 * math_log(c->rope_theta));
}

static double scaling_factor(const struct rope_scaling *s)
{
  return s->factor > 0 ? s->factor : (double)s->stated_positions / s->original;
}

static void scale_yarn(const struct model_config *c, int pairs, double *frequency)
{
  const struct rope_scaling *s = &c->rope;
  double low = yarn_pair(c, s->beta_fast > 0 ? s->beta_fast : 32),
         high = yarn_pair(c, s->beta_slow > 0 ? s->beta_slow : 1), factor = scaling_factor(s), last = 2 * pairs - 1;
  if (!s->no_truncate) {
    low = math_floor(low);
    high = -math_floor(-high);
  }
  low = low > 0 ? low : 0;
  high = high < last ? high : last;
  if (!(high > low) && !(high < low)) high += 0.001;
  for (int i = 0; i < pairs; i++) {
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    frequency[i] = frequency[i] / factor * ramp + frequency[i] * (1 - ramp);
  }
}

static double yarn_mscale(double factor, double mscale)
{
  return factor <= 1 ? 1 : 0.1 * mscale * math_log(factor) + 1;
}

static double amplitude_of(const struct rope_scaling *s)
{
  double factor;
  if (s->kind != ROPE_YARN && s->kind != ROPE_LONG) return 1;
  if (s->attention_factor > 0) return s->attention_factor;
  factor = scaling_factor(s);
  if (s->kind == ROPE_LONG) return factor <= 1 ? 1 : math_sqrt(1 + math_log(factor) / math_log(s->original));
  if (s->mscale > 0 && s->mscale_all > 0) return yarn_mscale(factor, s->mscale) / yarn_mscale(factor, s->mscale_all);
  return yarn_mscale(factor, 1);
}

void model_rope_frequencies(const struct model_config *c, bool local, double *frequency, double *amplitude)
{
  int pairs = model_rope_pairs(c);
  const struct rope_scaling *s = &c->rope;
  double theta = local ? c->rope_local_theta : c->rope_theta;
  for (int i = 0; i < pairs; i++) frequency[i] = math_pow(theta, -(double)(2 * i) / (2.0 * pairs));
  *amplitude = local ? 1 : amplitude_of(s);
  if (local) return;
  if (s->kind == ROPE_LLAMA3) scale_llama3(s, pairs, frequency);
  if (s->kind == ROPE_YARN) scale_yarn(c, pairs, frequency);
  for (int i = 0; i < pairs && s->kind == ROPE_LINEAR; i++) frequency[i] /= s->factor;
  for (int i = 0; i < pairs && s->kind == ROPE_LONG; i++) frequency[i] /= s->short_factor[i];
}

/* ---- checks -------------------------------------------------------------------------------------------------- */

static int check_long(const struct model_config *c, const char *file, struct error *err)
{
  int pairs = model_rope_pairs(c);
  if (pairs > ROPE_FACTORS_MAX)
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_scaling", "longrope over %d pairs; expected at most %d", pairs,
            ROPE_FACTORS_MAX);
  for (int i = 0; i < pairs; i++)
    if (!(c->rope.short_factor[i] > 0 && c->rope.short_factor[i] < 1e9))
      FAIL_AT(err, ERROR_INPUT, file, 0, "short_factor", "short_factor %d is %g; expected a positive number", i,
              c->rope.short_factor[i]);
  return 0;
}

static bool uses_original(enum rope_kind kind)
{
  return kind == ROPE_LLAMA3 || kind == ROPE_YARN || kind == ROPE_LONG;
}

/* Yarn and longrope may leave it out. */
static bool factor_is_good(const struct rope_scaling *s)
{
  bool needed = s->kind == ROPE_LINEAR || s->kind == ROPE_DYNAMIC || s->kind == ROPE_LLAMA3;
  return (!needed && !(s->factor > 0)) || (s->factor >= 1 && s->factor <= 1e6);
}

int model_rope_check(const struct model_config *c, const char *file, struct error *err)
{
  const struct rope_scaling *s = &c->rope;
  if (s->kind == ROPE_PLAIN) return 0;
  if (!factor_is_good(s))
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_scaling", "the factor of %s rope scaling is %g; expected 1 to 1e6",
            model_rope_name(s->kind), s->factor);
  if (uses_original(s->kind) && (s->original < 2 || s->original > 1 << 28))
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_scaling",
            "%s rope scaling needs original_max_position_embeddings; found %d, expected 2 or more",
            model_rope_name(s->kind), s->original);
  if (s->kind == ROPE_LLAMA3 && !(s->low_freq > 0 && s->high_freq > s->low_freq && s->high_freq < 1e9))
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_scaling",
            "low_freq_factor %g and high_freq_factor %g; expected 0 < low < high", s->low_freq, s->high_freq);
  if (s->kind == ROPE_YARN && c->rope_theta <= 1)
    FAIL_AT(err, ERROR_INPUT, file, 0, "rope_theta", "yarn needs a rope_theta above 1");
  return s->kind == ROPE_LONG ? check_long(c, file, err) : 0;
}

/* ---- the table ----------------------------------------------------------------------------------------------- */

/* cos and sin of position * frequency, in f64 (Su et al. 2021, eq. 15). */
static void fill(struct device *d, const double *frequency, double amplitude, size_t half, size_t positions,
                 double *table, struct buffer *to)
{
  size_t chunk = CHUNK_REALS / (2 * half);
  for (size_t first = 0; first < positions; first += chunk) {
    size_t rows = positions - first < chunk ? positions - first : chunk;
    for (size_t r = 0; r < rows; r++) {
      for (size_t i = 0; i < half; i++) {
        double angle = (double)(first + r) * frequency[i];
        table[(r * half + i) * 2] = math_cos(angle) * amplitude;
        table[(r * half + i) * 2 + 1] = math_sin(angle) * amplitude;
      }
    }
    buffer_write(d, (struct view){to, first * half * 2}, table, HOST_F64, rows * half * 2);
  }
}

int model_rope_create(struct device *d, const struct model_config *c, bool local, int positions, struct buffer **out,
                      struct error *err)
{
  size_t half = (size_t)model_rope_pairs(c);
  TRY(buffer_create(d, (size_t)positions * half * 2, "model.rope", out, err));
  double *frequency = memory_alloc(half, sizeof *frequency, "model.rope", err);
  double *table = memory_alloc(CHUNK_REALS, sizeof *table, "model.rope", err);
  double amplitude;
  int rc = frequency && table ? 0 : ERROR_RESOURCE;
  if (!rc) {
    model_rope_frequencies(c, local, frequency, &amplitude);
    fill(d, frequency, amplitude, half, (size_t)positions, table, *out);
  }
  memory_free(frequency);
  memory_free(table);
  return rc;
}
