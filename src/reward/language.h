/* reward/language: which language a text is written in, by means that can be read here.
 *
 * Letters are counted by script. A script that one language uses decides (Thai, Hangul, Kana, Tamil, ...). Where
 * several languages share a script, they are told apart by their most frequent words and by letters that only some of
 * them have; the language with the largest share of its words in the text wins, ties to the earlier row of the table.
 * Latin letters decide only where they are at least half as many as the others (quoted English in a Hindi text does not
 * make it English). Links and mail addresses are left aside; the first 2,000
 * words are read. Where a script is shared, a text in
 * which none of them is found, or in which the best is less than a tenth ahead of the next, is undetermined, "und": a
 * name, or one common word over and over, is in no language.
 *
 * Languages: those of ISO 639-1 with a row in language.c; Chinese is "zh-cn".
 */
#ifndef ASSAY_REWARD_LANGUAGE_H
#define ASSAY_REWARD_LANGUAGE_H

#include <stdbool.h>
#include <stddef.h>

/* The code ("en", "hi", "zh-cn", "und"), or NULL where the text has no letter. */
const char *language_detect(const char *s, size_t n);

#endif
