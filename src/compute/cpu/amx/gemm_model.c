/* compute/cpu/amx/gemm_model: gemm.c with the tiles modelled in plain C. No table has it: a test lays it over a device
 * of a processor with AVX-512. */
#define ASSAY_TILE_MODEL
#define ops_overlay_bf16_amx ops_overlay_bf16_model
#include "compute/cpu/amx/gemm.c"
