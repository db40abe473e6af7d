/* Becoming a daemon, and the file that says which process it is. */
#ifndef COMMON_DAEMON_DETACH_H
#define COMMON_DAEMON_DETACH_H

#include <stddef.h>

/*
 * Goes into the background: two forks, a session of its own, "/" as directory. Returns 0 in the
 * daemon, with *report for detach_report(). The process that called waits for the report and exits
 * with its code, or with 1 when the daemon ended without one; so whoever started it sees whether
 * the start-up succeeded. Standard error stays open until then. Negative: no process was made.
 * Before threads and event loops.
 */
int detach(int *report, char *error, size_t error_size);
/*
 * Tells the waiting process to exit with code. With code 0 the standard descriptors become
 * /dev/null. *report becomes -1; does nothing when it was.
 */
void detach_report(int *report, int code);

/*
 * Writes this process's id, in one piece: a reader sees the old file or the whole new one.
 * The path "" is none. Negative with a sentence in error.
 */
int detach_write_pid(const char *path, char *error, size_t error_size);
/* Removes the file if it still has this process's id. */
void detach_remove_pid(const char *path);

#endif
