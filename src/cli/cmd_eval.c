#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/eval_generate.h"

struct settings {
  const char *from, *k;
  struct eval_settings generate;
};
static const struct settings defaults = {
    .generate = {.samples = 1, .max_new_tokens = 256, .slots = 32, .sampling = {.temperature = 1, .top_p = 1}}};

#define AT(field) offsetof(struct settings, generate.field)
static const struct option options[] = {
    {"--data", "DATA", OPTION_TEXT, AT(data), 0, 0, "a problem file, or task:NAME,key=value,... (its held-out side)"},
    {"--verifier", "KIND", OPTION_TEXT, AT(verifier), 0, 0, "who judges (default: the lines' own, or the task)"},
    {"--samples", "N", OPTION_INT, AT(samples), 1, 4096, "attempts at each problem (default 1)"},
    {"--problems", "N", OPTION_INT, AT(problems), 1, 1e9, "at most so many (default: all; 256 of an endless task)"},
    {"--k", "LIST", OPTION_TEXT, offsetof(struct settings, k), 0, 0,
     "pass@k and majority@k, like 1,8,64 (default: 1, 2, 4, ... samples)"},
    {"--max-new-tokens", "N", OPTION_INT, AT(max_new_tokens), 1, 1e6, "longest answer (default 256)"},
    {"--temperature", "T", OPTION_REAL, AT(sampling.temperature), 0, 100, "0: greedy (default 1)"},
    {"--top-p", "P", OPTION_REAL, AT(sampling.top_p), 0, 1, "the fewest tokens with this mass (default: off)"},
    {"--top-k", "K", OPTION_INT, AT(top_k), 0, 1e6, "the K most likely tokens (default: off)"},
    {"--min-p", "P", OPTION_REAL, AT(sampling.min_p), 0, 1, "tokens with this share of the largest (default: off)"},
    {"--stop", "TEXT", OPTION_TEXT, AT(stop), 0, 0, "end an answer in front of this text"},
    {"--system", "TEXT", OPTION_TEXT, AT(system), 0, 0, "system message in front of each problem"},
    {"--suffix", "TEXT", OPTION_TEXT, AT(suffix), 0, 0, "text behind each question"},
    {"--slots", "N", OPTION_INT, AT(slots), 1, 4096, "answers made together; moves no bit (default 32)"},
    {"--from", "FILE", OPTION_TEXT, offsetof(struct settings, from), 0, 0,
     "no model: stored attempts, as --out wrote them, or a run's rollouts/*.jsonl.zst"},
};

/* "1,8,64", ascending. */
static int read_ks(const char *text, int64_t ks[EVAL_MAX_K], size_t *count, struct error *err)
{
  const char *all = text;
  for (*count = 0; text && *text;) {
    char *end;
    long long k = strtoll(text, &end, 10);
    if (end == text || (*end && *end != ',') || k < 1 || *count == EVAL_MAX_K || (*count && k <= ks[*count - 1]))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "--k",
              "found --k \"%s\"; expected at most %d whole numbers in ascending order, like 1,8,64", all, EVAL_MAX_K);
    ks[(*count)++] = k;
    text = *end ? end + 1 : end;
  }
  return 0;
}

static int print_report(struct cli *c, const struct eval_report *r, struct error *err)
{
  struct text t = {0};
  if (c->json) {
    eval_report_put_json(&t, r);
    text_puts(&t, "\n");
  } else {
    eval_report_put_text(&t, r);
  }
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

/* Attempts go to --out, the report to stdout. */
static int attempt_all(struct cli *c, struct attempt_list *list, struct error *err)
{
  const struct settings *s = c->settings;
  struct output *output = NULL;
  if (!s->generate.data)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--data",
            "found no --data; expected a problem file or task:NAME, or --from FILE");
  if (c->out) TRY(output_open(c, &output, err));
  TRY(eval_generate(c, c->arguments[0], &s->generate, output, list, err));
  c->out = NULL;
  return output ? output_close(output, err) : 0;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct attempt_list list = {0};
  struct eval_report report;
  int64_t ks[EVAL_MAX_K];
  size_t count;
  TRY(read_ks(s->k, ks, &count, err));
  if (!s->from == !c->argument_count)
    FAIL(err, ERROR_INPUT, "found %s; expected: assay eval MODEL --data DATA, or assay eval --from FILE",
         s->from ? "both MODEL and --from" : "neither MODEL nor --from");
  if (count && !s->from && ks[count - 1] > s->generate.samples)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--k",
            "found --k %s with %lld samples; expected at most that; take more --samples", s->k,
            (long long)s->generate.samples);
  TRY(s->from ? attempts_read(c->arena, s->from, &list, err) : attempt_all(c, &list, err));
  TRY(eval_report_make(c->arena, &list, ks, count, &report, err));
  return print_report(c, &report, err);
}

const struct command command_eval = {
    .name = "eval",
    .help = "Accuracy with its interval, pass@k, majority@k, lengths, finish reasons",
    .arguments = "MODEL --data FILE|task:NAME | --from FILE",
    .about =
        "Answers problems and judges the answers; every attempt goes into --out as JSON Lines {problem, sample, "
        "reward,\n"
        "correct, readable, extracted, tokens, finish, reason, text}. --from recomputes the report from such a file.\n"
        "accuracy is the mean over problems; its 95 % interval is Wilson's, with as many trials as the spread between\n"
        "problems allows (several samples of one problem are not independent). pass@k is the unbiased estimator,\n"
        "majority@k the exact chance that the right answer wins the vote of k samples.",
    .example = "assay eval models/tiny --data task:addition,digits=2,format=plain --problems 50",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = 1,
    .run = run,
};
