/* cuda/cuda: what the CUDA backend is inside. A GPU keeps numbers in the layouts of compute/device.h, in its own
 * memory; operations are launches on one stream, in the order of the calls. Host arrays (tokens, runs, pairs) are
 * copied at the call, so that they need not live longer.
 *
 * Only this folder includes this header. It is compiled as C++ by nvcc and as C for the emulated device (kernel.h).
 */
#ifndef ASSAY_COMPUTE_CUDA_CUDA_H
#define ASSAY_COMPUTE_CUDA_CUDA_H

#include "compute/cuda/kernel.h"

#ifdef __cplusplus
extern "C" {
#endif
#include "compute/logits.h"
#include "core/arena.h"
#include "core/math.h"
#ifdef __cplusplus
}
#endif

/* Every slot of struct backend_ops; CUDA_NAME(slot) is its function. */
/* clang-format off */
#define CUDA_SLOTS(X)                                                                                            \
  X(embed) X(embed_backward) X(embed_join) X(gemm) X(gemm_dx) X(gemm_dw) X(rmsnorm) X(rmsnorm_backward) X(rope)  \
  X(kv_write) X(kv_read) X(attention) X(attention_backward) X(swiglu) X(swiglu_backward) X(geglu)                \
  X(geglu_backward) X(scale) X(mul) X(softcap) X(add) X(copy) X(zero) X(gather) X(scatter) X(head_logits)        \
  X(head_score) X(head_backward) X(head_top) X(head_sample) X(sample_start) X(sample_take) X(adamw)              \
  X(weight_zero_grad) X(sum_squares) X(find_not_finite)
/* clang-format on */
#define CUDA_DECLARE(slot) __typeof__(*((struct backend_ops *)0)->slot) CUDA_NAME(slot);
CUDA_SLOTS(CUDA_DECLARE)

/* Those of compute type bf16 that are functions of their own; the others see device.type. */
#define CUDA_BF16_SLOTS(X)      X(embed) X(gemm) X(gemm_dx) X(gemm_dw) X(attention) X(attention_backward)
#define CUDA_DECLARE_BF16(slot) __typeof__(*((struct backend_ops *)0)->slot) CUDA_NAME(slot##_bf16);
CUDA_BF16_SLOTS(CUDA_DECLARE_BF16)

/* Puts a kernel into the device's list; its arguments are copied. TEAM: its threads wait for one another. shared: bytes
   of shared memory beside what the kernel declares (hopper.h: shared_room). */
#define LAUNCH(d, name, x, y, threads, args) \
  CUDA_NAME(queue_launch)                    \
  ((d), ENTRY(name), #name, (size_t)(x), (size_t)(y), (int)(threads), false, 0, &(args), sizeof(args))
#define LAUNCH_TEAM(d, name, x, y, threads, args) \
  CUDA_NAME(queue_launch)                         \
  ((d), ENTRY(name), #name, (size_t)(x), (size_t)(y), (int)(threads), true, 0, &(args), sizeof(args))
void CUDA_NAME(queue_launch)(struct device *d, kernel_entry entry, const char *name, size_t blocks_x, size_t blocks_y,
                             int threads, bool waits, size_t shared, const void *args, size_t size);

/* Launches NAME, or NAME_half where the compute type is bf16. */
#define LAUNCH_TYPE(d, name, x, y, threads, args)  \
  do {                                             \
    if ((d)->type == COMPUTE_BF16)                 \
      LAUNCH(d, name##_half, x, y, threads, args); \
    else                                           \
      LAUNCH(d, name, x, y, threads, args);        \
  } while (0)

/* blocks.cu: embed of a matrix in blocks, checked by the caller. */
void CUDA_NAME(embed_blocks)(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y);
/* gemm.cu: grad(b)[n] = chain of additions of dy[m, n]. */
void CUDA_NAME(gemm_bias)(struct device *d, struct weight *b, int32_t m, struct view dy);
/* gemm_hopper.cu: what gemm_bf16, gemm_dx_bf16 and gemm_dw_bf16 are on a device of PRODUCTS_WGMMA (queue.h); dw without
   its bias. */
void CUDA_NAME(wide_gemm)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                          struct view y);
void CUDA_NAME(wide_gemm_dx)(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                             bool accumulate);
void CUDA_NAME(wide_gemm_dw)(struct device *d, struct weight *w, int32_t m, struct view dy, struct view x);
enum { WIDE_ROOM = 128 << 20 /* bytes: the most that one of them asks of cuda_room on a GPU */ };
/* Its kernels of a form: 0 forward, 1 dx, 2 dw (struct cuda_device's wide_choice). */
int CUDA_NAME(wide_choices)(int form);
/* products.cu: small products by every kernel of gemm_hopper.cu: sums of integers, which are exact in any order, and
   sums of others, whose bits must not depend on the kernel. NULL, or what is wrong. */
const char *CUDA_NAME(products_check)(struct device *d);
/* weight.cu: struct device_memory's round_rows and widen_rows. */
void CUDA_NAME(weight_round_rows)(struct weight *w, size_t row, size_t count, const void *from, enum host_type type);
void CUDA_NAME(weight_widen_rows)(const struct weight *w, size_t row, size_t count, void *to, enum host_type type);

/* A copy of a host array on the device, alive for the operation that asks (queue.h). While the caller holds its arrays
   (device_hold) one copy serves all operations. NULL where n is 0 or the device has failed. */
#define CUDA_UPLOAD(d, from, n) ((__typeof__(from))CUDA_NAME(cuda_upload)((d), (from), (n) * sizeof *(from)))
const void *CUDA_NAME(cuda_upload)(struct device *d, const void *from, size_t bytes);
/* Room on the device for an operation's own results; not zeroed. What an operation has stays apart until its end if no
   piece is more than a half of the largest. */
void *CUDA_NAME(cuda_room)(struct device *d, size_t bytes);
/* An operation that uploads many arrays says so before the first: slots of all of them (upload_slot) stay apart. */
void CUDA_NAME(cuda_reserve)(struct device *d, size_t slots);
/* What an upload of `bytes` takes: powers of two, so that tables which grow a little stay where they are. */
static inline size_t upload_slot(size_t bytes)
{
  const size_t most = (size_t)1 << 20;
  size_t slot = 256;
  if (bytes > most) return (bytes + 255) / 256 * 256;
  while (slot < bytes) slot *= 2;
  return slot;
}
/* From the device to the host when all before it is done. Rooms of the operation are given up with it. */
static inline void cuda_fetch(struct device *d, void *to, const void *from, size_t bytes)
{
  d->memory->get(d, to, from, bytes);
}

static inline real *view_reals(struct view v)
{
  return (real *)v.buffer->reals + v.at;
}
static inline real *weight_reals(const struct weight *w, enum weight_part part)
{
  return (real *)w->part[part];
}
EVERYWHERE size_t size_min(size_t a, size_t b)
{
  return a < b ? a : b;
}

/* CORES: how every matrix in bf16 that a product reads stands here, weights (struct weight's copy) and packed operands.
   A core is 8 terms of `tall` rows, [rows / tall][terms / 8][tall][8]; of weights tall is PANEL. Terms are padded to
   whole blocks and rows to whole panels with zeros, so a copy has as many words as one in device.h's layout. 8 rows of
   8 terms are 128 bytes in one piece, which Hopper's products read as rows of terms or as terms of rows (hopper.h), and
   whose pieces its copy engine takes as they are.

   The half (number of bf16) that element (n, k) of a weight's copy is. */
enum { CORE = 8 };
EVERYWHERE size_t core_at(size_t columns, size_t n, size_t k)
{
  return ((n / PANEL * (block_round(columns) / CORE) + k / CORE) * PANEL + n % PANEL) * CORE + k % CORE;
}
/* Eight terms from half `at` on, at once. */
struct core_row {
  uint32_t word[CORE / 2];
} __attribute__((aligned(16)));
HERE void core_put(uint32_t *words, size_t at, const real x[CORE])
{
  struct core_row row;
  UNROLL
  for (int i = 0; i < CORE / 2; i++) row.word[i] = word_of(x[2 * i], x[2 * i + 1]);
  *(struct core_row *)(words + at / 2) = row;
}

/* Element (n, k) of a matrix in panels, as kernels find it. */
HERE size_t panel_here(size_t columns, size_t n, size_t k)
{
  return ((n / PANEL) * columns + k) * PANEL + n % PANEL;
}

#endif
