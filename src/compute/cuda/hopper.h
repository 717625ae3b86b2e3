/* cuda/hopper: the words of kernel.h that only Hopper (sm_90a) has: copies by the copy engine, phases that they end,
 * and products of a warpgroup out of shared memory. On other GPUs a kernel of these words does nothing (HOPPER_HERE)
 * and is not launched. PTX ISA: "mbarrier", "cp.async.bulk", "wgmma.mma_async".
 *
 * shared_room    the team's shared memory whose size is the launch's (queue_launch), on 128 bytes.
 * phase          one word of shared memory (mbarrier). A phase is over when `arrivals` threads have come and all bytes
 *                that they said to expect are there; then the next one begins. phase_wait(p, parity) returns when the
 *                phase of that parity (the first is 0) is over; one that has not begun counts as over, so a wait for 1
 *                goes through at first. Who waits far too long stops the kernel: a wrong count shall not hang a GPU.
 * bulk_copy      bytes (a multiple of 16, both ends on 16 bytes) from the device's memory, counted by the phase.
 * wide_block     64 x 8 groups outputs of a warpgroup += 64 x 16 terms by as many columns, `steps` (1 or 2) times, each
 * one wgmma.m64nNk16. It is under way when it returns: the sums and what it reads stay alone between wide_begin and the
 * wide_wait that leaves fewer than its wide_commit's successors under way. Thread i of 128 holds, with g = i % 32 / 4
 * and t = i % 4, of each group of 8 columns: columns 2t, 2t + 1 of row i / 32 * 16 + g, then of the row 8 below.
 *
 * wide_matrix    says where an operand stands. Cores of 8 rows by 16 bytes, 128 bytes each, the rows either lines of
 * the operand and the bytes 8 terms (terms next to each other), or the rows terms and the bytes 8 lines (lines next to
 * each other). `terms_by` bytes from core to core along the terms (of which a step has two), `lines_by` along the
 * lines. In the words of the PTX ISA, no swizzle: terms next (K-major)
 *                ((8,m),(T,2)):((1T,SBO),(1,LBO)), lines next (MN-major) ((T,1,m),(8,k)):((1,T,SBO),(1T,LBO)): in both
 *                LBO is terms_by and SBO lines_by.
 *
 * The emulated device decodes the same descriptors (emulate_hopper.c). It adds two steps as one block of 32 (backend.h,
 * "blocks"), as tile_multiply does, when they are waited for.
 */
#ifndef ASSAY_COMPUTE_CUDA_HOPPER_H
#define ASSAY_COMPUTE_CUDA_HOPPER_H

#include "compute/cuda/kernel.h"

enum { WARPGROUP = 128, WIDE_ROWS = 64 };

/* What of a warpgroup's outputs somebody wants: the emulated device leaves the others out. */
struct live {
  int rows, groups;
};

/* Where the operands of a block stand, and how far (in descriptors) its second step is from its first. */
struct wide_pair {
  uint64_t left, right, left_step, right_step;
};

/* bytes: of the step. */
EVERYWHERE uint64_t wide_matrix(uint32_t at, uint32_t terms_by, uint32_t lines_by)
{
  return (uint64_t)((at & 0x3ffff) >> 4) | (uint64_t)((terms_by & 0x3ffff) >> 4) << 16 |
         (uint64_t)((lines_by & 0x3ffff) >> 4) << 32;
}
EVERYWHERE uint64_t wide_step(uint32_t bytes)
{
  return bytes >> 4;
}

#ifdef __CUDACC__

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HOPPER_HERE false
#else
#define HOPPER_HERE true
#endif

HERE unsigned char *shared_room(void)
{
  extern __shared__ __align__(128) unsigned char hopper_room[];
  return hopper_room;
}
HERE uint32_t shared_at(const void *p)
{
  return (uint32_t)__cvta_generic_to_shared(p);
}
HERE void phase_init(uint64_t *phase, int arrivals)
{
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_at(phase)), "r"(arrivals) : "memory");
}
/* Before the team_wait behind the last phase_init: the copy engine shall see them. */
HERE void phases_ready(void)
{
  asm volatile("fence.mbarrier_init.release.cluster;\n\tfence.proxy.async.shared::cta;" ::: "memory");
}
HERE void phase_arrive(uint64_t *phase)
{
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_at(phase)) : "memory");
}
HERE void phase_expect(uint64_t *phase, uint32_t bytes)
{
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_at(phase)), "r"(bytes) : "memory");
}
HERE void phase_wait(uint64_t *phase, uint32_t parity)
{
  for (uint32_t tries = 0, over = 0; !over; tries++) {
    asm volatile(
        "{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
        : "=r"(over)
        : "r"(shared_at(phase)), "r"(parity)
        : "memory");
    if (tries > 1u << 26) __trap();
  }
}
HERE void bulk_copy(void *to, const void *from, uint32_t bytes, uint64_t *phase)
{
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_at(to)),
      "l"(from), "r"(bytes), "r"(shared_at(phase))
      : "memory");
}
/* A team of two warpgroups and a warp for copies: whole warpgroups say, each once and first, what registers a thread of
   theirs needs. Three have 168 of them each when the team begins. */
HERE void registers_copy(void)
{
  asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
}
HERE void registers_multiply(void)
{
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
}
/* Behind a thread's own writes that wide_block is to read, before it says that they are there. */
HERE void room_written(void)
{
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
HERE void wide_begin(void)
{
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
HERE void wide_commit(void)
{
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
HERE void wide_wait(void)
{
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
}

#define WIDE_SUM(i)  "+f"(sum[i][0]), "+f"(sum[i][1]), "+f"(sum[i][2]), "+f"(sum[i][3])
#define WIDE_SUM4(i) WIDE_SUM(i), WIDE_SUM(i + 1), WIDE_SUM(i + 2), WIDE_SUM(i + 3)
#define WIDE_4       "%0,%1,%2,%3"
#define WIDE_16      WIDE_4 ",%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define WIDE_32      WIDE_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define WIDE_64                                                      \
  WIDE_32                                                            \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47" \
  ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
/* columns, the sums' places, those of the two descriptors, whether lines are next to each other in either, the sums */
#define WIDE_ASM(n, places, l, r, left_lines, right_lines, ...)                                  \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" n "k16.f32.bf16.bf16 {" places "}, " l ", " r \
               ", 1, 1, 1, " left_lines ", " right_lines ";"                                     \
               : __VA_ARGS__                                                                     \
               : "l"(left), "l"(right))
#define WIDE_SIZES(left_lines, right_lines)                                                                     \
  do {                                                                                                          \
    if (groups == 1)                                                                                            \
      WIDE_ASM("8", WIDE_4, "%4", "%5", left_lines, right_lines, WIDE_SUM(0));                                  \
    else if (groups == 4)                                                                                       \
      WIDE_ASM("32", WIDE_16, "%16", "%17", left_lines, right_lines, WIDE_SUM4(0));                             \
    else if (groups == 8)                                                                                       \
      WIDE_ASM("64", WIDE_32, "%32", "%33", left_lines, right_lines, WIDE_SUM4(0), WIDE_SUM4(4));               \
    else                                                                                                        \
      WIDE_ASM("128", WIDE_64, "%64", "%65", left_lines, right_lines, WIDE_SUM4(0), WIDE_SUM4(4), WIDE_SUM4(8), \
               WIDE_SUM4(12));                                                                                  \
  } while (0)

HERE void wide_multiply(const int groups, const bool left_lines, const bool right_lines, real (*sum)[4], uint64_t left,
                        uint64_t right)
{
  if (!right_lines)
    WIDE_SIZES("0", "0");
  else if (!left_lines)
    WIDE_SIZES("0", "1");
  else
    WIDE_SIZES("1", "1");
}

/* groups: 1, 4, 8 or 16; what is constant decides which instruction it is. No branch may stand between wide_begin and
   wide_commit: ptxas would wait for each instruction by itself. */
HERE void wide_block(const int groups, const bool left_lines, const bool right_lines, real (*sum)[4],
                     struct wide_pair at, const int steps, struct live live)
{
  (void)live;
  wide_multiply(groups, left_lines, right_lines, sum, at.left, at.right);
  if (steps == 2) wide_multiply(groups, left_lines, right_lines, sum, at.left + at.left_step, at.right + at.right_step);
}

#else
#define HOPPER_HERE true

HERE unsigned char *shared_room(void)
{
  return emulate_room();
}
HERE uint32_t shared_at(const void *p)
{
  return emulate_room_at(p);
}
HERE void phase_init(uint64_t *phase, int arrivals)
{
  emulate_phase_init(phase, arrivals);
}
HERE void phases_ready(void) {}
HERE void phase_arrive(uint64_t *phase)
{
  emulate_phase_arrive(phase, 0);
}
HERE void phase_expect(uint64_t *phase, uint32_t bytes)
{
  emulate_phase_arrive(phase, bytes);
}
HERE void phase_wait(uint64_t *phase, uint32_t parity)
{
  emulate_phase_wait(phase, parity);
}
HERE void bulk_copy(void *to, const void *from, uint32_t bytes, uint64_t *phase)
{
  emulate_bulk_copy(to, from, bytes, phase);
}
HERE void registers_copy(void) {}
HERE void registers_multiply(void) {}
HERE void room_written(void) {}
HERE void wide_begin(void) {}
HERE void wide_commit(void)
{
  emulate_wide_commit();
}
HERE void wide_wait(void)
{
  emulate_wide_wait();
}
HERE void wide_block(const int groups, const bool left_lines, const bool right_lines, real (*sum)[4],
                     struct wide_pair at, const int steps, struct live live)
{
  const struct emulated_wide wide = {{at.left, at.left + at.left_step},
                                     {at.right, at.right + at.right_step},
                                     left_lines,
                                     right_lines,
                                     groups,
                                     steps,
                                     live.rows,
                                     live.groups,
                                     sum};
  emulate_wide(&wide);
}

#endif
#endif
