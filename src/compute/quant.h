/* compute/quant: ggml's block types in which a frozen matrix may stay in memory (weight_create_quantised).
 *
 * A row of a matrix is cut into blocks of 32 or 256 values; a block holds a scale (with some an offset), at two levels
 * in the K types, and codes of 4 to 8 bits. A value is made as ggml's reference makes it, every operation rounded to
 * f32 by itself:
 *
 *   Q8_0, Q4_0, Q5_0    d * (q - zero)                Q4_1, Q5_1    d * q + m
 *   Q6_K                (d * s) * (q - 32)            Q4_K, Q5_K    (d * s) * q - (dmin * t)
 *
 * Numbers are GGUF's, so a tensor's type is a quant_type where quant_known says so.
 */
#ifndef ASSAY_COMPUTE_QUANT_H
#define ASSAY_COMPUTE_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quant_type {
  QUANT_NONE = 0,
  QUANT_Q4_0 = 2,
  QUANT_Q4_1 = 3,
  QUANT_Q5_0 = 6,
  QUANT_Q5_1 = 7,
  QUANT_Q8_0 = 8,
  QUANT_Q4_K = 12,
  QUANT_Q5_K = 13,
  QUANT_Q6_K = 14
};
#define QUANT_NAMES "Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K"

/* Is it one of those above? Takes any number of a file. */
bool quant_known(uint32_t type);
/* Values and bytes of one block as ggml stores it. Rows are whole blocks. */
size_t quant_block(enum quant_type type);
size_t quant_block_bytes(enum quant_type type);
/* Bytes of an [n, k] matrix in memory: as in a file, n up to a multiple of 16. */
size_t quant_matrix_bytes(enum quant_type type, size_t n, size_t k);

/* Rounding to blocks is there for Q8_0 and Q4_0: ggml's reference (quantize_row_q8_0_ref, quantize_row_q4_0_ref), the
   same bytes. n values, whole blocks, all finite. */
bool quant_can_write(enum quant_type type);
void quant_write(enum quant_type type, const float *from, size_t n, uint8_t *to);

#endif
