/* method/part_entropy: which tokens are the uncertain ones (arXiv 2506.01939, section 5). */
#ifndef ASSAY_METHOD_PART_ENTROPY_H
#define ASSAY_METHOD_PART_ENTROPY_H

#include <stddef.h>

/* The q-quantile with linear interpolation, in f32 throughout as torch.quantile of a float tensor; x is rounded to f32
 * and sorted in place. n 0: +inf. */
double entropy_quantile_f32(double *x, size_t n, double q);

#endif
