/* cuda/emulate: a GPU in plain C, for tests: the teams of a launch run one after another on the calling thread, the
 * threads of a team as contexts that change places where they wait. Same sources, same index arithmetic, same order of
 * every sum; slow, and no model of a GPU's memory or speed. */
#ifndef ASSAY_COMPUTE_CUDA_EMULATE_H
#define ASSAY_COMPUTE_CUDA_EMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the thread that runs now stands. */
struct emulated {
  size_t block_x, block_y, blocks_x, blocks_y;
  int thread, threads;
};
extern _Thread_local struct emulated emulated;

/* enter(args) for every thread of the grid. waits: threads of a team may wait for one another; else they run through,
   each in turn, and a wait is a broken invariant. */
void emulate_launch(void (*enter)(const void *args), const void *args, size_t blocks_x, size_t blocks_y, int threads,
                    bool waits);
void emulate_team_wait(void);
void emulate_lanes_wait(void);
float emulate_lane_read(float x, int lane); /* what `lane` of this warp brought to the same call */
void emulate_tile(const uint32_t a[8], const uint32_t b[4], float c[4]); /* kernel.h: tile_multiply */

#endif
