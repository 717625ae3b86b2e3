#include "reward/math_flint.h"
#include <pthread.h>
#include <stdbool.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool entered;

static void leave(void *unused)
{
  (void)unused;
  flint_cleanup();
}

static void make_key(void)
{
  (void)!pthread_key_create(&key, leave);
}

void math_flint_enter(void)
{
  if (entered) return;
  pthread_once(&once, make_key);
  pthread_setspecific(key, &entered);
  entered = true;
}
