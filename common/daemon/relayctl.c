#include "config.h"

#include "common/daemon/relayctl.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/daemon/control.h"

enum { TIMEOUT_MS = 5000, LETTERS_SIZE = 3 * OPTION_COUNT + 2, COMPLAINT_SIZE = 2048 };

static const char socket_inner[] = RUNSTATEDIR "/media-relay/inner-relay.sock";
static const char socket_dmz[] = RUNSTATEDIR "/media-relay/dmz-relay.sock";

/* ---------------------------------------------------------------- tables */

struct option_info {
    const char *word;
    int letter;
    const char *argument;
    bool sa_add;
    const char *help;
};

static const struct option_info option_list[OPTION_COUNT] = {
#define X(name, word, letter, argument, sa_add, help) {word, letter, argument, sa_add, help},
    RELAYCTL_OPTION_LIST(X)
#undef X
};

struct command {
    const char *words[2]; /* the second may be NULL */
    const char *argument; /* "[X]" may be left out; NULL: takes none */
    bool sa_add;          /* takes the options of "sa add" */
    /* NULL: it complained. argument is NULL when there is none. */
    json_t *(*request)(struct relayctl_options *options, const char *argument);
    void (*show)(const json_t *reply, FILE *to);
    const char *help;
};

static json_t *plain(const char *name)
{
    return json_pack("{s:s}", "command", name);
}

static json_t *request_status(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("status");
}

static json_t *request_stats(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("stats");
}

static json_t *request_reload(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("reload");
}

static json_t *request_sa_list(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("sa-list");
}

static json_t *request_sa_show(struct relayctl_options *options, const char *argument)
{
    (void)options;
    return relayctl_sa_with_id("sa-show", argument);
}

static json_t *request_sa_delete(struct relayctl_options *options, const char *argument)
{
    (void)options;
    return relayctl_sa_with_id("sa-delete", argument);
}

static json_t *request_sa_add(struct relayctl_options *options, const char *argument)
{
    (void)argument;
    return relayctl_sa_add(options);
}

static json_t *request_debug(struct relayctl_options *options, const char *argument)
{
    enum log_level level;

    (void)options;
    if (!argument)
        return plain("debug");
    if (!log_level_parse(argument, &level)) {
        relayctl_complain("debug: \"%s\" is no level; error, warning, info or debug", argument);
        return NULL;
    }
    return json_pack("{s:s, s:s}", "command", "debug", "level", argument);
}

static const struct command commands[] = {
    {{"status", NULL},
     NULL,
     false,
     request_status,
     relayctl_show_status,
     "the daemon, its tunnels and listeners"},
    {{"stats", NULL},
     NULL,
     false,
     request_stats,
     relayctl_show_stats,
     "what became of the packets, place by place"},
    {{"sa", "list"},
     NULL,
     false,
     request_sa_list,
     relayctl_show_sa_list,
     "all security associations"},
    {{"sa", "show"}, "ID", false, request_sa_show, relayctl_show_sa, "one of them, in full"},
    {{"sa", "add"},
     NULL,
     true,
     request_sa_add,
     relayctl_show_sa_added,
     "add one (inner-relay only)"},
    {{"sa", "delete"},
     "ID",
     false,
     request_sa_delete,
     relayctl_show_sa_deleted,
     "end one (inner-relay only)"},
    {{"reload", NULL},
     NULL,
     false,
     request_reload,
     relayctl_show_reload,
     "read configuration, certificates and CRL again"},
    {{"debug", NULL},
     "[LEVEL]",
     false,
     request_debug,
     relayctl_show_debug,
     "show or set the log level: error, warning, info, debug"},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

/* ---------------------------------------------------------------- messages */

const char *relayctl_option_word(enum relayctl_option option)
{
    return option_list[option].word;
}

void relayctl_clean(char *text)
{
    unsigned char *c = (unsigned char *)text;

    for (; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            *c = '?';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* U+0080 to U+009F */
            c[0] = c[1] = '?';
    }
}

void relayctl_complain(const char *format, ...)
{
    char text[COMPLAINT_SIZE];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    relayctl_clean(text);
    fprintf(stderr, "relayctl: %s\n", text);
}

static int usage_hint(void)
{
    fprintf(stderr, "relayctl: \"relayctl --help\" lists the commands and options\n");
    return RELAYCTL_USAGE;
}

static void print_command(const struct command *command)
{
    char left[64];

    snprintf(left, sizeof(left), "%s%s%s%s%s%s", command->words[0], command->words[1] ? " " : "",
             command->words[1] ? command->words[1] : "", command->argument ? " " : "",
             command->argument ? command->argument : "", command->sa_add ? " OPTION..." : "");
    printf("  %-20s %s\n", left, command->help);
}

static void print_option(const struct option_info *option)
{
    char left[64], letter[8] = "    ";

    if (option->letter)
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, option->word, option->argument ? " " : "",
             option->argument ? option->argument : "");
    printf("  %-32s %s\n", left, option->help);
}

static void print_options(bool sa_add)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_list[i].sa_add == sa_add)
            print_option(&option_list[i]);
    }
}

static void print_help(void)
{
    printf("usage: relayctl [-s SOCKET] [--json] COMMAND ...\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        print_command(&commands[i]);
    printf("\noptions:\n");
    print_options(false);
    printf("\noptions of \"sa add\":\n");
    print_options(true);
    printf("\nWithout -s: %s,\nor, where that is not there, %s\n", socket_inner, socket_dmz);
    printf("Exit status: 0 done, 1 the daemon refused, 2 usage, 3 no daemon answered,\n"
           "4 (status) a tunnel is down.\n");
}

/* ---------------------------------------------------------------- command line */

static void fill_tables(struct option *longs, char *letters)
{
    *letters++ = ':';
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *info = &option_list[i];

        longs[i] = (struct option){info->word, info->argument ? required_argument : no_argument,
                                   NULL, 256 + i};
        if (!info->letter)
            continue;
        *letters++ = (char)info->letter;
        if (info->argument)
            *letters++ = ':';
    }
    longs[OPTION_COUNT] = (struct option){NULL, 0, NULL, 0};
    *letters = '\0';
}

static int option_index(int code)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (code == 256 + i || (option_list[i].letter && code == option_list[i].letter))
            return i;
    }
    return -1;
}

/* Where optopt is 0, optind stands behind the word that getopt_long() did not know. */
static int complain_option(int code, char **argv)
{
    const char *word = argv[optind - 1];

    if (optopt >= 256)
        relayctl_complain("--%s %s", option_list[optopt - 256].word,
                          code == ':' ? "needs an argument" : "takes no argument");
    else if (optopt > 0)
        relayctl_complain("-%c %s", optopt, code == ':' ? "needs an argument" : "is not an option");
    else /* what stands behind "=" may be a key */
        relayctl_complain("%.*s is not an option", (int)strcspn(word, "="), word);
    return RELAYCTL_USAGE;
}

/* The words that are no options end up at argv[optind]. */
static int parse_options(int argc, char **argv, struct relayctl_options *options)
{
    struct option longs[OPTION_COUNT + 1];
    char letters[LETTERS_SIZE];
    int code, i;

    fill_tables(longs, letters);
    while ((code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        i = option_index(code);
        if (i < 0)
            return complain_option(code, argv);
        if (options->value[i]) {
            relayctl_complain("--%s is given twice", option_list[i].word);
            return RELAYCTL_USAGE;
        }
        options->value[i] = option_list[i].argument ? optarg : argv[0];
    }
    return RELAYCTL_DONE;
}

static const struct command *find_command(char **words, int count)
{
    for (int i = 0; i < COMMAND_COUNT; i++) {
        const char *const *name = commands[i].words;

        if (strcmp(words[0], name[0]) != 0)
            continue;
        if (!name[1] || (count > 1 && strcmp(words[1], name[1]) == 0))
            return &commands[i];
    }
    if (strcmp(words[0], "sa") == 0)
        relayctl_complain("sa: list, show, add or delete is missing%s%s", count > 1 ? ", not " : "",
                          count > 1 ? words[1] : "");
    else
        relayctl_complain("there is no command \"%s\"", words[0]);
    return NULL;
}

/* The words behind the command: as many as it takes. */
static int check_words(const struct command *command, char **rest, int count)
{
    bool optional = command->argument && command->argument[0] == '[';

    if (count > (command->argument ? 1 : 0)) {
        relayctl_complain("\"%s\" is one argument too many", rest[command->argument ? 1 : 0]);
        return RELAYCTL_USAGE;
    }
    if (count == 0 && command->argument && !optional) {
        relayctl_complain("%s %s: %s is missing", command->words[0], command->words[1],
                          command->argument);
        return RELAYCTL_USAGE;
    }
    return RELAYCTL_DONE;
}

static int check_options(const struct command *command, const struct relayctl_options *options)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (options->value[i] && option_list[i].sa_add && !command->sa_add) {
            relayctl_complain("--%s belongs to \"sa add\"", option_list[i].word);
            return RELAYCTL_USAGE;
        }
    }
    return RELAYCTL_DONE;
}

/* ---------------------------------------------------------------- the daemon */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for events until deadline. 0, ERR_AGAIN when it passed, or ERR_SYSTEM. */
static int wait_for(int fd, short events, uint64_t deadline)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    uint64_t now;
    int rc;

    do {
        now = now_ms();
        if (now >= deadline)
            return ERR_AGAIN;
        rc = poll(&pollfd, 1, (int)(deadline - now));
    } while (rc < 0 && errno == EINTR);
    return rc > 0 ? 0 : rc == 0 ? ERR_AGAIN : ERR_SYSTEM;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = TIMEOUT_MS / 1000};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path)) {
        relayctl_complain("the path of a socket has at most %zu octets: %s",
                          sizeof(address.sun_path) - 1, path);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A full queue of the daemon makes connect() wait; this bounds it. */
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    relayctl_complain("no daemon answers at %s: %s", path,
                      errno == EAGAIN ? "it is busy or stopped" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A daemon that turns us away may have closed already: then its reply is there to read. */
static int send_line(int fd, const char *line, size_t length, uint64_t deadline)
{
    while (length > 0) {
        ssize_t n = send(fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return ERR_SYSTEM;
        if (n < 0) {
            int rc = wait_for(fd, POLLOUT, deadline);

            if (rc < 0)
                return rc;
            continue;
        }
        line += n;
        length -= (size_t)n;
    }
    return 0;
}

/* Doubles *text when it is full. */
static int make_room(char **text, size_t *size, size_t length)
{
    char *larger;

    if (length < *size)
        return 0;
    if (*size > CONTROL_REPLY_MAX)
        return ERR_TOO_LONG;
    larger = realloc(*text, *size ? 2 * *size : 4096);
    if (!larger)
        return ERR_NOMEM;
    *text = larger;
    *size = *size ? 2 * *size : 4096;
    return 0;
}

/* One line, without its newline and terminated, for the caller to free; *text also on failure. */
static int receive_line(int fd, char **text, uint64_t deadline)
{
    size_t length = 0, size = 0;
    int rc;

    for (;;) {
        ssize_t n;
        char *end;

        rc = make_room(text, &size, length + 1);
        if (rc == 0)
            rc = wait_for(fd, POLLIN, deadline);
        if (rc < 0)
            return rc;
        n = recv(fd, *text + length, size - length - 1, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return n == 0 || errno == ECONNRESET ? ERR_CLOSED : ERR_SYSTEM;
        end = memchr(*text + length, '\n', (size_t)n);
        length += (size_t)n;
        if (end) {
            *end = '\0';
            return 0;
        }
    }
}

static int exchange(const char *path, const char *line, char **reply)
{
    uint64_t deadline = now_ms() + TIMEOUT_MS;
    int fd = connect_to(path), rc;

    if (fd < 0)
        return RELAYCTL_NO_DAEMON;
    rc = send_line(fd, line, strlen(line), deadline);
    if (rc == 0)
        rc = receive_line(fd, reply, deadline);
    if (rc == ERR_AGAIN)
        relayctl_complain("no reply from %s in %d s", path, TIMEOUT_MS / 1000);
    else if (rc == ERR_SYSTEM)
        relayctl_complain("%s: %s", path, strerror(errno));
    else if (rc < 0)
        relayctl_complain("%s: the reply %s", path,
                          rc == ERR_CLOSED ? "is missing: the daemon closed the connection"
                                           : err_text(rc));
    close(fd);
    return rc < 0 ? RELAYCTL_NO_DAEMON : RELAYCTL_DONE;
}

/* Sends request as one line. The line may hold a key. */
static int call(const char *path, const json_t *request, char **reply)
{
    char line[CONTROL_LINE_MAX + 2];
    size_t length = json_dumpb(request, line, CONTROL_LINE_MAX + 1, JSON_COMPACT);
    int rc;

    if (length == 0 || length > CONTROL_LINE_MAX) {
        relayctl_complain("the request is longer than %d octets", CONTROL_LINE_MAX);
        return RELAYCTL_USAGE;
    }
    memcpy(line + length, "\n", 2);
    rc = exchange(path, line, reply);
    wipe(line, sizeof(line));
    return rc;
}

/* ---------------------------------------------------------------- the reply */

/* The daemon names a member of the request; the operator knows it as an option. */
static void complain_refusal(const json_t *reply, bool sa_add)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    const char *field = json_string_value(json_object_get(reply, "field"));
    char word[64] = "";

    if (field) {
        snprintf(word, sizeof(word), "%s%s: ", sa_add ? "--" : "", field);
        for (char *c = word; sa_add && *c; c++)
            *c = *c == '_' ? '-' : *c;
    }
    relayctl_complain("refused: %s%s", word, error ? error : "no reason given");
}

static int show(const struct command *command, const struct relayctl_options *options,
                const char *path, const char *line)
{
    json_t *reply = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const json_t *ok = json_object_get(reply, "ok");
    int rc = RELAYCTL_DONE;

    if (!json_is_boolean(ok)) {
        relayctl_complain("%s: the reply is not that of a media-relay daemon", path);
        json_decref(reply);
        return RELAYCTL_NO_DAEMON;
    }
    if (options->value[OPTION_JSON])
        printf("%s\n", line);
    else if (json_is_true(ok))
        command->show(reply, stdout);
    if (json_is_false(ok)) {
        complain_refusal(reply, command->sa_add);
        rc = RELAYCTL_REFUSED;
    } else if (command->request == request_status && !relayctl_tunnels_up(reply)) {
        rc = RELAYCTL_TUNNEL_DOWN;
    }
    json_decref(reply);
    return rc;
}

static const char *socket_path(const struct relayctl_options *options)
{
    if (options->value[OPTION_SOCKET])
        return options->value[OPTION_SOCKET];
    return access(socket_inner, F_OK) == 0 ? socket_inner : socket_dmz;
}

static int run(const struct command *command, struct relayctl_options *options,
               const char *argument)
{
    const char *path = socket_path(options);
    json_t *request = command->request(options, argument);
    char *line = NULL;
    int rc;

    if (!request)
        return usage_hint();
    rc = call(path, request, &line);
    json_decref(request);
    if (rc == RELAYCTL_DONE)
        rc = show(command, options, path, line);
    free(line);
    return rc;
}

static int run_words(char **words, int count, struct relayctl_options *options)
{
    const struct command *command;
    int taken;

    if (count == 0) {
        relayctl_complain("a command is missing");
        return usage_hint();
    }
    command = find_command(words, count);
    if (!command)
        return usage_hint();
    taken = command->words[1] ? 2 : 1;
    if (check_words(command, words + taken, count - taken) != RELAYCTL_DONE ||
        check_options(command, options) != RELAYCTL_DONE)
        return usage_hint();
    return run(command, options, count > taken ? words[taken] : NULL);
}

int main(int argc, char **argv)
{
    struct relayctl_options options = {{NULL}};
    int rc;

    control_wipe_json();
    if (parse_options(argc, argv, &options) != RELAYCTL_DONE)
        return usage_hint();
    if (options.value[OPTION_HELP]) {
        print_help();
        rc = RELAYCTL_DONE;
    } else if (options.value[OPTION_VERSION]) {
        printf("relayctl %s\n", PACKAGE_VERSION);
        rc = RELAYCTL_DONE;
    } else {
        rc = run_words(argv + optind, argc - optind, &options);
    }
    if (fflush(stdout) != 0) {
        relayctl_complain("standard output: %s", strerror(errno));
        return RELAYCTL_REFUSED;
    }
    return rc;
}
