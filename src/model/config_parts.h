/* model/config_parts: what the files that read and write config.json share. */
#ifndef ASSAY_MODEL_CONFIG_PARTS_H
#define ASSAY_MODEL_CONFIG_PARTS_H

#include "model/config.h"

/* Null, false and this number change nothing. */
bool config_is_neutral(const json_t *v, double neutral);
/* A size of 0 or more; absent and null: fallback. */
int config_size_or(const json_t *o, const char *key, int fallback, int *out, const char *where,
                   struct error *err) MUST_USE;

/* rope_theta, rope_scaling and rope_parameters, rotated dimensions. After the sizes. */
int config_read_rope(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                     struct error *err) MUST_USE;
/* sliding_window, layer_types, no_rope_layers. After the sizes. */
int config_read_layers(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err) MUST_USE;

void config_put_key(struct text *t, const char *key);
void config_put_flag(struct text *t, const char *key, bool value);
void config_put_number(struct text *t, const char *key, int value);
void config_put_real(struct text *t, const char *key, double value);
void config_put_rope(struct text *t, const struct model_config *c, const struct model_family *f);
void config_put_layers(struct text *t, const struct model_config *c, const struct model_family *f);

#endif
