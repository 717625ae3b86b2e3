/* cpu/table: the instruction sets, and the table of operations that the one in force gives. The reference fills every
 * slot; each set up to the one in force lays its own over it. */
#include "compute/cpu/quant.h"

#include <stdlib.h>
#include <string.h>
#include "core/arena.h"
#include "core/fault.h"

enum { SCRATCH_EACH = 5 << 19 };

struct isa {
  const char *name;
  void (*fill[2])(struct backend_ops *ops); /* by enum compute_type: bf16 comes over f32 */
};

/* Weakest first. */
static const struct isa isas[] = {
    {"ref", {ops_fill_ref, ops_fill_bf16}},
#if defined(__x86_64__)
    {"avx2", {ops_overlay_avx2, ops_overlay_bf16_avx2}},
    {"avx512", {ops_overlay_avx512, ops_overlay_bf16_avx512}},
    {"amx",
     {NULL, ops_overlay_bf16_amx}}, /* f32 is avx512's; not chosen by itself before it has run on tiles of silicon */
#elif defined(__aarch64__)
    {"neon", {ops_overlay_neon, ops_overlay_bf16_neon}},
#endif
};
enum { ISAS = sizeof isas / sizeof isas[0] };
#if defined(__x86_64__)
#define ISA_NAMES "ref, avx2, avx512 or amx"
#elif defined(__aarch64__)
#define ISA_NAMES "ref or neon"
#else
#define ISA_NAMES "ref"
#endif

static bool isa_available(int i)
{
  if (i == 0) return true;
#if defined(__x86_64__)
  bool here = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (i >= 2)
    here = here && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return here && (i < 3 || amx_permitted());
#else
  return true;  // NEON is part of AArch64
#endif
}

/* The index of the set that the option, then ASSAY_ISA, then the machine asks for. */
static int isa_choose(const char *name, int *chosen, struct error *err)
{
  const char *origin = "isa";
  if (!name || !strcmp(name, "auto")) {
    name = getenv("ASSAY_ISA");
    origin = "ASSAY_ISA";
  }
  if (!name || !*name || !strcmp(name, "auto")) {
    *chosen = 0;
    for (int i = 0; i < ISAS; i++)
      if (isa_available(i) && strcmp(isas[i].name, "amx") != 0) *chosen = i;  // only where it is named: see isas
    return 0;
  }
  for (int i = 0; i < ISAS; i++) {
    if (strcmp(name, isas[i].name)) continue;
    if (!isa_available(i))
      FAIL_AT(err, ERROR_RESOURCE, NULL, 0, origin,
              "found instruction set %s, which this processor (or its kernel) does not have; write auto", name);
    *chosen = i;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, NULL, 0, origin, "found instruction set \"%s\"; expected auto, %s", name, ISA_NAMES);
}

static void ops_fill(struct device *d, bool real64, int chosen)
{
  d->ops.sample_start = host_sample_start;
  d->ops.sample_take = host_sample_take;
  if (real64) {
    ops_fill_ref64(&d->ops);
    return;
  }
  for (int i = 0; i <= chosen; i++)
    if (isas[i].fill[COMPUTE_F32]) isas[i].fill[COMPUTE_F32](&d->ops);
  d->adamw_f32 = d->ops.adamw;
  for (int i = 0; d->type == COMPUTE_BF16 && i <= chosen; i++) isas[i].fill[COMPUTE_BF16](&d->ops);
}

/* ---- memory: the host's ---- */

static void *host_take(struct device *d, size_t count, size_t size, const char *tag, struct error *err)
{
  (void)d;
  return memory_alloc(count, size, tag, err);
}

static void host_give(struct device *d, void *p)
{
  (void)d;
  memory_free(p);
}

static void host_put(struct device *d, void *to, const void *from, size_t bytes)
{
  (void)d;
  memcpy(to, from, bytes);
}

static void host_sync(struct device *d)
{
  (void)d;
}

static void host_close(struct device *d)
{
  memory_free(d->scratch);
  for (int i = 0; i < DRAWS_STARTED; i++) memory_free(d->draws.results[i]);
}

static const struct device_memory host_memory = {
    .host = true,
    .take = host_take,
    .give = host_give,
    .put = host_put,
    .get = host_put,
    .sync = host_sync,
    .round_rows = weight_round_rows,
    .widen_rows = weight_widen_rows,
    .pack = quant_pack,
    .unpack = quant_row,
    .draws = host_draws,
    .close = host_close,
};

static int device_fill(struct device *d, int threads, struct error *err)
{
  TRY(pool_create(threads ? threads : cores_available(), &d->pool, err));
  d->scratch_each = SCRATCH_EACH;
  d->scratch = memory_alloc((size_t)pool_threads(d->pool), d->scratch_each, "compute scratch", err);
  return d->scratch ? 0 : ERROR_RESOURCE;
}

int cpu_device_open(const struct device_options *options, bool real64, struct device **out, struct error *err)
{
  const char *isa = options->isa;
  int chosen = 0;
  if (!real64)
    TRY(isa_choose(isa, &chosen, err));
  else if (isa && strcmp(isa, "auto") && strcmp(isa, "ref"))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "isa",
            "found instruction set \"%s\" for reference64; expected ref, the only one it has", isa);
  if (real64 && options->type != COMPUTE_F32)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "compute", "found compute type %s for reference64, which computes in f64",
            compute_type_name(options->type));
  if (fault_hit(FAULT_DEVICE)) FAIL(err, ERROR_RESOURCE, "the device could not be opened; this is an injected fault");
  struct device *d = memory_alloc(1, sizeof *d, "device", err);
  if (!d) return ERROR_RESOURCE;
  d->memory = &host_memory;
  d->isa = isas[chosen].name;
  d->type = options->type;
  d->real_size = real64 ? sizeof(double) : sizeof(float);
  ops_fill(d, real64, chosen);
  int rc = device_fill(d, options->threads, err);
  if (rc) {
    device_close(d);
    return rc;
  }
  *out = d;
  return 0;
}
