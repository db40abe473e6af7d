#include "config.h"

#include "common/daemon/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/err.h"

enum { PID_MODE = 0644, PID_TEXT_SIZE = 32 };

static int system_error(char *error, size_t error_size, const char *what)
{
    snprintf(error, error_size, "%s: %s", what, strerror(errno));
    return ERR_SYSTEM;
}

/* In the process that was called: its exit code is the daemon's report. */
__attribute__((noreturn)) static void wait_for_report(int fd, pid_t child)
{
    unsigned char code = 1;
    ssize_t n;

    do
        n = read(fd, &code, 1);
    while (n < 0 && errno == EINTR);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    _exit(n == 1 ? code : 1);
}

/* The second fork: not being the leader of the session, the daemon never gets a terminal. */
static void become_daemon(void)
{
    pid_t pid;

    setsid();
    pid = fork();
    if (pid != 0)
        _exit(pid < 0 ? 1 : 0);
    umask(S_IWGRP | S_IWOTH);
    if (chdir("/") < 0)
        _exit(1);
}

int detach(int *report, char *error, size_t error_size)
{
    int ends[2];
    pid_t pid;

    *report = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return system_error(error, error_size, "pipe");
    /* What stdio still holds would be written twice. */
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return system_error(error, error_size, "fork");
    }
    if (pid > 0) {
        close(ends[1]);
        wait_for_report(ends[0], pid);
    }
    close(ends[0]);
    become_daemon();
    *report = ends[1];
    return 0;
}

static void close_standard_files(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    for (int i = 0; i <= STDERR_FILENO; i++)
        dup2(fd, i);
    if (fd > STDERR_FILENO)
        close(fd);
}

void detach_report(int *report, int code)
{
    unsigned char octet = (unsigned char)code;

    if (*report < 0)
        return;
    if (code == 0)
        close_standard_files();
    while (write(*report, &octet, 1) < 0 && errno == EINTR)
        ;
    close(*report);
    *report = -1;
}

/* The rename makes it one piece; O_EXCL and O_NOFOLLOW, that nobody's link is followed. */
static int write_new(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, PID_MODE);
    size_t length = strlen(text);
    bool ok;

    if (fd < 0)
        return ERR_SYSTEM;
    ok = write(fd, text, length) == (ssize_t)length;
    ok = close(fd) == 0 && ok;
    return ok ? 0 : ERR_SYSTEM;
}

int detach_write_pid(const char *path, char *error, size_t error_size)
{
    char fresh[PATH_MAX], text[PID_TEXT_SIZE];
    int n = snprintf(fresh, sizeof(fresh), "%s.%ld", path, (long)getpid());

    if (path[0] == '\0')
        return 0;
    if (n < 0 || (size_t)n >= sizeof(fresh)) {
        snprintf(error, error_size, "%s: %s", path, err_text(ERR_TOO_LONG));
        return ERR_TOO_LONG;
    }
    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    unlink(fresh);
    if (write_new(fresh, text) < 0 || rename(fresh, path) < 0) {
        int code = system_error(error, error_size, path);

        unlink(fresh);
        return code;
    }
    return 0;
}

void detach_remove_pid(const char *path)
{
    char text[PID_TEXT_SIZE] = "";
    FILE *file = path[0] ? fopen(path, "re") : NULL;

    if (!file)
        return;
    if (fgets(text, sizeof(text), file) && strtol(text, NULL, 10) == (long)getpid())
        unlink(path);
    fclose(file);
}
