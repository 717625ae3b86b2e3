/* method/part_confident_error: wrong responses that the policy has become surer of are punished harder (ACE, arXiv
 * 2602.21420).
 *
 *     c = (1/n) sum_t (logp_t - reference_t)            or the sum; 0 without tokens
 *     s = gate(c)        softplus  max(c, 0) + log1p(exp(-|c|))
 *                        relu      max(c, 0)
 *                        none      0
 *                        uniform   log 2                what softplus gives where policy and reference agree
 *                        centred   max(softplus - log 2, 0)
 *     A' = A (1 + alpha s) where A < 0, else A
 */
#ifndef ASSAY_METHOD_PART_CONFIDENT_ERROR_H
#define ASSAY_METHOD_PART_CONFIDENT_ERROR_H

enum error_gate { ERROR_GATE_SOFTPLUS, ERROR_GATE_RELU, ERROR_GATE_NONE, ERROR_GATE_UNIFORM, ERROR_GATE_CENTRED };
#define ERROR_GATE_WORDS "softplus|relu|none|uniform|centred"

double error_gate(enum error_gate gate, double shift);
/* What A is multiplied by. */
double error_factor(enum error_gate gate, double alpha, double shift, double advantage);

#endif
