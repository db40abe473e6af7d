/* A file with one secret in one line, such as the password for an HTTP proxy. */
#ifndef COMMON_DAEMON_SECRETFILE_H
#define COMMON_DAEMON_SECRETFILE_H

#include <stddef.h>

/*
 * Reads the line, without its end, into out (size octets, terminated): wipe() is the caller's. The
 * file must be a regular one of ours or root's, with no bit for group or others. Negative, with out
 * "" and in error what is wrong with it and what would be right, behind which the path is to stand.
 */
int secretfile_read(const char *path, char *out, size_t size, char *error, size_t error_size);

#endif
