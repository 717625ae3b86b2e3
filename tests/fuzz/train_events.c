/* links: train. An event file that a kill may have cut anywhere: any bytes have a sound prefix, which is one again, and
 * behind which a record that is appended is found. */
#include <string.h>

#include "core/json.h"
#include "train/events.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
  const size_t sound = events_sound_prefix(bytes, size);
  ASSAY_BUG_IF(sound > size || events_sound_prefix(bytes, sound) != sound);
  struct text t = {0};
  text_add(&t, bytes, sound);
  events_put_restart(&t, 1.5, size ? bytes[0] : 0);
  if (!t.rc) ASSAY_BUG_IF(events_sound_prefix(t.bytes, t.size) != t.size);
  /* Without its last byte the new record is unsound, and nothing else. */
  if (!t.rc) ASSAY_BUG_IF(events_sound_prefix(t.bytes, t.size - 1) != sound);
  text_free(&t);
  return 0;
}
