#include "cli/cli.h"
#include "train/replay.h"

#include <inttypes.h>
#include <string.h>

struct settings {
  int64_t step, rollout;
  const char *problem;
};
static const struct settings defaults = {.rollout = -1};
static const struct option options[] = {
    {"--step", "S", OPTION_INT, offsetof(struct settings, step), 1, 1e9, "step of the rollout; 1 is the first"},
    {"--problem", "ID", OPTION_TEXT, offsetof(struct settings, problem), 0, 0,
     "id of the problem, as rollouts/ has it (default: all of the step)"},
    {"--rollout", "I", OPTION_INT, offsetof(struct settings, rollout), 0, 1e9,
     "which of the problem's rollouts, from 0 (default: all)"}};

/* "3, token 5, logp: recorded -0.12, now -0.13" */
static void put_difference(struct text *t, const struct replayed *p)
{
  if (p->token >= 0) text_printf(t, "token %" PRId64 ", ", p->token);
  text_printf(t, "%s: recorded %s, now %s", p->field, p->recorded, p->now);
}

static void put_plain(struct text *t, const struct replayed *p)
{
  text_printf(t, "problem %s, rollout %" PRId64 ": ", p->problem, p->rollout);
  if (p->field) {
    text_puts(t, "differs at ");
    put_difference(t, p);
  } else {
    text_printf(t, "identical (%" PRId64 " tokens) ", p->tokens);
    json_put_string(t, p->text, strlen(p->text));
  }
  text_puts(t, "\n");
}

static void put_json(struct text *t, int64_t step, int64_t start, const struct replayed *p)
{
  text_printf(t, "{\"step\": %" PRId64 ", \"from\": %" PRId64 ", \"problem\": ", step, start);
  json_put_string(t, p->problem, strlen(p->problem));
  text_printf(t, ", \"group\": %" PRId64 ", \"attempt\": %" PRId64 ", \"rollout\": %" PRId64 ", \"identical\": %s",
              p->group, p->attempt, p->rollout, p->field ? "false" : "true");
  text_printf(t, ", \"tokens\": %" PRId64 ", \"text\": ", p->tokens);
  json_put_string(t, p->text, strlen(p->text));
  text_puts(t, ", \"first\": ");
  if (p->field) {
    text_puts(t, "{\"token\": ");
    text_printf(t, p->token < 0 ? "null" : "%" PRId64, p->token);
    text_puts(t, ", \"field\": ");
    json_put_string(t, p->field, strlen(p->field));
    text_printf(t, ", \"recorded\": %s, \"now\": %s}", strcmp(p->recorded, "absent") ? p->recorded : "null",
                strcmp(p->now, "absent") ? p->now : "null");
  } else {
    text_puts(t, "null");
  }
  text_puts(t, "}\n");
}

static int print_result(struct cli *c, int64_t step, const struct replay_result *r, struct error *err)
{
  struct text t = {0};
  for (size_t i = 0; i < r->count; i++) {
    if (c->json)
      put_json(&t, step, r->start, &r->rollouts[i]);
    else
      put_plain(&t, &r->rollouts[i]);
  }
  int rc = print_text(c, &t, err);
  text_free(&t);
  return rc;
}

static int fail_different(const char *run, int64_t step, const struct replay_result *r, struct error *err)
{
  struct text t = {0};
  const struct replayed *p = r->rollouts;
  while (!p->field) p++;
  put_difference(&t, p);
  error_fail(
      err, ERROR_LAW, run, 0, NULL,
      "%zu of %zu rollouts of step %" PRId64 " differ from their record, first problem %s, rollout %" PRId64
      " at %s; expected the same bits; unless the record, a checkpoint, the start model, the data or the program "
      "was changed, report this",
      r->differing, r->count, step, p->problem, p->rollout, t.bytes ? t.bytes : "?");
  text_free(&t);
  return err->code;
}

static int run(struct cli *c, struct error *err)
{
  const struct settings *s = c->settings;
  struct replay_result result;
  if (!s->step)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--step",
            "found no --step; expected the step whose rollouts are to be made again: assay replay %s --step S",
            c->arguments[0]);
  if (c->compute)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--compute",
            "found --compute %s; expected none: a run is made again in the type that its recipe.yaml names",
            c->compute);
  struct replay_options o = {.run = c->arguments[0],
                             .overrides = c->arguments + 1,
                             .override_count = (size_t)c->argument_count - 1,
                             .step = s->step,
                             .problem = s->problem,
                             .rollout = s->rollout,
                             .threads = (int)c->threads,
                             .memory = (int64_t)c->memory,
                             .stop = cli_stopped};
  TRY(replay_run(c->arena, &o, &result, err));
  TRY(print_result(c, s->step, &result, err));
  return result.differing ? fail_different(c->arguments[0], s->step, &result, err) : 0;
}

const struct command command_replay = {
    .name = "replay",
    .help = "Makes a run's rollouts again and says whether they are the same bits",
    .arguments = "RUN [key=value ...]",
    .about =
        "Takes the newest checkpoint before the step (or the model that the run started from), trains forward in "
        "memory where that lies further back (the expected\n"
        "time comes first), generates the step again and compares tokens, log-probabilities, entropies, text, finish, "
        "verdict, reward and advantage with\n"
        "rollouts/STEP.jsonl.zst: `identical`, or where it first differs, with exit status 4. Nothing in the run is "
        "changed. Run it where the run was started:\n"
        "paths in its recipe are relative. key=value: keys that --resume has changed since. With --json one object a "
        "rollout: {step, from, problem, group,\n"
        "attempt, rollout, identical, tokens, text, first: {token, field, recorded, now}}.",
    .example =
        "run=$(mktemp -d)/try && assay train recipes/demo.yaml train.steps=2 rollout.problems=8 eval.problems=8 "
        "--run $run --quiet && assay replay $run --step 2 --rollout 0",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .defaults = &defaults,
    .settings_size = sizeof defaults,
    .least = 1,
    .most = -1,
    .run = run};
