/*
 * Log lines with a level and a module name, to standard error or to syslog.
 *
 * A .c file defines LOG_MODULE before it includes this header. The sink is the
 * only mutable global of the program. Nothing that a stranger's packet can
 * cause may be logged above debug.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_target { LOG_TARGET_STDERR, LOG_TARGET_SYSLOG };

/* Chooses the sink. ident is kept, not copied: it must live as long as the program. */
void log_open(const char *ident, enum log_target target, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
const char *log_level_name(enum log_level level);
/* Reads "error", "warning", "info" or "debug"; false when it is none of them. */
bool log_level_parse(const char *text, enum log_level *level);

void log_write(enum log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_write(LOG_LEVEL_ERROR, LOG_MODULE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, LOG_MODULE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_LEVEL_INFO, LOG_MODULE, __VA_ARGS__)
/* The arguments are evaluated only when debug lines are wanted. */
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_get_level() >= LOG_LEVEL_DEBUG)                                                    \
            log_write(LOG_LEVEL_DEBUG, LOG_MODULE, __VA_ARGS__);                                   \
    } while (0)

#endif
