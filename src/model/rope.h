/* model/rope: rotary angles of positions, plain and scaled, as transformers computes them (modeling_rope_utils), in
 * f64.
 *
 * With f_i = theta^(-2i / R), R = rotary dimensions, the angle of position p and pair i is p g_i, and cos and sin are
 * multiplied by a:
 *
 *   plain     g = f, a = 1
 *   linear    g = f / factor
 *   dynamic   g = f: the base grows only behind max_position_embeddings, where no path goes
 *   llama3    by wavelength 2 pi / f (Llama 3.1): f where it is below original / high_freq_factor, f / factor where it
 * is above original / low_freq_factor, between them (1 - s) f / factor + s f with s = (original / wavelength - low) /
 * (high - low) yarn      Peng et al. 2023: a ramp over i between f / factor and f, from beta_fast to beta_slow
 * rotations; a = 0.1 ln(factor) + 1, or the ratio of that form for mscale and mscale_all_dim longrope  Ding et al.
 * 2024: g = f / short_factor_i, a = sqrt(1 + ln(factor) / ln(original))
 */
#ifndef ASSAY_MODEL_ROPE_H
#define ASSAY_MODEL_ROPE_H

#include "model/model.h"

const char *model_rope_name(enum rope_kind kind);   /* "default", "linear", "dynamic", "llama3", "yarn", "longrope" */
int model_rope_pairs(const struct model_config *c); /* rotary / 2 */

/* g [pairs] and a. local: of the layers with a window, by rope_local_theta and never scaled. */
void model_rope_frequencies(const struct model_config *c, bool local, double *frequency, double *amplitude);

/* ERROR_INPUT where the scaling's numbers make no sense. */
int model_rope_check(const struct model_config *c, const char *file, struct error *err) MUST_USE;

/* The table of cos and sin, [positions, pairs, 2], rounded once by the device. */
int model_rope_create(struct device *d, const struct model_config *c, bool local, int positions, struct buffer **out,
                      struct error *err) MUST_USE;

#endif
