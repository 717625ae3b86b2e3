/* cuda/kernel: the words that kernels are written in. One source is compiled twice: by nvcc for a GPU, and as C for an
 * emulated one (emulate.c), on which every test of the operations runs on every machine, under the sanitizers too. So
 * kernels keep to what C17 and CUDA share, and to the words below.
 *
 * A launch is a grid of blocks_x * blocks_y teams of `threads` threads, put into a list that runs when somebody waits
 * (queue.h). A kernel takes one struct of arguments by value. Threads of a team meet at team_wait; the 32 lanes of a
 * warp exchange numbers with lane_*. Every thread of the team (warp) that has not returned must come to the same call;
 * the emulator stops with a message where one does not.
 *
 * ORDER. In f32 each output is one chain in the order of backend.h, by one thread, or 16 lanes and their tree: the same
 * bits as on a CPU, for any grid. nvcc gets --fmad=false, --ftz=true, and IEEE division and square root; products that
 * fuse say so (real_fma). In bf16 the matrix products are tile_multiply's, block by block of 32 terms from the first
 * on, by one warp; all else is in the order of backend.h.
 *
 * tile_multiply(a, b, c): 16 x 8 outputs += 16 x 32 terms in bf16 by 8 x 32, by the lanes of a warp together, as two
 * tensor core instructions mma.m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16"). Lane i holds, with g = i / 4
 * and t = i % 4, of both steps s of 16 terms: a[4s .. 4s+3] the words (pairs of terms) t of rows g and g + 8, then t +
 * 4 of both; b[2s], b[2s+1] the words t and t + 4 of column g; c: columns 2t, 2t + 1 of row g, then of row g + 8. How
 * the hardware adds inside a step is its own; that it is the same at every place of a tile is taken as given here, and
 * asked of a GPU by tests/e2e/device_cuda.sh. The emulated device adds as a processor does (backend.h, "blocks"): there
 * bf16 has the CPU's bits, on a GPU its own.
 */
#ifndef ASSAY_COMPUTE_CUDA_KERNEL_H
#define ASSAY_COMPUTE_CUDA_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "compute/words.h"
#include "core/math_exp.h"

typedef float real;

enum { WARP = 32, TEAM = 256 /* threads of a plain launch */ };

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define CUDA_NAME(name)               name##_cuda
#define HERE                          static __device__ __forceinline__
#define EVERYWHERE                    static __host__ __device__ __forceinline__
#define SHARED                        __shared__
#define UNROLL                        _Pragma("unroll")
#define ROLLED                        _Pragma("unroll 1")
#define KERNEL(name, type)            static __global__ void __launch_bounds__(1024) name(const type a)
#define KERNEL_TEAM(name, type, most) static __global__ void __launch_bounds__(most) name(const type a)
/* The same where a processor holds one such team at a time: all registers are its own. */
#define KERNEL_ALONE(name, type, most) static __global__ void __launch_bounds__(most, 1) name(const type a)
#define ENTRY(name)                    ((kernel_entry)name)

typedef const void *kernel_entry; /* what a launch calls */

HERE int thread_here(void)
{
  return (int)threadIdx.x;
}
HERE int threads_here(void)
{
  return (int)blockDim.x;
}
HERE size_t block_x(void)
{
  return blockIdx.x;
}
HERE size_t block_y(void)
{
  return blockIdx.y;
}
HERE size_t blocks_x(void)
{
  return gridDim.x;
}
HERE void team_wait(void)
{
  __syncthreads();
}
HERE void lanes_wait(void)
{
  __syncwarp();
}
HERE real lane_from(real x, int lane)
{
  return __shfl_sync(0xffffffffu, x, lane);
}
HERE real lane_across(real x, int mask)
{
  return __shfl_xor_sync(0xffffffffu, x, mask);
}
HERE bool lanes_any(bool x)
{
  return __any_sync(0xffffffffu, x);
}
/* A word on its way from the device's memory to shared memory, +0 where it is not there. Those that a thread has sent
   are there for it after words_wait, for the team after team_wait behind that. */
HERE void word_fetch(uint32_t *to, const uint32_t *from, bool there)
{
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
               :
               : "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(there ? 4 : 0)
               : "memory");
}
HERE void words_wait(void)
{
  asm volatile("cp.async.wait_all;" : : : "memory");
}
/* word_of in four instructions: denormals become zeros first. A NaN is any NaN. */
HERE uint32_t word_pack(real even, real odd)
{
  uint32_t word;
  asm("{.reg .f32 e, o; mul.ftz.f32 e, %1, 0f3F800000; mul.ftz.f32 o, %2, 0f3F800000; cvt.rn.bf16x2.f32 %0, o, e;}"
      : "=r"(word)
      : "f"(even), "f"(odd));
  return word;
}
HERE real real_fma(real a, real b, real c)
{
  return __fmaf_rn(a, b, c);
}
HERE double double_fma(double a, double b, double c)
{
  return __fma_rn(a, b, c);
}
/* Half `half` of an array of words. */
HERE void half_set(uint32_t *words, size_t half, real x)
{
  ((uint16_t *)words)[half] = (uint16_t)bf16_from(x);
}
HERE void tile_multiply(const uint32_t a[8], const uint32_t b[4], real c[4])
{
  for (int step = 0; step < 2; step++)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[4 * step]), "r"(a[4 * step + 1]), "r"(a[4 * step + 2]), "r"(a[4 * step + 3]), "r"(b[2 * step]),
          "r"(b[2 * step + 1]));
}
HERE real real_sqrt(real x)
{
  return __fsqrt_rn(x);
}
HERE real real_divide(real a, real b)
{
  return __fdiv_rn(a, b);
}

#else

#include "compute/cuda/emulate.h"
#include "core/math.h"

#define CUDA_NAME(name) name##_emulated
#define HERE            static inline /* in kernels */
#define EVERYWHERE      static inline /* in kernels and around them */
#define SHARED          static
#define UNROLL
#define ROLLED
#define KERNEL(name, type)                \
  static void name(const type a);         \
  static void name##_enter(const void *p) \
  {                                       \
    name(*(const type *)p);               \
  }                                       \
  static void name(const type a)
#define KERNEL_TEAM(name, type, most)  KERNEL(name, type)
#define KERNEL_ALONE(name, type, most) KERNEL(name, type)
#define ENTRY(name)                    name##_enter

typedef void (*kernel_entry)(const void *args); /* what a launch calls */

HERE int thread_here(void)
{
  return emulated.thread;
}
HERE int threads_here(void)
{
  return emulated.threads;
}
HERE size_t block_x(void)
{
  return emulated.block_x;
}
HERE size_t block_y(void)
{
  return emulated.block_y;
}
HERE size_t blocks_x(void)
{
  return emulated.blocks_x;
}
HERE void team_wait(void)
{
  emulate_team_wait();
}
HERE void lanes_wait(void)
{
  emulate_lanes_wait();
}
HERE real lane_from(real x, int lane)
{
  return emulate_lane_read(x, lane);
}
HERE real lane_across(real x, int mask)
{
  return emulate_lane_read(x, (emulated.thread % WARP) ^ mask);
}
HERE bool lanes_any(bool x)
{
  return emulate_lanes_any(x);
}
HERE void word_fetch(uint32_t *to, const uint32_t *from, bool there)
{
  *to = there ? *from : 0;
}
HERE void words_wait(void) {}
HERE uint32_t word_pack(real even, real odd)
{
  return word_of(even, odd);
}
HERE real real_fma(real a, real b, real c)
{
  return math_fmaf(a, b, c);
}
HERE double double_fma(double a, double b, double c)
{
  return math_fma(a, b, c);
}
HERE void half_set(uint32_t *words, size_t half, real x)
{
  word_set(words + half / 2, half, x);
}
HERE void tile_multiply(const uint32_t a[8], const uint32_t b[4], real c[4])
{
  emulate_tile(a, b, c);
}
HERE real real_sqrt(real x)
{
  return math_sqrtf(x);
}
HERE real real_divide(real a, real b)
{
  return a / b;
}

#endif

#define REAL_INFINITY real_of(0x7f800000u)
HERE uint32_t bits_of(real x)
{
  return math_bits_from_f32(x);
}
HERE real real_of(uint32_t bits)
{
  return math_f32_from_bits(bits);
}

/* The index of this thread among all of a one-dimensional launch, and the blocks that n threads need. */
HERE size_t index_here(void)
{
  return block_x() * (size_t)threads_here() + (size_t)thread_here();
}
static inline size_t blocks_for(size_t n)
{
  return (n + TEAM - 1) / TEAM;
}

/* sum16's tree over the lanes of a half warp: lane i of 16 holds its chain; lane 0 gets the sum, and all get it back.
   Lane i adds lane i + step for i < step; the others add too, and what they get is not used. */
HERE real half_sum(real lane)
{
  for (int step = 8; step; step /= 2) {
    real other = lane_from(lane, (thread_here() % WARP & 16) + ((thread_here() + step) & 15));
    lane = lane + other;
  }
  return lane_from(lane, thread_here() % WARP & 16);
}

HERE real real_exp(real x)
{
  return math_exp_steps(x);
}
HERE real real_log(real x)
{
  return math_log_steps(x);
}
HERE real real_tanh(real x)
{
  return math_tanh_steps(x);
}

/* The largest of the lanes' numbers and of m, the same for all lanes. Where a NaN is among them: any number. */
HERE real lanes_max(real x, real m)
{
  m = x > m ? x : m;
  for (int mask = 16; mask; mask /= 2) {
    real other = lane_across(m, mask);
    m = other > m ? other : m;
  }
  return lane_from(m, 0) + 0; /* -0 becomes +0 */
}

/* sum16 of 32 terms, one a lane */
HERE real lanes_sum(real x)
{
  const int lane = thread_here() % WARP;
  real above = lane_from(x, (lane + 16) % WARP);
  return lane_from(half_sum((0 + x) + above), 0);
}

#endif
