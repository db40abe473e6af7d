#include "config.h"

#include "common/daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* A daemon leaves the directory that it was started in. */
static int set_config(struct daemon_options *options, const char *path, char *error,
                      size_t error_size)
{
    char directory[PATH_MAX] = "";
    bool relative = path[0] != '/';
    int n;

    if (relative && !getcwd(directory, sizeof(directory))) {
        snprintf(error, error_size, "-c %s: no directory to find it in: %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    n = snprintf(options->config, sizeof(options->config), "%s%s%s", directory, relative ? "/" : "",
                 path);
    if (path[0] == '\0' || n < 0 || (size_t)n >= sizeof(options->config)) {
        snprintf(error, error_size, "-c: not a path; the path of an ini file would be right");
        return ERR_INVALID;
    }
    return 0;
}

static int set_action(struct daemon_options *options, enum options_action action, char *error,
                      size_t error_size)
{
    if (options->action != OPTIONS_RUN && options->action != action) {
        snprintf(error, error_size, "-t, -T, -V and -h exclude each other; one would be right");
        return ERR_INVALID;
    }
    options->action = action;
    return 0;
}

static int take_option(struct daemon_options *options, int option, const char *word, char *error,
                       size_t error_size)
{
    switch (option) {
    case 'c':
        return set_config(options, optarg, error, error_size);
    case 't':
        return set_action(options, OPTIONS_CHECK, error, error_size);
    case 'T':
        return set_action(options, OPTIONS_PRINT, error, error_size);
    case 'V':
        return set_action(options, OPTIONS_VERSION, error, error_size);
    case 'h':
        return set_action(options, OPTIONS_HELP, error, error_size);
    case 'f':
        options->foreground = true;
        return 0;
    case 'v':
        options->verbose++;
        return 0;
    case ':':
        snprintf(error, error_size, "-%c needs an argument; -h lists the options", optopt);
        return ERR_INVALID;
    default:
        snprintf(error, error_size, "unknown option \"%s\"; -h lists the options", word);
        return ERR_INVALID;
    }
}

int options_read(struct daemon_options *options, const char *default_config, int argc, char **argv,
                 char *error, size_t error_size)
{
    int option, code;

    memset(options, 0, sizeof(*options));
    code = set_config(options, default_config, error, error_size);
    optind = 0; /* glibc: begin anew */
    while (code == 0) {
        int at = optind > 0 ? optind : 1;

        option = getopt_long(argc, argv, "+:c:tTfvVh", long_options, NULL);
        if (option == -1)
            break;
        code = take_option(options, option, argv[at], error, error_size);
    }
    if (code == 0 && optind < argc) {
        snprintf(error, error_size, "\"%s\": no arguments are taken; -c FILE would be right",
                 argv[optind]);
        code = ERR_INVALID;
    }
    return code;
}

void options_print_help(const char *program, const char *default_config, FILE *to)
{
    fprintf(to,
            "usage: %s [-c FILE] [-t | -T] [-f] [-v]...\n"
            "  -c FILE  the ini file, instead of\n"
            "           %s\n"
            "  -t       check the ini file and the certificates, and exit\n"
            "  -T       print the values in force as an ini file, and exit\n"
            "  -f       stay in the foreground and log to standard error\n"
            "  -v       log more; may be repeated\n"
            "  -V       print the version, and exit\n"
            "  -h       print this, and exit\n"
            "exit: 0 done, 1 start or run failed, 2 usage or configuration wrong\n"
            "The ini file is described in %s.ini(5), the daemon in %s(8).\n",
            program, default_config, program, program);
}

void options_print_version(const char *program, FILE *to)
{
    fprintf(to, "%s (%s) %s\n", program, PACKAGE_NAME, PACKAGE_VERSION);
}

enum log_level options_log_level(const struct daemon_options *options, enum log_level configured)
{
    unsigned room = (unsigned)(LOG_LEVEL_DEBUG - configured);

    return options->verbose > room ? LOG_LEVEL_DEBUG
                                   : (enum log_level)(configured + options->verbose);
}
