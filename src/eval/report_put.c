/* A report as JSON and as lines for a person: declared in eval/report.h. */
#include <stdio.h>
#include <string.h>
#include "core/math.h"
#include "eval/report.h"

/* ---- as JSON ----------------------------------------------------------------------------------------------------- */

static void put_number(struct text *t, const char *key, double x)
{
  text_printf(t, ", \"%s\": ", key);
  json_put_f64(t, x);
}

static void put_ks(struct text *t, const char *name, const struct eval_report *r, size_t at)
{
  text_printf(t, ", \"%s\": {", name);
  for (size_t i = 0; i < r->k_count; i++) {
    double x;
    memcpy(&x, (const char *)&r->at[i] + at, sizeof x);
    text_printf(t, "%s\"%lld\": ", i ? ", " : "", (long long)r->at[i].k);
    json_put_f64(t, x);
  }
  text_puts(t, "}");
}

static void put_rate(struct text *t, const struct eval_rate *d)
{
  text_puts(t, "{");
  if (d->name) text_puts(t, "\"name\": "), json_put_string(t, d->name, strlen(d->name)), text_puts(t, ", ");
  text_printf(t, "\"problems\": %zu, \"attempts\": %zu", d->problems, d->attempts);
  put_number(t, "accuracy", d->accuracy);
  put_number(t, "low", d->low);
  put_number(t, "high", d->high);
  text_puts(t, "}");
}

void eval_report_put_json(struct text *t, const struct eval_report *r)
{
  text_printf(t, "{\"problems\": %zu, \"attempts\": %zu", r->problems, r->attempts);
  put_number(t, "accuracy", r->accuracy);
  put_number(t, "low", r->low);
  put_number(t, "high", r->high);
  text_puts(t, ", \"bootstrap\": [");
  json_put_f64(t, r->resampled.low);
  text_puts(t, ", ");
  json_put_f64(t, r->resampled.high);
  text_puts(t, "]");
  put_ks(t, "pass@k", r, offsetof(struct eval_at_k, pass));
  put_ks(t, "pass@k_low", r, offsetof(struct eval_at_k, low));
  put_ks(t, "pass@k_high", r, offsetof(struct eval_at_k, high));
  put_ks(t, "all@k", r, offsetof(struct eval_at_k, all));
  put_ks(t, "majority@k", r, offsetof(struct eval_at_k, majority));
  put_ks(t, "best@k", r, offsetof(struct eval_at_k, best));
  put_ks(t, "worst@k", r, offsetof(struct eval_at_k, worst));
  put_number(t, "reward", r->reward);
  put_number(t, "readable", r->readable);
  text_puts(t, ", \"length\": {\"mean\": ");
  json_put_f64(t, r->tokens_mean);
  text_printf(t, ", \"max\": %lld}, \"finish\": {\"stop\": %zu, \"length\": %zu}", (long long)r->tokens_max, r->stop,
              r->length);
  put_number(t, "truncated", r->truncated);
  put_number(t, "repetition", r->repetition);
  put_number(t, "entropy", r->entropy);
  put_number(t, "logp", r->logp);
  if (r->failed) text_printf(t, ", \"failed\": %zu", r->failed);
  if (r->greedy.problems) text_puts(t, ", \"greedy\": "), put_rate(t, &r->greedy);
  if (r->domain_count) text_puts(t, ", \"domains\": [");
  for (size_t i = 0; i < r->domain_count; i++) {
    if (i) text_puts(t, ", ");
    put_rate(t, &r->domains[i]);
  }
  text_puts(t, r->domain_count ? "]}" : "}");
}

/* ---- for a person ------------------------------------------------------------------------------------------------ */

static void put_table(struct text *t, const struct eval_report *r)
{
  text_puts(t, "     k    pass  (95 %)          all  majority  best reward  worst\n");
  for (size_t i = 0; i < r->k_count; i++) {
    const struct eval_at_k *at = &r->at[i];
    char majority[16] = "     -  ";
    if (!math_is_nan(at->majority)) snprintf(majority, sizeof majority, "%5.1f %%", 100 * at->majority);
    text_printf(t, "%6lld %5.1f %%  %5.1f to %5.1f  %5.1f %%  %s      %7.4f %7.4f\n", (long long)at->k, 100 * at->pass,
                100 * at->low, 100 * at->high, 100 * at->all, majority, at->best, at->worst);
  }
}

static void put_domains(struct text *t, const struct eval_report *r)
{
  size_t wide = 6;
  for (size_t i = 0; i < r->domain_count; i++) {
    size_t n = strlen(r->domains[i].name);
    wide = n > wide ? n : wide;
  }
  if (wide > 40) wide = 40;
  text_printf(t, "%-*s  problems  accuracy  (95 %%)\n", (int)wide, "domain");
  for (size_t i = 0; i < r->domain_count; i++) {
    const struct eval_rate *d = &r->domains[i];
    text_printf(t, "%-*.*s  %8zu   %5.1f %%  %5.1f to %5.1f\n", (int)wide, (int)wide, d->name, d->problems,
                100 * d->accuracy, 100 * d->low, 100 * d->high);
  }
}

static void put_looks(struct text *t, const struct eval_report *r)
{
  text_printf(t, "reward     %.4f mean; an answer was read in %.1f %%\n", r->reward, 100 * r->readable);
  if (r->tokens_known)
    text_printf(t, "length     %.1f tokens mean, %lld at most\n", r->tokens_mean, (long long)r->tokens_max);
  if (r->stop + r->length)
    text_printf(t, "finish     stop %zu, length %zu (%.1f %% cut off)\n", r->stop, r->length, 100 * r->truncated);
  if (!math_is_nan(r->repetition))
    text_printf(t, "repetition %.1f %% of the 4-grams of words stood there before\n", 100 * r->repetition);
  if (!math_is_nan(r->entropy))
    text_printf(t, "entropy    %.3f nats a token; log-probability %.3f\n", r->entropy, r->logp);
}

void eval_report_put_text(struct text *t, const struct eval_report *r)
{
  text_printf(t, "problems   %zu, attempts %zu\n", r->problems, r->attempts);
  if (r->failed) text_printf(t, "failed     %zu attempts have no verdict and are left out\n", r->failed);
  text_printf(t, "accuracy   %.1f %%  (95 %% interval %.1f to %.1f; bootstrap %.1f to %.1f)\n", 100 * r->accuracy,
              100 * r->low, 100 * r->high, 100 * r->resampled.low, 100 * r->resampled.high);
  if (r->greedy.problems)
    text_printf(t, "greedy     %.1f %%  (95 %% interval %.1f to %.1f)\n", 100 * r->greedy.accuracy, 100 * r->greedy.low,
                100 * r->greedy.high);
  if (r->samples_most > 1) put_table(t, r);
  put_looks(t, r);
  if (r->domain_count) put_domains(t, r);
}
