#include "common/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

enum { LINE_MAX_OCTETS = 1024 };

static struct {
    const char *ident;
    enum log_target target;
    enum log_level level;
} sink = {"media-relay", LOG_TARGET_STDERR, LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_open(const char *ident, enum log_target target, enum log_level level)
{
    sink.ident = ident;
    sink.target = target;
    sink.level = level;
    if (target == LOG_TARGET_SYSLOG)
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void log_set_level(enum log_level level)
{
    sink.level = level;
}

enum log_level log_get_level(void)
{
    return sink.level;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A peer's text may stand in a line: what a terminal would obey is shown as '?'. */
static void replace_control_bytes(char *line)
{
    for (; *line; line++) {
        if ((unsigned char)*line < 0x20 || *line == 0x7f)
            *line = '?';
    }
}

static void write_stderr(enum log_level level, const char *module, const char *line)
{
    struct timespec now;
    struct tm tm;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    fprintf(stderr, "%s.%03ld %s[%s] %s: %s\n", stamp, now.tv_nsec / 1000000, sink.ident,
            level_names[level], module, line);
}

void log_write(enum log_level level, const char *module, const char *format, ...)
{
    static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    char line[LINE_MAX_OCTETS];
    int saved_errno = errno; /* a caller may log first and return errno then */
    va_list ap;

    if (level > sink.level)
        return;
    va_start(ap, format);
    vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    replace_control_bytes(line);
    if (sink.target == LOG_TARGET_SYSLOG)
        syslog(priority[level], "%s: %s", module, line);
    else
        write_stderr(level, module, line);
    errno = saved_errno;
}
