/* What the process may do, and does not want to be able to do. */
#ifndef COMMON_DAEMON_PRIVILEGE_H
#define COMMON_DAEMON_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * 1 with AddressSanitizer: its leak checker attaches to its own process, so that PR_SET_DUMPABLE
 * has to stay as it is.
 */
#if defined(__SANITIZE_ADDRESS__)
#define PRIVILEGE_LEAK_CHECKER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PRIVILEGE_LEAK_CHECKER 1
#endif
#endif
#ifndef PRIVILEGE_LEAK_CHECKER
#define PRIVILEGE_LEAK_CHECKER 0
#endif

/* Refuses uid 0 unless allow_root; uid is the effective one. 0 or ERR_FORBIDDEN with a sentence in
 * error. */
int privilege_check_user(uid_t uid, bool allow_root, char *error, size_t error_size);
/*
 * For good: no privilege by execve, no core file, and no other process of the same user reads the
 * memory, where keys are.
 */
int privilege_harden(char *error, size_t error_size);
/*
 * Keeps all memory of the process out of swap for good: keys also lie where libraries put them.
 * Pages count once they are used. False when RLIMIT_MEMLOCK does not allow it: then nothing has
 * changed, but the limit is as high as it may be. Needs no limit at all, or CAP_IPC_LOCK; under
 * any other limit a later allocation would fail.
 */
bool privilege_lock_memory(void);
/*
 * Raises the limit of open files to wanted, or as far as it may. Returns what it is now; negative
 * with a sentence in error. Fewer than wanted is no failure: the caller knows what it needs.
 */
long privilege_raise_files(unsigned long wanted, char *error, size_t error_size);
/* Has the calling thread CAP_NET_RAW? */
bool privilege_has_raw(void);
/*
 * Gives CAP_NET_RAW up for good: the calling thread, those that it starts, and whatever it
 * executes. Sockets that were opened with it stay. Nothing happens without it.
 */
int privilege_drop_raw(char *error, size_t error_size);
/* Makes the directory that path, a file, is to lie in, and those above it, if they are missing. */
int privilege_make_directory(const char *path, char *error, size_t error_size);

#endif
