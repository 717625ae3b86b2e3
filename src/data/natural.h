/* data/natural: whole numbers of up to 1152 decimal digits, for exact comparison. Going past that is a bug: data/number
 * bounds what it reads. */
#ifndef ASSAY_DATA_NATURAL_H
#define ASSAY_DATA_NATURAL_H

#include "data/number.h"

void natural_set(struct natural *x, uint64_t value);
void natural_multiply_add(struct natural *x, uint32_t factor,
                          uint32_t term);                     /* x = x * factor + term; factor <= 10^9, term < 10^9 */
void natural_shift(struct natural *x, int zeros);             /* x = x * 10^zeros */
void natural_add(struct natural *x, const struct natural *y); /* x = x + y */
void natural_multiply(const struct natural *x, const struct natural *y,
                      struct natural *out); /* out is neither x nor y */
bool natural_equal(const struct natural *x, const struct natural *y);

#endif
