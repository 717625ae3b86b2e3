#include <nettle/version.h>
#include "cli/cli.h"
#include "cli/peak.h"
#include "compute/backend.h"
#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "core/pool.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

enum { PEAK_SIZE = 1024, PEAK_ROWS = 512, BAND_REALS = 32 << 20 };

struct doctor {
  struct cli *cli;
  struct text text;
};

/* One finding. advice NULL: ok. */
static void tell(struct doctor *d, const char *what, const char *found, const char *advice)
{
  if (!d->cli->json) {
    text_printf(&d->text, "%-18s %s%s%s\n", what, found, advice ? "  -> " : "  ok", advice ? advice : "");
    return;
  }
  text_puts(&d->text, "{\"what\": ");
  json_put_string(&d->text, what, strlen(what));
  text_puts(&d->text, ", \"found\": ");
  json_put_string(&d->text, found, strlen(found));
  text_printf(&d->text, ", \"ok\": %s, \"advice\": ", advice ? "false" : "true");
  if (advice)
    json_put_string(&d->text, advice, strlen(advice));
  else
    text_puts(&d->text, "null");
  text_puts(&d->text, "}\n");
}

static void tell_program(struct doctor *d)
{
  struct text t = {0};
  struct error err = {0};
  int rc = cli_put_version(&t, &err);
  if (t.size) t.bytes[t.size - 1] = 0; /* the newline */
  tell(d, "program", rc || !t.size ? "?" : t.bytes + 6, rc ? err.message : NULL);
  error_clear(&err);
  rc = math_check_environment(&err);
  tell(d, "arithmetic", rc ? "unusual" : "rounds to nearest, denormals alive", rc ? err.message : NULL);
  text_free(&t);
}

/* The value of a "name : value" line of a file in /proc, or "unknown". */
static void read_proc(const char *path, const char *name, char *out, size_t size)
{
  char line[512];
  snprintf(out, size, "unknown");
  FILE *f = fopen(path, "r");
  if (!f) return;
  while (fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (!colon || strncmp(line, name, strlen(name)) != 0) continue;
    colon += 1 + strspn(colon + 1, " \t");
    colon[strcspn(colon, "\n")] = 0;
    snprintf(out, size, "%s", colon);
    break;
  }
  fclose(f);
}

static void tell_processor(struct doctor *d)
{
  static const char *const known[] = {"ref", "avx2", "avx512"};
  char model[256], found[320];
  read_proc("/proc/cpuinfo", "model name", model, sizeof model);
  snprintf(found, sizeof found, "%s, %d cores for this process", model, cores_available());
  tell(d, "processor", found, NULL);
  found[0] = 0;
  bool fast = false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    struct device *device;
    if (device_open(&(struct device_options){.kind = "cpu", .isa = known[i], .threads = 1}, &device, NULL)) continue;
    device_close(device);
    snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", *found ? ", " : "", known[i]);
    fast = fast || i > 0;
  }
  tell(d, "instruction sets", found, fast ? NULL : "no AVX2 here: everything works, slowly; use a processor with AVX2");
}

static void tell_memory(struct doctor *d)
{
  char total[64], found[160];
  double free_gib = (double)memory_available_bytes() / 1073741824.0;
  read_proc("/proc/meminfo", "MemTotal", total, sizeof total);
  snprintf(found, sizeof found, "%.1f GiB free of %.1f GiB", free_gib, (double)strtoull(total, NULL, 10) / 1048576.0);
  tell(d, "memory", found,
       free_gib < 2 ? "under 2 GiB: enough for models/tiny, not for SmolLM2; close something, or use a larger machine"
                    : NULL);
}

/* Seconds of the fastest of some runs of fn. */
static double fastest(void (*fn)(void *), void *arg)
{
  double best = 1e9;
  for (int i = 0; i < 5; i++) {
    double start = clock_seconds();
    fn(arg);
    double seconds = clock_seconds() - start;
    if (seconds < best) best = seconds;
  }
  return best;
}

struct bench {
  struct device *device;
  struct weight *weight;
  struct buffer *x, *y;
};

static void run_gemm(void *arg)
{
  struct bench *b = arg;
  struct error err = {0};
  device_ops(b->device)->gemm(b->device, b->weight, NULL, PEAK_ROWS, (struct view){b->x, 0}, (struct view){b->y, 0});
  (void)!device_sync(b->device, &err);
}

static void run_copy(void *arg)
{
  struct bench *b = arg;
  struct error err = {0};
  device_ops(b->device)->copy(b->device, BAND_REALS, (struct view){b->y, 0}, (struct view){b->x, 0});
  (void)!device_sync(b->device, &err);
}

static int measure(struct doctor *d, struct bench *b, struct error *err)
{
  char found[160];
  TRY(device_open(&(struct device_options){.kind = "cpu", .threads = (int)d->cli->threads}, &b->device, err));
  TRY(weight_create(b->device, WEIGHT_MATRIX, PEAK_SIZE, PEAK_SIZE, "doctor", &b->weight, err));
  TRY(buffer_create(b->device, BAND_REALS, "doctor", &b->x, err));
  TRY(buffer_create(b->device, BAND_REALS, "doctor", &b->y, err));
  double seconds = fastest(run_gemm, b);
  snprintf(found, sizeof found, "%.0f GFLOP/s in f32, %s, %d threads",
           2.0 * PEAK_ROWS * PEAK_SIZE * PEAK_SIZE / seconds / 1e9, device_isa(b->device), device_threads(b->device));
  tell(d, "matrix products", found, NULL);
  double peak = peak_multiply_adds(b->device);
  if (peak > 0) {
    snprintf(found, sizeof found, "%.0f GFLOP/s at most", peak / 1e9);
    tell(d, "multiply-adds", found, NULL);
  }
  seconds = fastest(run_copy, b);
  snprintf(found, sizeof found, "%.1f GB/s reading and writing", 2.0 * BAND_REALS * sizeof(float) / seconds / 1e9);
  tell(d, "memory bandwidth", found, NULL);
  return 0;
}

static void tell_speed(struct doctor *d)
{
  struct bench b = {0};
  struct error err = {0};
  if (measure(d, &b, &err)) tell(d, "speed", "could not be measured", err.message);
  buffer_destroy(b.y);
  buffer_destroy(b.x);
  if (b.weight) weight_destroy(b.weight);
  if (b.device) device_close(b.device);
}

static void tell_libraries(struct doctor *d)
{
  char pcre[64] = "?", nettle[32], found[256];
  pcre2_config_8(PCRE2_CONFIG_VERSION, pcre);
  snprintf(nettle, sizeof nettle, "%d.%d", nettle_version_major(), nettle_version_minor());
  snprintf(found, sizeof found, "jansson %s, libyaml %s, PCRE2 %s, zstd %s, zlib %s, utf8proc %s, nettle %s",
           jansson_version_str(), yaml_get_version_string(), pcre, ZSTD_versionString(), zlibVersion(),
           utf8proc_version(), nettle);
  tell(d, "libraries", found, NULL);
}

/* Looks a program up as a shell would. */
static bool in_path(const char *name, char *out, size_t size)
{
  const char *path = getenv("PATH");
  for (const char *at = path ? path : ""; *at;) {
    size_t n = strcspn(at, ":");
    snprintf(out, size, "%.*s/%s", (int)n, at, name);
    if (n && file_exists(out)) return true;
    at += n + (at[n] == ':');
  }
  return false;
}

static void tell_outside(struct doctor *d)
{
  char where[512];
  if (in_path("bwrap", where, sizeof where))
    tell(d, "sandbox", where, NULL);
  else
    tell(d, "sandbox", "no bubblewrap", "needed only to run model-written code; apt-get install bubblewrap");
  tell(d, "GPU", "not used: models run on the CPU", NULL);
}

static int run(struct cli *c, struct error *err)
{
  struct doctor d = {.cli = c};
  tell_program(&d);
  tell_processor(&d);
  tell_memory(&d);
  tell_speed(&d);
  tell_libraries(&d);
  tell_outside(&d);
  int rc = print_text(c, &d.text, err);
  text_free(&d.text);
  return rc;
}

const struct command command_doctor = {
    .name = "doctor",
    .help = "What this machine offers, and what to do where something is lacking",
    .arguments = "",
    .about =
        "Looks at the processor, instruction sets, memory, arithmetic and bandwidth (measured), libraries, sandbox and "
        "GPU: each line ends with ok, or\n"
        "says what to do. With --json one object a line: {what, found, ok, advice}.",
    .example = "assay doctor",
    .run = run,
};
