/* cli/eval_perplexity: how likely a model (usually the start of the training) finds stored answers: part of the audit
 * of the reasoning boundary (eval/boundary.h).
 */
#ifndef ASSAY_CLI_EVAL_PERPLEXITY_H
#define ASSAY_CLI_EVAL_PERPLEXITY_H

#include "cli/eval_generate.h"

struct perplexity;
/* Opens and loads the model, and reads the problems of settings->data. */
int perplexity_open(struct cli *c, const char *model, const struct eval_settings *settings, struct perplexity **out,
                    struct error *err) MUST_USE;
/* exp(-mean log-probability) at temperature 1 of each attempt's text behind its problem's prompt; its end token is not
   stored and not counted. NaN: no text, or too long for the model. out: [l->count]. A problem that the data lack is
   ERROR_INPUT. */
int perplexity_score(struct perplexity *p, const struct attempt_list *l, double *out, struct error *err) MUST_USE;

#endif
