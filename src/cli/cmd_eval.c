#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "eval/report.h"

struct settings {
  const char *from, *k;
};
static const struct settings defaults = {0};
static const struct option options[] = {
    {"--from", "FILE", OPTION_TEXT, offsetof(struct settings, from), 0, 0,
     "stored attempts: what --out wrote, or a run's rollouts/*.jsonl.zst"},
    {"--k", "LIST", OPTION_TEXT, offsetof(struct settings, k), 0, 0,
     "pass@k and majority@k, like 1,8,64 (default: 1, 2, 4, ... samples)"},
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

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct attempt_list list = {0};
  struct eval_report report;
  int64_t ks[EVAL_MAX_K];
  size_t count;
  TRY(read_ks(s->k, ks, &count, err));
  if (!s->from) FAIL_AT(err, ERROR_INPUT, NULL, 0, "--from", "found no --from; expected: assay eval --from FILE");
  TRY(attempts_read(c->arena, s->from, &list, err));
  TRY(eval_report_make(c->arena, &list, ks, count, &report, err));
  return print_report(c, &report, err);
}

const struct command command_eval = {
    .name = "eval",
    .help = "Accuracy with its interval, pass@k, majority@k, lengths, finish reasons",
    .arguments = "--from FILE",
    .about =
        "Recomputes the report from stored attempts, JSON Lines {problem, correct, extracted?, reward?, tokens?, "
        "finish?}.\n"
        "accuracy is the mean over problems; its 95 % interval is Wilson's, with as many trials as the spread between "
        "problems allows (several samples\n"
        "of one problem are not independent). pass@k is the unbiased estimator; majority@k the exact chance that the "
        "right answer wins the vote of k samples.",
    .example = "echo '{\"problem\": \"a\", \"correct\": true}' | assay eval --from -",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 0,
    .most = 0,
    .run = run,
};
