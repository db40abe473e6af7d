/* The command line that both daemons have. */
#ifndef COMMON_DAEMON_OPTIONS_H
#define COMMON_DAEMON_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/base/log.h"

/* What the exit of a daemon says. */
enum { OPTIONS_EXIT_CLEAN = 0, OPTIONS_EXIT_FAILED = 1, OPTIONS_EXIT_USAGE = 2 };

enum options_action {
    OPTIONS_RUN,
    OPTIONS_CHECK,   /* -t */
    OPTIONS_PRINT,   /* -T */
    OPTIONS_VERSION, /* -V */
    OPTIONS_HELP,    /* -h */
};

struct daemon_options {
    enum options_action action;
    char config[PATH_MAX]; /* absolute: a daemon that reloads it stands in "/" */
    bool foreground;
    unsigned verbose; /* how often -v was there */
};

/*
 * Reads the command line; default_config stands for -c. 0, or negative with a sentence in error;
 * after that the exit code is OPTIONS_EXIT_USAGE.
 */
int options_read(struct daemon_options *options, const char *default_config, int argc, char **argv,
                 char *error, size_t error_size);
/* What -h prints. */
void options_print_help(const char *program, const char *default_config, FILE *to);
/* What -V prints. */
void options_print_version(const char *program, FILE *to);
/* The level of the ini file, one step more talkative for each -v. */
enum log_level options_log_level(const struct daemon_options *options, enum log_level configured);

#endif
