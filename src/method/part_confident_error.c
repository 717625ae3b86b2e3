#include "method/part_confident_error.h"

#include "method/part_logistic.h"

double error_gate(enum error_gate gate, double shift)
{
  static const double LOG2 = 0.693147180559945309417;
  double softplus = -logistic_log(-shift);
  switch (gate) {
    case ERROR_GATE_SOFTPLUS:
      return softplus;
    case ERROR_GATE_RELU:
      return shift > 0 ? shift : 0;
    case ERROR_GATE_NONE:
      return 0;
    case ERROR_GATE_UNIFORM:
      return LOG2;
    case ERROR_GATE_CENTRED:
      return softplus > LOG2 ? softplus - LOG2 : 0;
  }
  return 0;
}

double error_factor(enum error_gate gate, double alpha, double shift, double advantage)
{
  return advantage < 0 ? 1 + alpha * error_gate(gate, shift) : 1;
}
