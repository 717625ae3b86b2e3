/* Which system calls a sandboxed process may make. The list allows; what is not on it does not exist (ENOSYS), so that
 * programs and libraries fall back as on an old kernel. Not on it, among others: everything about mounts, namespaces,
 * kernel modules, keys, BPF, tracing and other processes' memory, sockets (a pair of connected ones is allowed),
 * io_uring, userfaultfd, shared memory that would outlive its makers (System V, POSIX queues, memfd), set-user-id
 * families, extended attributes, device nodes, clocks that can be set. */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "reward/sandbox_internal.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const char *const allowed[] = {
    /* files */
    "access", "chdir", "chmod", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat",
    "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fcntl", "fdatasync", "flock", "fstat",
    "fstatfs", "fsync", "ftruncate", "getcwd", "getdents", "getdents64", "link", "linkat", "lseek", "lstat", "mkdir",
    "mkdirat", "newfstatat", "open", "openat", "pipe", "pipe2", "poll", "ppoll", "pread64", "preadv", "preadv2",
    "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "rename",
    "renameat", "renameat2", "rmdir", "select", "sendfile", "splice", "stat", "statfs", "statx", "symlink", "symlinkat",
    "sync_file_range", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "write",
    "writev",
    /* memory */
    "brk", "madvise", "mincore", "mlock", "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "membarrier", "rseq",
    /* processes and threads */
    "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_waitv", "get_robust_list",
    "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getresgid",
    "getresuid", "getrlimit", "getrusage", "getsid", "gettid", "getuid", "kill", "pidfd_open", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_yield", "set_robust_list", "set_tid_address", "setpgid", "setrlimit", "setsid", "tgkill", "tkill", "vfork",
    "wait4", "waitid",
    /* signals and events */
    "alarm", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "getitimer", "pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "setitimer",
    "sigaltstack", "signalfd", "signalfd4", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    /* time, numbers, the machine */
    "clock_getres", "clock_gettime", "clock_nanosleep", "getcpu", "getrandom", "gettimeofday", "nanosleep", "sysinfo",
    "time", "times", "uname",
    /* a connected pair talks inside the sandbox */
    "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg", "sendmsg", "sendto", "setsockopt", "shutdown"};

/* System calls that some of their arguments decide. */
static int add_conditional(scmp_filter_ctx filter)
{
  const unsigned namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                              CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;
  static const unsigned requests[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};
  static const int options[] = {PR_SET_NAME,      PR_GET_NAME,     PR_SET_DUMPABLE, PR_GET_DUMPABLE,
                                PR_SET_PDEATHSIG, PR_CAPBSET_READ, PR_GET_SECCOMP};
  /* Own limits only: another process's could be pulled from under it. */
  int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
  rc = rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_setaffinity), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
  rc = rc ? rc
          : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces, 0));
  rc = rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, 1, 0));
  /* Sockets of any other kind look like a machine without network. */
  rc = rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 0);
  for (size_t i = 0; i < sizeof requests / sizeof *requests && !rc; i++)
    rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                          SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
  for (size_t i = 0; i < sizeof options / sizeof *options && !rc; i++)
    rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (unsigned)options[i], 0));
  return rc;
}

static int fill(scmp_filter_ctx filter)
{
  int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (!rc) rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: no list of 190 comparisons */
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed && !rc; i++) {
    int number = seccomp_syscall_resolve_name(allowed[i]);
    if (number >= 0) rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0); /* < 0: not of this processor */
  }
  return rc ? rc : add_conditional(filter);
}

int sandbox_filter(int *fd, struct error *err)
{
  int ends[2];
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
  if (!filter) FAIL(err, ERROR_RESOURCE, "no memory for the sandbox's filter of system calls");
  int rc = fill(filter);
  if (!rc && pipe2(ends, O_CLOEXEC))
    rc = -errno;
  else if (!rc) {
    rc = seccomp_export_bpf(filter, ends[1]); /* a few KiB: less than a pipe holds */
    close(ends[1]);
    if (rc) close(ends[0]);
  }
  seccomp_release(filter);
  if (rc)
    FAIL(err, ERROR_RESOURCE,
         "the sandbox's filter of system calls could not be made: %s; is libseccomp 2.5 or later installed?",
         strerror(-rc));
  *fd = ends[0];
  return 0;
}
