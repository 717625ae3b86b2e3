#include <string.h>
#include "cli/cli.h"
#include "cli/eval_generate.h"
#include "cli/eval_perplexity.h"
#include "cli/eval_recipe.h"
#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "eval/compare.h"
#include "eval/cot_report.h"
#include "eval/plot.h"
#include "eval/rejudge.h"

enum { LISTED = 10, JUDGES = 2 };

static const struct eval_given defaults = {.samples = -1,
                                           .problems = -1,
                                           .max_new_tokens = -1,
                                           .slots = -1,
                                           .top_k = -1,
                                           .temperature = -1,
                                           .top_p = -1,
                                           .min_p = -1};

#define AT(field) offsetof(struct eval_given, field)
static const struct option options[] = {
    {"--data", "DATA", OPTION_LIST, AT(data), 0, 0,
     "a problem file, or task:NAME,key=value,... (its held-out side); may be given several times"},
    {"--recipe", "FILE", OPTION_TEXT, AT(recipe), 0, 0,
     "a benchmark: data, samples and the rest, like recipes/eval/gsm8k.yaml"},
    {"--verifier", "KIND", OPTION_TEXT, AT(verifier), 0, 0,
     "who judges (default: the lines' own, or the task); with --from: judges again"},
    {"--samples", "N", OPTION_INT, AT(samples), 1, 4096, "attempts at each problem (default 1)"},
    {"--greedy", NULL, OPTION_FLAG, AT(greedy), 0, 0, "and one more at temperature 0, reported apart"},
    {"--problems", "N", OPTION_INT, AT(problems), 1, 1e9, "at most so many (default: all; 256 of an endless task)"},
    {"--k", "LIST", OPTION_TEXT, AT(k), 0, 0, "pass@k and the like, as 1,8,64 (default: 1, 2, 4, ... samples)"},
    {"--by", "FIELD", OPTION_TEXT, AT(by), 0, 0, "a table by this field of the problems (default: by data)"},
    {"--max-new-tokens", "N", OPTION_INT, AT(max_new_tokens), 1, 1e6, "longest answer (default 256)"},
    {"--temperature", "T", OPTION_REAL, AT(temperature), 0, 100, "0: greedy (default 1)"},
    {"--top-p", "P", OPTION_REAL, AT(top_p), 0, 1, "the fewest tokens with this mass (default: off)"},
    {"--top-k", "K", OPTION_INT, AT(top_k), 0, 1e6, "the K most likely tokens (default: off)"},
    {"--min-p", "P", OPTION_REAL, AT(min_p), 0, 1, "tokens with this share of the largest (default: off)"},
    {"--stop", "TEXT", OPTION_TEXT, AT(stop), 0, 0, "end an answer in front of this text"},
    {"--system", "TEXT", OPTION_TEXT, AT(system), 0, 0, "system message in front of each problem"},
    {"--suffix", "TEXT", OPTION_TEXT, AT(suffix), 0, 0, "text behind each question"},
    {"--slots", "N", OPTION_INT, AT(slots), 1, 4096, "answers made together; moves no bit (default 32)"},
    {"--from", "FILE", OPTION_LIST, AT(from), 0, 0,
     "no model: stored attempts, as --out wrote them, or a run's rollouts/*.jsonl.zst; several are put together"},
    {"--rejudge", NULL, OPTION_FLAG, AT(rejudge), 0, 0, "with --from: judges the stored texts again"},
    {"--against", "FILE", OPTION_LIST, AT(against), 0, 0,
     "attempts of a later run at the same problems: what has changed since --from"},
    {"--cot", "FILE", OPTION_LIST, AT(cot), 0, 0,
     "CoT-Pass@K from a judge's lines {problem, sample, verdicts}, or attempts judged by one; several add up"},
    {"--perplexity", "MODEL", OPTION_TEXT, AT(perplexity), 0, 0,
     "with --from: how likely this model finds the stored answers; needs --data or --recipe as they were"},
    {"--adapter", "DIR", OPTION_TEXT, AT(adapter), 0, 0, "a PEFT folder or run whose adapter MODEL is used with"},
    {"--svg", "FILE", OPTION_TEXT, AT(svg), 0, 0, "pass@k over k as a picture"},
};

/* ---- attempts ---------------------------------------------------------------------------------------------------- */

static int read_files(struct cli *c, const struct option_list *files, struct attempt_list *out, struct error *err)
{
  const struct eval_given *s = c->settings;
  for (size_t i = 0; i < files->count; i++) TRY(attempts_read(c->arena, files->items[i], s->by, out, err));
  return attempts_check(c->arena, out, err);
}

/* Problems of --data or the recipe for attempts that were stored without theirs; then the verdicts, by --verifier, by
   what one entry of data says, or else by whom each attempt names. */
static int judge_again(struct cli *c, const struct eval_plan *plan, struct attempt_list *list, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct rejudge_options o = {.verifier = s->verifier, .workers = JUDGES, .stopped = cli_stopped};
  size_t changed;
  if (plan->generate.data_count == 1) {
    const struct source_options *only = &plan->generate.data[0];
    o.verifier = only->verifier;
    o.settings = only->verifier_settings;
    o.setting_count = only->verifier_setting_count;
  }
  for (size_t i = 0; i < plan->generate.data_count; i++) {
    struct source *source;
    TRY(source_open(c->arena, &plan->generate.data[i], (int)i, (uint64_t)c->seed, &source, err));
    TRY(attempts_attach(c->arena, list, source, err));
  }
  TRY(attempts_rejudge(c->arena, list, &o, &changed, err));
  log_info("%zu of %zu attempts are judged otherwise than before", changed, list->count);
  return 0;
}

static int write_attempts(struct cli *c, const char *path, const struct attempt_list *list, struct error *err)
{
  struct output *output;
  struct text t = {0};
  c->out = path;
  int rc = output_open(c, &output, err);
  for (size_t i = 0; i < list->count && !rc; i++) {
    text_puts(&t, "{");
    attempt_put_fields(&t, &list->items[i]);
    text_puts(&t, "}");
    rc = output_line(output, &t, err);
  }
  text_free(&t);
  return rc ? rc : output_close(output, err);
}

static int take_stored(struct cli *c, const struct eval_plan *plan, struct attempt_list *list, struct error *err)
{
  const struct eval_given *s = c->settings;
  bool again = s->rejudge || s->verifier;
  if (plan->generate.data_count && !again && !s->perplexity)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--data",
            "found problems with --from; expected them with --rejudge, --verifier KIND or --perplexity MODEL only");
  TRY(read_files(c, &s->from, list, err));
  return again ? judge_again(c, plan, list, err) : 0;
}

/* Attempts go to --out, the report to stdout. */
static int attempt_all(struct cli *c, const struct eval_plan *plan, struct attempt_list *list, struct error *err)
{
  struct output *output = NULL;
  if (!plan->generate.data_count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--data",
            "found no --data; expected a problem file or task:NAME, or --recipe FILE, or --from FILE");
  if (plan->k_count && plan->ks[plan->k_count - 1] > plan->generate.samples)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--k",
            "found --k %s with %lld samples; expected at most that; take more --samples",
            ((const struct eval_given *)c->settings)->k ? ((const struct eval_given *)c->settings)->k : "of the recipe",
            (long long)plan->generate.samples);
  if (c->out) TRY(output_open(c, &output, err));
  TRY(eval_generate(c, c->arguments[0], &plan->generate, output, list, err));
  c->out = NULL;
  return output ? output_close(output, err) : 0;
}

/* ---- perplexity -------------------------------------------------------------------------------------------------- */

/* Those that are known, ascending. */
static int score_list(struct cli *c, struct perplexity *p, const struct attempt_list *l, double **out, size_t *count,
                      struct error *err)
{
  *out = ARENA_NEW(c->arena, double, l->count, "eval", err);
  if (!*out) return err->code;
  TRY(perplexity_score(p, l, *out, err));
  eval_sort(*out, l->count);
  for (*count = l->count; *count && math_is_nan((*out)[*count - 1]);) --*count;
  if (!*count) FAIL(err, ERROR_INPUT, "found no attempt with a text that fits the model; expected at least one");
  return 0;
}

static void put_quartiles(struct cli *c, struct text *t, const char *name, const double *x, size_t n)
{
  double low = eval_quantile(x, n, 0.25), middle = eval_quantile(x, n, 0.5), high = eval_quantile(x, n, 0.75);
  if (!c->json) {
    text_printf(t, "perplexity %-7s %.3f median, %.3f to %.3f the middle half of %zu answers\n", name, middle, low,
                high, n);
    return;
  }
  text_printf(t, "\"%s\": {\"count\": %zu, \"quartiles\": [", *name ? name : "answers", n);
  json_put_f64(t, low);
  text_puts(t, ", ");
  json_put_f64(t, middle);
  text_puts(t, ", ");
  json_put_f64(t, high);
  text_puts(t, "]}");
}

/* Perplexities of the answers before (and after, where there is such a list) under the model of --perplexity. */
static int put_perplexity(struct cli *c, const struct eval_plan *plan, const struct attempt_list *list,
                          const struct attempt_list *after, struct text *t, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct perplexity *p;
  double *x, *y;
  size_t n, m;
  if (!plan->generate.data_count)
    FAIL_AT(
        err, ERROR_INPUT, NULL, 0, "--perplexity",
        "found --perplexity without problems; expected --data FILE or --recipe FILE, as when the attempts were made");
  TRY(perplexity_open(c, s->perplexity, &plan->generate, &p, err));
  TRY(score_list(c, p, list, &x, &n, err));
  if (c->json) t->size--, text_puts(t, ", \"perplexity\": {");
  put_quartiles(c, t, after ? "before" : "", x, n);
  if (after) {
    TRY(score_list(c, p, after, &y, &m, err));
    struct boundary_portion portion = boundary_lower_portion(y, m, x, n);
    if (c->json) text_puts(t, ", ");
    put_quartiles(c, t, "after", y, m);
    text_printf(t,
                c->json ? ", \"after_below_median\": %.6f, \"after_lower\": %.6f"
                        : "           %.1f %% of those after lie below the median before; after is lower in %.1f %% "
                          "of all pairs\n",
                c->json ? portion.below : 100 * portion.below, c->json ? portion.lower : 100 * portion.lower);
  }
  if (c->json) text_puts(t, "}}");
  return 0;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static int write_svg(struct cli *c, const char *title, const struct plot_line *lines, size_t count, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct file_writer *w;
  struct text t = {0};
  plot_put_svg(&t, title, lines, count);
  int rc = text_finish(&t, err);
  if (!rc) rc = file_writer_open(c->arena, s->svg, &w, err);
  if (!rc) rc = file_writer_write(w, t.bytes, t.size, err);
  if (!rc) rc = file_writer_commit(w, err);
  text_free(&t);
  return rc;
}

static int print_result(struct cli *c, struct text *t, struct error *err)
{
  if (c->json) text_puts(t, "\n");
  return print_text(c, t, err);
}

static int plot_comparison(struct cli *c, const struct eval_comparison *r, struct error *err)
{
  struct plot_point before[EVAL_MAX_K], after[EVAL_MAX_K];
  for (size_t i = 0; i < r->k_count; i++) {
    before[i] = (struct plot_point){r->at[i].k, r->at[i].before.mean, r->at[i].before.low, r->at[i].before.high};
    after[i] = (struct plot_point){r->at[i].k, r->at[i].after.mean, r->at[i].after.low, r->at[i].after.high};
  }
  const struct plot_line lines[] = {{"before", before, r->k_count}, {"after", after, r->k_count}};
  return write_svg(c, "pass@k before and after", lines, 2, err);
}

static int compare(struct cli *c, const struct eval_plan *plan, const struct attempt_list *list, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct attempt_list after = {0};
  struct eval_comparison r;
  struct text t = {0};
  TRY(read_files(c, &s->against, &after, err));
  if (s->verifier || s->rejudge) TRY(judge_again(c, plan, &after, err));
  TRY(eval_compare(c->arena, list, &after, plan->ks, plan->k_count, &r, err));
  if (s->svg) TRY(plot_comparison(c, &r, err));
  if (c->json)
    eval_comparison_put_json(&t, &r);
  else
    eval_comparison_put_text(&t, &r, LISTED);
  int rc = s->perplexity ? put_perplexity(c, plan, list, &after, &t, err) : 0;
  if (!rc) rc = print_result(c, &t, err);
  text_free(&t);
  return rc;
}

static int plot_report(struct cli *c, const struct eval_report *r, const struct cot_report *cot, struct error *err)
{
  struct plot_point pass[EVAL_MAX_K], majority[EVAL_MAX_K], chains[EVAL_MAX_K];
  struct plot_line lines[3] = {{"pass@k, 95 % interval", pass, r->k_count}, {"majority@k", majority, 0}};
  const double nan = __builtin_nan("");
  size_t count = 2, votes = 0;
  for (size_t i = 0; i < r->k_count; i++) {
    const struct eval_at_k *at = &r->at[i];
    pass[i] = (struct plot_point){at->k, at->pass, at->low, at->high};
    if (at->majority >= 0) majority[votes++] = (struct plot_point){at->k, at->majority, nan, nan};
  }
  lines[1].count = votes;
  if (cot) lines[count++] = (struct plot_line){"CoT-pass@k, all to any", chains, cot->k_count};
  for (size_t i = 0; cot && i < cot->k_count; i++)
    chains[i] = (struct plot_point){cot->at[i].k, cot->at[i].cot[COT_MAJORITY], cot->at[i].cot[COT_ALL],
                                    cot->at[i].cot[COT_ANY]};
  return write_svg(c, "pass@k", lines, count, err);
}

static int report(struct cli *c, const struct eval_plan *plan, const struct attempt_list *list, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct eval_report r;
  struct cot_report cot;
  struct text t = {0};
  TRY(eval_report_make(c->arena, list, plan->ks, plan->k_count, &r, err));
  if (s->cot.count)
    TRY(cot_report_make(c->arena, list, s->cot.items, s->cot.count, COT_SPLIT, plan->ks, plan->k_count, &cot, err));
  if (s->svg) TRY(plot_report(c, &r, s->cot.count ? &cot : NULL, err));
  if (c->json) {
    eval_report_put_json(&t, &r);
    if (s->cot.count) t.size--, text_puts(&t, ", \"cot\": "), cot_report_put_json(&t, &cot), text_puts(&t, "}");
  } else {
    eval_report_put_text(&t, &r);
    if (s->cot.count) cot_report_put_text(&t, &cot);
  }
  int rc = s->perplexity ? put_perplexity(c, plan, list, NULL, &t, err) : 0;
  if (!rc) rc = print_result(c, &t, err);
  text_free(&t);
  return rc;
}

static int check(const struct cli *c, struct error *err)
{
  const struct eval_given *s = c->settings;
  const char *both = "assay eval MODEL --data DATA, or assay eval --from FILE";
  const char *lone = s->rejudge ? "--rejudge" : s->against.count ? "--against" : s->perplexity ? "--perplexity" : NULL;
  if (s->from.count && c->argument_count && !s->recipe)
    FAIL(err, ERROR_INPUT, "found both MODEL and --from; expected: %s", both);
  if (!s->from.count && !c->argument_count)
    FAIL(err, ERROR_INPUT, "found neither MODEL nor --from; expected: %s", both);
  if (lone && !s->from.count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, lone, "found %s without --from; expected --from FILE with stored attempts",
            lone);
  if (s->against.count && s->cot.count)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--cot", "found --cot with --against; expected one of them");
  return 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct eval_given *s = c->settings;
  struct eval_plan plan;
  struct attempt_list list = {0};
  bool stored = s->from.count;
  int model = stored ? 0 : 1;
  TRY(check(c, err));
  TRY(eval_plan_make(c->arena, s, c->arguments + model, c->argument_count - model, &plan, err));
  const char *out = stored ? c->out : NULL;
  if (stored) c->out = NULL;
  TRY(stored ? take_stored(c, &plan, &list, err) : attempt_all(c, &plan, &list, err));
  TRY(s->against.count ? compare(c, &plan, &list, err) : report(c, &plan, &list, err));
  return out ? write_attempts(c, out, &list, err) : 0;
}

const struct command command_eval = {
    .name = "eval",
    .help = "Accuracy with its interval, pass@k, majority@k, lengths; two runs compared",
    .arguments = "MODEL --data FILE|task:NAME | MODEL --recipe FILE [key=value ...] | --from FILE [--against FILE]",
    .about =
        "Answers problems and judges the answers; every attempt goes into --out as JSON Lines {problem, sample, "
        "reward,\n"
        "correct, readable, extracted, tokens, finish, data, seed, entropy, logp, reason, text, verifier, answer}.\n"
        "--from recomputes the report from such files, --rejudge judges their texts again, --against compares two\n"
        "runs at the same problems: what was gained and lost, whether chance does as much, where the curves cross.\n"
        "accuracy is the mean over problems; its 95 % interval is Wilson's, with as many trials as the spread between\n"
        "problems allows (several samples of one problem are not independent), and by bootstrap over problems.\n"
        "pass@k is the unbiased estimator, all: k of k right, majority: the right answer wins the vote of k, best and\n"
        "worst: expected largest and smallest reward of k. What the numbers mean: docs/guide/evaluation.md.",
    .example = "assay eval models/tiny --data task:addition,digits=2,format=plain --problems 50",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = -1,
    .run = run,
};
