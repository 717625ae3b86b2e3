/* compute/cpu/simd/overlay: the parts of ops_overlay_avx2, _avx512 and _neon, one per file of those folders. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_OVERLAY_H
#define ASSAY_COMPUTE_CPU_SIMD_OVERLAY_H

struct backend_ops;

void overlay_gemm_avx2(struct backend_ops *ops);
void overlay_gemm_avx512(struct backend_ops *ops);
void overlay_attention_avx2(struct backend_ops *ops);
void overlay_attention_avx512(struct backend_ops *ops);
void overlay_elementwise_avx2(struct backend_ops *ops);
void overlay_elementwise_avx512(struct backend_ops *ops);
void overlay_head_avx2(struct backend_ops *ops);
void overlay_head_avx512(struct backend_ops *ops);
void overlay_gemm_neon(struct backend_ops *ops);
void overlay_attention_neon(struct backend_ops *ops);
void overlay_elementwise_neon(struct backend_ops *ops);
void overlay_head_neon(struct backend_ops *ops);
/* Compute type bf16. */
void overlay_gemm_bf16_avx2(struct backend_ops *ops);
void overlay_attention_bf16_avx2(struct backend_ops *ops);
void overlay_gemm_bf16_avx512(struct backend_ops *ops);
void overlay_attention_bf16_avx512(struct backend_ops *ops);
void overlay_gemm_bf16_neon(struct backend_ops *ops);
void overlay_attention_bf16_neon(struct backend_ops *ops);

#endif
