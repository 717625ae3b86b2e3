/* method/part_logistic: the logistic function and its logarithm without overflow at either end. */
#ifndef ASSAY_METHOD_PART_LOGISTIC_H
#define ASSAY_METHOD_PART_LOGISTIC_H

/* 1 / (1 + exp(-x)) */
double logistic(double x);
/* log(1 / (1 + exp(-x))); its derivative is logistic(-x) */
double logistic_log(double x);

#endif
