/* What this process may use of the machine: cores and memory, as affinity and control groups (v2, then v1) allow. */
#define _GNU_SOURCE 1
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/pool.h"

/* Reads at most size - 1 bytes of a small file; false if it is not there. */
static bool read_small(const char *path, char *text, size_t size)
{
  FILE *f = fopen(path, "re");
  if (!f) return false;
  size_t n = fread(text, 1, size - 1, f);
  fclose(f);
  text[n] = '\0';
  return n > 0;
}

/* Calls fn for the group of this process and for each above it: a limit may stand at any level. */
static void each_group(const char *line_start, const char *mount, void (*fn)(const char *folder, void *arg), void *arg)
{
  char groups[8192], folder[8400];
  const char *path = "/";
  if (read_small("/proc/self/cgroup", groups, sizeof groups)) {
    char *line = strstr(groups, line_start);
    if (line) {
      path = line + strlen(line_start);
      char *end = strchr(line, '\n');
      if (end) *end = '\0';
    }
  }
  snprintf(folder, sizeof folder, "%s%s", mount, path);
  size_t root = strlen(mount);
  for (;;) {
    fn(folder, arg);
    char *slash = strrchr(folder, '/');
    if (!slash || (size_t)(slash - folder) < root) return;
    *slash = '\0';
  }
}

/* --- Cores --- */

static void lower_cores(double quota, double period, double *cores)
{
  if (quota > 0 && period > 0 && quota / period < *cores) *cores = quota / period;
}

static void cores_v2(const char *folder, void *arg)
{
  char path[8600], text[64], *end;
  snprintf(path, sizeof path, "%s/cpu.max", folder);
  if (!read_small(path, text, sizeof text)) return;
  double quota = strtod(text, &end); /* "max" reads as 0 */
  lower_cores(quota, strtod(end, NULL), arg);
}

static void cores_v1(const char *folder, void *arg)
{
  char path[8600], quota[64], period[64];
  snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
  if (!read_small(path, quota, sizeof quota)) return;
  snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
  if (!read_small(path, period, sizeof period)) return;
  lower_cores(strtod(quota, NULL), strtod(period, NULL), arg);
}

int cores_available(void)
{
  double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
  for (int most = 1024; most <= 1 << 16; most *= 4) {
    cpu_set_t *set = CPU_ALLOC((size_t)most);
    size_t size = CPU_ALLOC_SIZE((size_t)most);
    bool known = set && sched_getaffinity(0, size, set) == 0;
    if (known) cores = CPU_COUNT_S(size, set);
    CPU_FREE(set);
    if (known) break;
  }
  each_group("0::", "/sys/fs/cgroup", cores_v2, &cores);
  each_group("cpu,cpuacct:", "/sys/fs/cgroup/cpu", cores_v1, &cores);
  int whole = (int)cores;
  whole += (double)whole < cores;
  return whole > 1 ? whole : 1;
}

/* --- Memory --- */

/* The number behind `name` in a text of "name number" lines, or -1. */
static double number_behind(const char *text, const char *name)
{
  const char *at = strstr(text, name);
  return at ? strtod(at + strlen(name), NULL) : -1;
}

/* What a group has left: its limit less what it uses, but for file pages that the kernel would drop. */
static void lower_memory(const char *folder, const char *limit_name, const char *used_name, double *bytes)
{
  char path[8600], limit[64], used[64], stat[8192];
  snprintf(path, sizeof path, "%s/%s", folder, limit_name);
  if (!read_small(path, limit, sizeof limit) || limit[0] == 'm') return;
  snprintf(path, sizeof path, "%s/%s", folder, used_name);
  if (!read_small(path, used, sizeof used)) return;
  snprintf(path, sizeof path, "%s/memory.stat", folder);
  double dropped = read_small(path, stat, sizeof stat) ? number_behind(stat, "inactive_file ") : 0;
  double left = strtod(limit, NULL) - strtod(used, NULL) + (dropped > 0 ? dropped : 0);
  if (left < *bytes) *bytes = left > 0 ? left : 0;
}

static void memory_v2(const char *folder, void *arg)
{
  lower_memory(folder, "memory.max", "memory.current", arg);
}

static void memory_v1(const char *folder, void *arg)
{
  lower_memory(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", arg);
}

size_t memory_available_bytes(void)
{
  char text[8192];
  double bytes = -1;
  if (read_small("/proc/meminfo", text, sizeof text)) bytes = number_behind(text, "MemAvailable:") * 1024;
  if (bytes < 0) bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  each_group("0::", "/sys/fs/cgroup", memory_v2, &bytes);
  each_group("memory:", "/sys/fs/cgroup/memory", memory_v1, &bytes);
  return (size_t)bytes;
}

size_t memory_resident_peak(void)
{
  char text[8192];
  double kib = read_small("/proc/self/status", text, sizeof text) ? number_behind(text, "VmHWM:") : -1;
  return kib > 0 ? (size_t)(kib * 1024) : 0;
}
