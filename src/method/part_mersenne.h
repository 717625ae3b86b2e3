/* method/part_mersenne: the draws of another framework, so that its recorded numbers can be computed again: MT19937
 * (Matsumoto and Nishimura, 1998) and torch.randperm on top of it. Runs draw from core/rng. */
#ifndef ASSAY_METHOD_PART_MERSENNE_H
#define ASSAY_METHOD_PART_MERSENNE_H

#include <stdint.h>

/* What torch.randperm(n) returns on a CPU after torch.manual_seed(seed). out: [n] */
void mersenne_permutation(uint32_t seed, int32_t n, int32_t *out);

#endif
