/* method/part_vectors: rows of vectors, one a token, in the precision in which they came: f32 from a model, f64 from a
 * document of `assay calc`. Formulas read them as f64. */
#ifndef ASSAY_METHOD_PART_VECTORS_H
#define ASSAY_METHOD_PART_VECTORS_H

#include <stdint.h>

struct vector_rows {
  const float *const *f32; /* [count] where each row is, or NULL */
  const double *f64;       /* [count][width] */
  int32_t width;
};

/* Row i in *out, [width]. */
static inline void vector_row(const struct vector_rows *v, int64_t i, double *out)
{
  for (int32_t k = 0; k < v->width; k++) out[k] = v->f32 ? (double)v->f32[i][k] : v->f64[i * v->width + k];
}

#endif
