#include "data/natural.h"
#include <string.h>
#include "core/error.h"

enum { BASE = 1000000000 };

void natural_set(struct natural *x, uint64_t value)
{
  memset(x, 0, sizeof *x);
  for (; value; value /= BASE) x->limb[x->size++] = (uint32_t)(value % BASE);
}

void natural_multiply_add(struct natural *x, uint32_t factor, uint32_t term)
{
  uint64_t carry = term;
  for (int i = 0; i < x->size; i++) {
    carry += (uint64_t)x->limb[i] * factor;
    x->limb[i] = (uint32_t)(carry % BASE);
    carry /= BASE;
  }
  if (!carry) return;
  ASSAY_BUG_IF(x->size == NUMBER_LIMBS);
  x->limb[x->size++] = (uint32_t)carry;
}

void natural_shift(struct natural *x, int zeros)
{
  for (; zeros >= 9; zeros -= 9) natural_multiply_add(x, BASE, 0);
  for (; zeros > 0; zeros--) natural_multiply_add(x, 10, 0);
}

void natural_add(struct natural *x, const struct natural *y)
{
  uint32_t carry = 0;
  for (int i = 0; i < y->size || carry; i++) {
    ASSAY_BUG_IF(i == NUMBER_LIMBS);
    uint32_t sum = (i < x->size ? x->limb[i] : 0) + (i < y->size ? y->limb[i] : 0) + carry;
    carry = sum >= BASE;
    x->limb[i] = sum - (carry ? BASE : 0);
    if (i >= x->size) x->size = i + 1;
  }
}

void natural_multiply(const struct natural *x, const struct natural *y, struct natural *out)
{
  memset(out, 0, sizeof *out);
  if (!x->size || !y->size) return;
  ASSAY_BUG_IF(x->size + y->size > NUMBER_LIMBS);
  for (int i = 0; i < x->size; i++) {
    uint64_t carry = 0;
    for (int j = 0; j < y->size || carry; j++) {
      carry += out->limb[i + j] + (uint64_t)x->limb[i] * (j < y->size ? y->limb[j] : 0);
      out->limb[i + j] = (uint32_t)(carry % BASE);
      carry /= BASE;
    }
  }
  out->size = x->size + y->size;
  while (out->size && !out->limb[out->size - 1]) out->size--;
}

bool natural_equal(const struct natural *x, const struct natural *y)
{
  return x->size == y->size && !memcmp(x->limb, y->limb, (size_t)x->size * sizeof *x->limb);
}
