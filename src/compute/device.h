/* compute/device: what every kind of device is inside: numbers in panels, KV in blocks, the table of operations, and
 * how bytes come and go. cpu/ and cuda/ build on it; nothing above compute/ includes it.
 *
 * Layouts, the same wherever the numbers live
 *   buffer   one 64-byte aligned array of reals.
 *   matrix   [N, K] in panels of PANEL = 16 outputs: element (n, k) at ((n / 16) * K + k) * 16 + n % 16; N is padded to
 *            a multiple of 16, the padding is 0 in every part and stays 0. The same for master, gradient and moments,
 *            so AdamW is elementwise. Rows from a multiple of 16 on are a matrix of their own: the LM head takes its
 *            weight in such slices.
 *            Its rounded copy (bf16): words of two neighbouring k, ((n / 16) * K' / 2 + k / 2) * 16 + n % 16, where K'
 *            is K up to a multiple of 32, the padding 0. On a GPU as many words, in cores (cuda/cuda.h).
 *   vector   [N], padded to 16.
 *   KV       per layer: block b, KV head h: K as [D][block] (lanes run across positions), V as [block][D]. In bf16
 * words of two neighbouring d, [D' / 2][block], and of two neighbouring positions, [block / 2][D].
 */
#ifndef ASSAY_COMPUTE_DEVICE_H
#define ASSAY_COMPUTE_DEVICE_H

#include "compute/backend.h"
#include "compute/words.h"
#include "core/pool.h"

enum { KEY_BLOCK = 32, VOCAB_BLOCK = 32 };

struct buffer {
  struct device *device;
  void *reals;
  size_t count;
};

struct weight {
  struct device *device;
  enum weight_kind kind;
  size_t n, k, padded; /* padded = N up to a multiple of 16 */
  void *part[4];       /* by enum weight_part, padded * K reals each, NULL where absent */
  uint32_t *copy;      /* bf16: padded * block_round(K) / 2 words; NULL where there is none */
  enum quant_type quant_type;
  uint8_t *quant;     /* cpu/quant.h: a matrix in blocks, which has no part and no copy; else NULL */
  size_t quant_panel; /* bytes of one of its panels */
  char name[128];
  bool aside;                    /* the moments are in the host's memory: device_offload */
  bool plus_one;                 /* a norm's scale: 1 + w */
  double logit_scale, logit_cap; /* of the LM head */
};

struct kv {
  struct device *device;
  struct kv_shape shape;
  size_t block_reals;  /* of one layer's K (or V) block: heads * D * block */
  void *keys, *values; /* [layers][blocks][heads][D][block] and [layers][blocks][heads][block][D]; bf16: words, above */
};

/* How a device keeps bytes. put and get are done when they return; they and the operations happen in the order of the
   calls. A failure of put, get and sync is remembered (device_fail); get gives zeros then. */
struct device_memory {
  bool host; /* the host's own memory */
  void *(*take)(struct device *, size_t count, size_t size, const char *tag, struct error *err); /* zeroed; or NULL */
  void (*give)(struct device *, void *);                                                         /* NULL allowed */
  /* The same in the host's memory, where operations reach it too; NULL where it is the host's anyway. */
  void *(*take_aside)(struct device *, size_t count, size_t size, const char *tag, struct error *err);
  void (*give_aside)(struct device *, void *);
  void (*put)(struct device *, void *to, const void *from, size_t bytes);
  void (*get)(struct device *, void *to, const void *from, size_t bytes);
  void (*sync)(struct device *);
  size_t (*room)(const struct device *); /* free bytes; NULL where it is the host's memory */
  /* Logical rows row .. row+count-1 of the compute copy of a weight, from and to the host; the master, where there is
     one, has been written. */
  void (*round_rows)(struct weight *w, size_t row, size_t count, const void *from, enum host_type type);
  void (*widen_rows)(const struct weight *w, size_t row, size_t count, void *to, enum host_type type);
  /* n values of logical row `row` from its value k on, in blocks: from ggml's, and made into numbers. NULL: no such
     weights. */
  void (*pack)(struct weight *w, size_t row, size_t k, size_t n, const uint8_t *blocks);
  void (*unpack)(const struct weight *w, size_t row, size_t k, size_t n, float *to);
  int (*draws)(struct device *, int32_t rows, struct error *); /* device_reserve_draws: more than there was */
  void (*close)(struct device *); /* gives back all of the device but what device_close does */
};

/* Draws in two halves: the k-th has place k % DRAWS_STARTED until it is taken. */
struct draws {
  int32_t room, rows[DRAWS_STARTED];
  uint64_t started, taken;
  struct sample_result *results[DRAWS_STARTED]; /* [room], where the host's memory is the device's */
};

struct device {
  struct backend_ops ops;
  const struct device_memory *memory;
  struct pool *pool;
  const char *isa;
  enum compute_type type;
  void (*adamw_f32)(struct device *, struct weight *, const struct adamw_params *); /* that of bf16 begins with it */
  size_t real_size;
  void *scratch; /* threads * scratch_each bytes, 64-byte aligned: packing space of gemm and attention */
  size_t scratch_each;
  struct error failed; /* first failure, reported by device_sync; set by device_fail, asked by device_failed */
  bool offload;        /* device_offload */
  bool held;           /* device_hold */
  uint64_t holds;
  struct draws draws;
};

/* The place of a draw that begins, and of the oldest one, which is taken. */
int draws_begin(struct device *d, int32_t rows);
int draws_end(struct device *d);
/* Rows of the draw that began last. */
int32_t draws_last_rows(const struct device *d);

static inline size_t panel_at(const struct weight *w, size_t n, size_t k)
{
  return ((n / PANEL) * w->k + k) * PANEL + n % PANEL;
}

/* The first failure stays, whichever thread it came from. */
void device_fail(struct device *d, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool device_failed(const struct device *d);

/* cpu/quant_pack.c: values k .. k + count - 1 of a row, whole blocks, from ggml's; the same, multiples of 16, as f32.
   The panels are where w->quant says, in the host's memory. */
void quant_pack(struct weight *w, size_t row, size_t k, size_t count, const uint8_t *blocks);
void quant_row(const struct weight *w, size_t row, size_t k, size_t count, float *to);

/* memory.c: room on the host for numbers on their way, to be freed; NULL where there is none, which is the device's
   failure. */
void *device_stage(struct device *d, size_t bytes);

/* device.c calls these by kind. cpu: float64 reference where real64. */
int cpu_device_open(const struct device_options *options, bool real64, struct device **out, struct error *err) MUST_USE;
int cuda_device_open(const struct device_options *options, struct device **out, struct error *err) MUST_USE;
int cuda_device_open_emulated(const struct device_options *options, struct device **out, struct error *err) MUST_USE;

#endif
