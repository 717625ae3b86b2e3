/* dist/dist: several processes train one model (comes with its own issue; nothing here runs yet, and no command offers
 * it).
 *
 * What is settled, because it decides bits: the batch is cut into a fixed number of shards by group, whatever the
 * number of processes. Each shard is a chain of its own over its units (train/batch.h), and the shards' gradients are
 * joined by a fixed binary tree, so that 1, 2, 4 and 8 processes give the same bits.
 */
#ifndef ASSAY_DIST_DIST_H
#define ASSAY_DIST_DIST_H

enum { DIST_SHARDS = 8 };

#endif
