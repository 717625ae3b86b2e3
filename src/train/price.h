/* train/price: what methods cost beside the training that a step makes anyhow, before a run.
 *
 * The unit is a forward of the policy over a step's prompts and answers, as the KL to a reference adds one. What is a
 * matrix product is counted in multiply-adds, from shapes; what is not, in instructions of the compiled loops beside
 * those of a product (price.c has the counts). `assay methods --resolve` shows it, `assay train --dry-run` takes its
 * seconds from it, and bench/method/overhead.sh holds it against counted instructions.
 */
#ifndef ASSAY_TRAIN_PRICE_H
#define ASSAY_TRAIN_PRICE_H

#include "method/method.h"
#include "model/model.h"

/* A step, and whose forwards these are. */
struct price_shape {
  const struct model_config *policy;
  const struct model_config *reference, *policies; /* of needs.policies; NULL: as large as the policy */
  double groups, prompt;                           /* prompts of a step, tokens of each */
  double group, answer;                            /* answers to each, tokens of each */
  double second;                                   /* tokens of a second context that no method gives the length of */
  double updates;                                  /* epochs x mini-batches of the main update */
  bool recompute;                                  /* training makes its forward twice */
};

struct price {
  double passes;  /* scoring passes, what stands in them beside the own tokens, and law 1's own where a method asks for
                     more  updates */
  double rows;    /* whole rows of logits */
  double again;   /* trained beside the step's rollouts, in shares of their training; below 0: less is trained */
  double trained; /* the same in forwards */
  double updates; /* moves of the weights and of their average */
  double probes;  /* answers that are not trained */
  double own;     /* the methods' own arithmetic */
  double total;
};

void price_step(const struct needs *n, const struct price_shape *s, struct price *out);

#endif
