#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"
#include "cli/budget.h"
#include "cli/peak.h"
#include "core/pool.h"

struct settings {
  struct bench_sizes sizes;
  int64_t lora;
  const char *ahead;
};
static const struct settings defaults = {.sizes = {.fresh = 64, .problems = 8, .group = 8, .repeat = 3}};
#define SIZE(field) (offsetof(struct settings, sizes) + offsetof(struct bench_sizes, field))
static const struct option options[] = {
    {"--batch", "B", OPTION_INT, SIZE(batch), 1, 4096,
     "sequences at once, or rows of gemm (default 64; score, train 16)"},
    {"--prompt", "P", OPTION_INT, SIZE(prompt), 1, 1 << 20, "ids of a prompt (default 64; shared 256)"},
    {"--new", "N", OPTION_INT, SIZE(fresh), 2, 1 << 20, "new tokens of each sequence (default 64)"},
    {"--problems", "Q", OPTION_INT, SIZE(problems), 1, 1024, "questions of a grpo step (default 8)"},
    {"--group", "G", OPTION_INT, SIZE(group), 1, 1024, "rollouts for each question (default 8)"},
    {"--lora", "R", OPTION_INT, offsetof(struct settings, lora), 1, 4096,
     "with an adapter of rank R beside each product, which alone is trained"},
    {"--ahead", "HOW", OPTION_TEXT, offsetof(struct settings, ahead), 0, 0,
     "start a pass of decoding before the tokens of the last one are looked at: on or off (default: on with a GPU)"},
    {"--repeat", "R", OPTION_INT, SIZE(repeat), 1, 1000, "timed runs, of which the median counts (default 3)"},
};

struct command_bench {
  struct cli *cli;
  struct bench bench;
  double peak;     /* 0: unknown */
  double reads;    /* bytes a second, 0: not measured */
  double peak_mib; /* of the process, before reads was measured */
  struct text text;
};

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static int by_seconds(const void *a, const void *b)
{
  double x = ((const struct bench_time *)a)->seconds, y = ((const struct bench_time *)b)->seconds;
  return (x > y) - (x < y);
}

int bench_repeat(struct bench *b, bench_run_fn *run, void *state, struct bench_time *out, struct error *err)
{
  struct arena *keep = b->session.arena;
  struct bench_time *times = ARENA_NEW(keep, struct bench_time, (size_t)b->sizes.repeat, "bench", err);
  struct bench_time warm = {0};
  if (!times) return err->code;
  for (int64_t i = -1; i < b->sizes.repeat; i++) {
    arena_reset(b->arena);
    STOP_IF_ASKED(err);
    TRY(run(b, state, i < 0 ? &warm : &times[i], err));
  }
  qsort(times, (size_t)b->sizes.repeat, sizeof *times, by_seconds);
  *out = times[b->sizes.repeat / 2];
  return 0;
}

double bench_forward_flop(const struct model_config *c, double rows, double head_rows)
{
  double hidden = c->hidden, q = (double)c->heads * c->head_dim, kv = (double)c->kv_heads * c->head_dim;
  double layer = 2 * hidden * q + 2 * hidden * kv + 3 * hidden * c->ffn;
  return 2 * (rows * c->layers * layer + head_rows * hidden * c->vocab);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void put_rate(struct command_bench *c, double flop, double seconds)
{
  struct text *t = &c->text;
  if (c->cli->json) {
    text_printf(t, ", \"gflop_s\": %.1f, \"share_of_peak\": ", flop / seconds / 1e9);
    if (c->peak > 0)
      text_printf(t, "%.3f}\n", flop / seconds / c->peak);
    else
      text_puts(t, "null}\n");
    return;
  }
  text_printf(t, "%10.1f", flop / seconds / 1e9);
  if (c->peak > 0) text_printf(t, " %6.1f%%", 100 * flop / seconds / c->peak);
  text_puts(t, "\n");
}

static void put_machine(struct command_bench *c)
{
  struct device *d = c->bench.session.device;
  const char *type = compute_type_name(device_type(d));
  if (c->cli->json)
    text_printf(&c->text, ", \"threads\": %d, \"compute\": \"%s\", \"isa\": \"%s\"", device_threads(d), type,
                device_isa(d));
  else
    text_printf(&c->text, "%s, %d threads, %s; multiply-add peak %.0f GFLOP/s\n", device_isa(d), device_threads(d),
                type, c->peak / 1e9);
}

static void put_work(struct command_bench *c, const char *work, const struct bench_time *best)
{
  const struct bench *b = &c->bench;
  const struct bench_sizes *s = &b->sizes;
  struct text *t = &c->text;
  bool grpo = !strcmp(work, "grpo");
  if (c->cli->json) {
    text_printf(t, "{\"work\": \"%s\"", work);
    if (grpo)
      text_printf(t, ", \"problems\": %lld, \"group\": %lld", (long long)s->problems, (long long)s->group);
    else
      text_printf(t, ", \"batch\": %lld, \"prompt\": %lld", (long long)s->batch, (long long)s->prompt);
    text_printf(t, ", \"new\": %lld", (long long)s->fresh);
    put_machine(c);
    for (int i = 0; i < 2 && b->part_name[i]; i++) text_printf(t, ", \"%s_s\": %.4f", b->part_name[i], best->part[i]);
    text_printf(t, ", \"seconds\": %.4f, \"tok_s\": %.1f, \"peak_mib\": %.0f", best->seconds, b->tokens / best->seconds,
                c->peak_mib);
    if (c->reads > 0)
      text_printf(t, ", \"read_gb_s\": %.1f, \"share_of_read\": %.3f", c->reads / 1e9,
                  b->read / best->seconds / c->reads);
  } else {
    put_machine(c);
    text_printf(t, "%-8s %8s %7s %5s %10s %10s %9s %9s %7s\n", "work", grpo ? "problems" : "batch",
                grpo ? "group" : "prompt", "new", "seconds", "tok/s", "peak MiB", "GFLOP/s", "share");
    text_printf(t, "%-8s %8lld %7lld %5lld %10.3f %10.1f %9.0f", work, (long long)(grpo ? s->problems : s->batch),
                (long long)(grpo ? s->group : s->prompt), (long long)s->fresh, best->seconds, b->tokens / best->seconds,
                c->peak_mib);
  }
  put_rate(c, b->flop, best->seconds);
  for (int i = 0; i < 2 && b->part_name[i] && !c->cli->json; i++)
    text_printf(t, "  %-30s %10.3f\n", b->part_name[i], best->part[i]);
  if (c->reads > 0 && !c->cli->json)
    text_printf(t, "  weights and KV at %.1f GB/s, %.1f%% of the %.1f GB/s that these threads read\n",
                b->read / best->seconds / 1e9, 100 * b->read / best->seconds / c->reads, c->reads / 1e9);
}

/* ---- gemm -------------------------------------------------------------------------------------------------------- */

enum gemm_op { GEMM_FORWARD, GEMM_DX, GEMM_DW, GEMM_OPS };
static const char *const gemm_names[] = {"gemm", "gemm_dx", "gemm_dw"};

struct product {
  struct weight *weight;
  struct view x, y, dx; /* [rows, inputs], [rows, outputs], [rows, inputs] */
  enum gemm_op op;
};

static int run_product(struct bench *b, void *state, struct bench_time *out, struct error *err)
{
  const struct product *p = state;
  struct device *d = b->session.device;
  const struct backend_ops *ops = device_ops(d);
  int32_t rows = (int32_t)b->sizes.batch;
  int calls = b->flop < 1e6 ? 1000 : 1 + (int)(1e9 / b->flop);
  double start = peak_clock(d);
  for (int i = 0; i < calls; i++) {
    if (p->op == GEMM_FORWARD) ops->gemm(d, p->weight, NULL, rows, p->x, p->y);
    if (p->op == GEMM_DX) ops->gemm_dx(d, p->weight, rows, p->y, p->dx, false);
    if (p->op == GEMM_DW) ops->gemm_dw(d, p->weight, NULL, rows, p->y, p->x);
  }
  TRY(device_sync(d, err));
  out->seconds = (peak_clock(d) - start) / calls;
  return 0;
}

static int bench_product(struct command_bench *c, struct product *p, struct error *err)
{
  struct bench *b = &c->bench;
  size_t n = weight_rows(p->weight), k = weight_cols(p->weight);
  struct bench_time time;
  b->flop = 2.0 * (double)b->sizes.batch * (double)n * (double)k;
  for (p->op = GEMM_FORWARD; p->op < GEMM_OPS; p->op++) {
    TRY(bench_repeat(b, run_product, p, &time, err));
    if (c->cli->json) {
      text_printf(&c->text, "{\"work\": \"%s\", \"rows\": %lld, \"outputs\": %zu, \"inputs\": %zu", gemm_names[p->op],
                  (long long)b->sizes.batch, n, k);
      put_machine(c);
      text_printf(&c->text, ", \"seconds\": %.6f", time.seconds);
    } else {
      text_printf(&c->text, "%-8s %8lld %7zu %7zu %10.6f", gemm_names[p->op], (long long)b->sizes.batch, n, k,
                  time.seconds);
    }
    put_rate(c, b->flop, time.seconds);
  }
  return 0;
}

static void destroy_view(void *buffer)
{
  buffer_destroy(buffer);
}

static int make_view(struct bench *b, struct arena *a, size_t width, struct view *out, struct error *err)
{
  out->at = 0;
  TRY(buffer_create(b->session.device, (size_t)b->sizes.batch * width, "bench", &out->buffer, err));
  int rc = arena_on_reset(a, destroy_view, out->buffer, err);
  if (rc) buffer_destroy(out->buffer);
  return rc;
}

/* The products of a layer and of the LM head; weights of one shape once. */
static int bench_gemm(struct command_bench *c, struct arena *a, struct error *err)
{
  struct bench *b = &c->bench;
  struct model *m = b->session.model;
  struct weight *weights[] = {m->layer[0].q, m->layer[0].k, m->layer[0].gate, m->layer[0].down, m->head};
  TRY(model_make_trainable(m, err));
  if (!c->cli->json) {
    put_machine(c);
    text_printf(&c->text, "%-8s %8s %7s %7s %10s %9s %7s\n", "product", "rows", "outputs", "inputs", "seconds",
                "GFLOP/s", "share");
  }
  for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) {
    struct product p = {.weight = weights[i]};
    TRY(make_view(b, a, weight_cols(p.weight), &p.x, err));
    TRY(make_view(b, a, weight_rows(p.weight), &p.y, err));
    TRY(make_view(b, a, weight_cols(p.weight), &p.dx, err));
    TRY(bench_product(c, &p, err));
  }
  return 0;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static const char *const works[] = {"gemm", "decode", "shared", "score", "train", "grpo"};
enum { WORKS = sizeof works / sizeof *works };

static int check_work(const char *work, struct error *err)
{
  for (int i = 0; i < WORKS; i++)
    if (!strcmp(work, works[i])) return 0;
  FAIL(err, ERROR_INPUT, "found no workload \"%s\"; expected gemm, decode, shared, score, train or grpo", work);
}

static int fill_ahead(struct bench *b, const char *how, struct error *err)
{
  if (how && strcmp(how, "on") && strcmp(how, "off"))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--ahead", "found \"%s\"; expected on or off", how);
  b->ahead = !how ? AHEAD_WHERE_IT_HELPS : strcmp(how, "on") ? AHEAD_NEVER : AHEAD_ALWAYS;
  return 0;
}

static int fill_sizes(struct bench *b, const char *work, struct error *err)
{
  struct bench_sizes *s = &b->sizes;
  bool training = !strcmp(work, "score") || !strcmp(work, "train");
  if (!s->batch) s->batch = training ? 16 : 64;
  if (!s->prompt) s->prompt = !strcmp(work, "shared") ? 256 : 64;
  if (s->prompt + s->fresh > b->session.config.max_positions)
    FAIL(err, ERROR_INPUT, "found --prompt %lld and --new %lld; expected at most %d together, the model's positions",
         (long long)s->prompt, (long long)s->fresh, b->session.config.max_positions);
  return 0;
}

static int run_work(struct command_bench *c, const char *work, struct error *err)
{
  struct bench *b = &c->bench;
  struct arena *a = c->cli->arena;
  struct bench_time time;
  TRY(fill_sizes(b, work, err));
  struct budget budget;
  TRY(budget_load(c->cli, &b->session, 0, &budget, err));
  c->peak = peak_multiply_adds(b->session.device);
  if (!strcmp(work, "gemm")) return bench_gemm(c, a, err);
  if (!strcmp(work, "grpo"))
    TRY(bench_grpo(b, a, &time, err));
  else if (!strcmp(work, "score") || !strcmp(work, "train"))
    TRY(bench_train(b, a, !strcmp(work, "train"), &time, err));
  else
    TRY(bench_decode(b, a, !strcmp(work, "shared"), &time, err));
  c->peak_mib = (double)memory_resident_peak() / 1048576;
  if (b->read > 0) TRY(peak_reads(b->session.device, &c->reads, err));
  put_work(c, work, &time);
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  const char *work = c->arguments[0];
  struct command_bench *b = ARENA_NEW(c->arena, struct command_bench, 1, "bench", err);
  if (!b) return err->code;
  b->cli = c;
  b->bench.sizes = s->sizes;
  b->bench.seed = (uint64_t)c->seed;
  TRY(check_work(work, err));
  TRY(fill_ahead(&b->bench, s->ahead, err));
  cli_catch_signals();
  struct session_options o = {.model = c->arguments[1],
                              .threads = (int)c->threads,
                              .type = cli_compute_type(c),
                              .keep = cli_keep(c),
                              .trained = !strcmp(work, "gemm") || !strcmp(work, "train") || !strcmp(work, "grpo"),
                              .tokenizer_optional = strcmp(work, "grpo") != 0,
                              .allow_random = true};
  TRY(session_open(c->arena, &o, &b->bench.session, err));
  if (s->lora)
    b->bench.session.config.adapter = (struct adapter_config){
        .rank = (int)s->lora, .alpha = 2 * (double)s->lora, .targets = (1u << ADAPTER_TARGETS) - 1};
  b->bench.arena = arena_create("bench", 0, err);
  if (!b->bench.arena) return err->code;
  int rc = run_work(b, work, err);
  arena_destroy(b->bench.arena);
  if (!rc) rc = print_text(c, &b->text, err);
  text_free(&b->text);
  return rc;
}

const struct command command_bench = {
    .name = "bench",
    .help = "Fixed workloads, timed: tokens per second, memory, share of the machine's peak",
    .arguments = "gemm|decode|shared|score|train|grpo MODEL",
    .about =
        "WORK is one of\n"
        "  gemm    the matrix products of a layer and of the LM head on --batch rows\n"
        "  decode  --batch sequences, a random prompt each, exactly --new tokens at temperature 1; tokens per second "
        "of the decode part\n"
        "  shared  the same from one prompt\n"
        "  score   log-probabilities of the last --new tokens of --batch random sequences of --prompt + --new\n"
        "  train   the same with backward, clipping and AdamW; tokens per second count prompts too\n"
        "  grpo    one step: --problems questions, --group rollouts each of exactly --new tokens, one update\n"
        "After a run to warm up, the median of --repeat. share: of the peak of multiply-adds, measured first; only "
        "matrix products count. decode and shared also tell the read bandwidth, measured behind the runs, and the "
        "share of it "
        "that weights, keys and values take.\n"
        "MODEL may be random:FOLDER, a model of the shape in its config.json.\n"
        "With --threads 1 seconds are processor time, which others on the machine do not disturb.",
    .example = "assay bench decode models/tiny --batch 8 --prompt 16 --new 16",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 2,
    .most = 2,
    .run = run};
