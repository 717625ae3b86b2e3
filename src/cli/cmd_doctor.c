#include <nettle/version.h>
#include "cli/doctor.h"
#include "cli/peak.h"
#include "cli/support.h"
#include "compute/backend.h"
#include "core/log.h"
#include "core/math.h"
#include "core/pool.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <gmp.h>
#include <pcre2.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

enum { PEAK_SIZE = 1024, PEAK_ROWS = 512, BAND_REALS = 32 << 20 };

static void tell_program(struct doctor *d)
{
  struct text t = {0};
  struct error err = {0};
  int rc = cli_put_version(&t, &err);
  if (t.size) t.bytes[t.size - 1] = 0; /* the newline */
  doctor_need(d, "program", rc || !t.size ? "?" : t.bytes + 6, rc ? err.message : NULL);
  error_clear(&err);
  rc = math_check_environment(&err);
  doctor_need(d, "arithmetic", rc ? "unusual" : "rounds to nearest, denormals alive", rc ? err.message : NULL);
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
  static const char *const known[] = {"ref", "avx2", "avx512", "amx"};
  char model[256], found[320];
  read_proc("/proc/cpuinfo", "model name", model, sizeof model);
  snprintf(found, sizeof found, "%s, %d cores for this process", model, cores_available());
  doctor_tell(d, "processor", found, NULL);
  found[0] = 0;
  bool fast = false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    struct device *device;
    if (device_open(&(struct device_options){.kind = "cpu", .isa = known[i], .threads = 1}, &device, NULL)) continue;
    device_close(device);
    snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", *found ? ", " : "", known[i]);
    fast = fast || i > 0;
  }
  doctor_tell(d, "instruction sets", found,
              fast ? NULL : "no AVX2 here: everything works, slowly; use a processor with AVX2");
}

/* Cores that the machine has beside those that this process may use, and how busy they are. */
static void tell_cores(struct doctor *d)
{
  char found[320], load[128], smt[16];
  int mine = cores_available(), all = (int)sysconf(_SC_NPROCESSORS_CONF);
  int64_t threads = d->cli->threads ? d->cli->threads : mine;
  double busy = doctor_read("/proc/loadavg", load, sizeof load) ? strtod(load, NULL) : 0;
  bool twins = doctor_read("/sys/devices/system/cpu/smt/active", smt, sizeof smt) && *smt == '1';
  int n = snprintf(found, sizeof found, "%d of %d%s, %lld threads, load %.1f", mine, all,
                   twins ? " (two to a physical core)" : "", (long long)threads, busy);
  if (mine < all && n > 0)
    snprintf(found + n, sizeof found - (size_t)n, "; affinity or a control group sets the limit");
  const char *advice = NULL;
  if (threads > mine)
    advice = "more threads than cores wait for each other: leave --threads out";
  else if (busy > 0.5 * mine + 0.5)
    advice = "other programs keep the cores busy: the speeds below are lower than they could be";
  doctor_tell(d, "cores", found, advice);
}

static void tell_memory(struct doctor *d)
{
  char total[64], found[192];
  double gib = 1073741824.0, left = (double)memory_available_bytes() / gib;
  read_proc("/proc/meminfo", "MemTotal", total, sizeof total);
  double all = (double)strtoull(total, NULL, 10) / 1048576.0, alone;
  read_proc("/proc/meminfo", "MemAvailable", total, sizeof total);
  alone = (double)strtoull(total, NULL, 10) / 1048576.0;
  snprintf(found, sizeof found, "%.1f GiB free of %.1f GiB%s", left, all,
           left < 0.95 * alone ? ", as a control group allows" : "");
  if (left < 0.25)
    doctor_need(d, "memory", found, "under 256 MiB: too little even for models/tiny; close something");
  else
    doctor_tell(d, "memory", found,
                left < 2 ? "under 2 GiB: enough for models/tiny, not for training SmolLM2; close something, or use a "
                           "larger machine"
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
  doctor_tell(d, "matrix products", found, NULL);
  double peak = peak_multiply_adds(b->device);
  if (peak > 0) {
    snprintf(found, sizeof found, "%.0f GFLOP/s at most", peak / 1e9);
    doctor_tell(d, "multiply-adds", found, NULL);
  }
  seconds = fastest(run_copy, b);
  snprintf(found, sizeof found, "%.1f GB/s reading and writing", 2.0 * BAND_REALS * sizeof(float) / seconds / 1e9);
  doctor_tell(d, "memory bandwidth", found, NULL);
  return 0;
}

static void tell_speed(struct doctor *d)
{
  struct bench b = {0};
  struct error err = {0};
  if (measure(d, &b, &err)) doctor_tell(d, "speed", "could not be measured", err.message);
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
  snprintf(found, sizeof found,
           "jansson %s, libyaml %s, PCRE2 %s, zstd %s, zlib %s, utf8proc %s, nettle %s, GMP %s, "
           "SQLite %s",
           jansson_version_str(), yaml_get_version_string(), pcre, ZSTD_versionString(), zlibVersion(),
           utf8proc_version(), nettle, gmp_version, sqlite3_libversion());
  doctor_tell(d, "libraries", found, NULL);
}

struct settings {
  bool support;
};
static const struct settings defaults = {0};
static const struct option options[] = {{"--support", NULL, OPTION_FLAG, offsetof(struct settings, support), 0, 0,
                                         "docs/support.md: models, files, tokenizers, templates"}};

static int tell_support(struct cli *c, struct error *err)
{
  struct text t = {0};
  support_markdown(&t);
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  if (s->support) return tell_support(c, err);
  const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
  struct doctor d = {.cli = c};
  d.colour = isatty(STDOUT_FILENO) && !c->out && term && strcmp(term, "dumb") && !(no_colour && *no_colour);
  tell_program(&d);
  tell_processor(&d);
  tell_cores(&d);
  tell_memory(&d);
  tell_speed(&d);
  tell_libraries(&d);
  doctor_tell_surroundings(&d);
  int rc = print_text(c, &d.text, err);
  text_free(&d.text);
  if (!rc && d.lacking)
    FAIL(err, ERROR_RESOURCE, "something that every command needs is lacking; see the lines above that say what to do");
  return rc;
}

const struct command command_doctor = {
    .name = "doctor",
    .help = "What this machine offers, and what to do where something is lacking",
    .arguments = "",
    .about =
        "Looks at processor, instruction sets, cores, memory, arithmetic and bandwidth (measured), libraries, disk, "
        "terminal, sandbox, helpers and GPU: each\n"
        "line ends with ok, or says what to do. The exit status is 3 only where something is lacking that every "
        "command "
        "needs. With --json one object a line:\n"
        "{what, found, ok, needed, advice}.",
    .example = "assay doctor",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .run = run,
};
