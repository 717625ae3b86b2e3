/* method/part_thoughts: how often a response turns to another idea or looks back, by words that tell it. */
#ifndef ASSAY_METHOD_PART_THOUGHTS_H
#define ASSAY_METHOD_PART_THOUGHTS_H

#include <stddef.h>
#include <stdint.h>

/* Whole words of the list "a|b|c" (lower case) in text [n], ASCII letters of either case. Something that is no ASCII
 * letter stands on both sides of a word. */
int64_t thoughts_count(const char *text, size_t n, const char *words);

#endif
