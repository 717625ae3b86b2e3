/* reward/math_flint: GMP, FLINT and Arb behind one header. FLINT 3 has Arb inside (flint/arb.h); FLINT 2 comes with Arb
 * as a library of its own (arb.h). Nothing else includes them.
 *
 * They end the process where a size overflows or memory is lacking, so sizes are bounded before each call: exponents,
 * bits and digits have limits in math_node.h.
 */
#ifndef ASSAY_REWARD_MATH_FLINT_H
#define ASSAY_REWARD_MATH_FLINT_H

#include <gmp.h>
/* gmp.h before FLINT, so that its functions on mpz_t exist. */
#include <flint/flint.h>
#include <flint/fmpq.h>
#include <flint/fmpq_mpoly.h>
#include <flint/fmpz.h>
#if __has_include(<flint/acb.h>)
#include <flint/acb.h>
#else
#include <acb.h>
#endif

/* The caches that FLINT keeps for the calling thread are freed when the thread ends. Call it before the first use. */
void math_flint_enter(void);

#endif
