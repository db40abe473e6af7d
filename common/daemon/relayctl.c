#include "config.h"

#include "common/daemon/relayctl.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/daemon/control.h"

enum { LETTERS_SIZE = 3 * OPTION_COUNT + 2, COMPLAINT_SIZE = 2048 };

static const char socket_inner[] = RUNSTATEDIR "/media-relay/inner-relay.sock";
static const char socket_dmz[] = RUNSTATEDIR "/media-relay/dmz-relay.sock";

/* ---------------------------------------------------------------- tables */

struct option_info {
    const char *word;
    int letter;
    const char *argument;
    enum relayctl_group group;
    const char *help;
};

static const struct option_info option_list[OPTION_COUNT] = {
#define X(name, word, letter, argument, group, help)                                               \
    {word, letter, argument, RELAYCTL_##group, help},
    RELAYCTL_OPTION_LIST(X)
#undef X
};

struct command {
    const char *words[2];      /* the second may be NULL */
    const char *argument;      /* "[X]" may be left out, "X..." may be several; NULL: takes none */
    enum relayctl_group takes; /* options up to this group */
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

static json_t *request_sa_rekey(struct relayctl_options *options, const char *argument)
{
    return relayctl_sa_rekey(options, argument);
}

static json_t *request_call_list(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("call-list");
}

static json_t *request_call_show(struct relayctl_options *options, const char *argument)
{
    return relayctl_call_about("call-show", options, argument);
}

static json_t *request_call_end(struct relayctl_options *options, const char *argument)
{
    return relayctl_call_about("call-end", options, argument);
}

static json_t *request_call_place(struct relayctl_options *options, const char *argument)
{
    return relayctl_call_place(options, argument);
}

static json_t *request_call_answer(struct relayctl_options *options, const char *argument)
{
    return relayctl_call_answer(options, argument);
}

static json_t *request_call_refuse(struct relayctl_options *options, const char *argument)
{
    return relayctl_call_refuse(options, argument);
}

static json_t *request_call_wait(struct relayctl_options *options, const char *argument)
{
    (void)options;
    (void)argument;
    return plain("call-wait");
}

static json_t *request_explain(struct relayctl_options *options, const char *argument)
{
    (void)options;
    return relayctl_explain(argument);
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
     RELAYCTL_ALWAYS,
     request_status,
     relayctl_show_status,
     "the daemon, its tunnels and listeners"},
    {{"stats", NULL},
     NULL,
     RELAYCTL_ALWAYS,
     request_stats,
     relayctl_show_stats,
     "what became of the packets, place by place"},
    {{"sa", "list"},
     NULL,
     RELAYCTL_ALWAYS,
     request_sa_list,
     relayctl_show_sa_list,
     "all security associations"},
    {{"sa", "show"},
     "ID",
     RELAYCTL_ALWAYS,
     request_sa_show,
     relayctl_show_sa,
     "one of them, in full"},
    {{"sa", "add"},
     NULL,
     RELAYCTL_SA,
     request_sa_add,
     relayctl_show_sa_added,
     "add one (inner-relay only)"},
    {{"sa", "rekey"},
     "ID",
     RELAYCTL_KEY,
     request_sa_rekey,
     relayctl_show_sa_rekeyed,
     "give one a new key (inner-relay only)"},
    {{"sa", "delete"},
     "ID...",
     RELAYCTL_ALWAYS,
     request_sa_delete,
     relayctl_show_sa_deleted,
     "end them (inner-relay only)"},
    {{"call", "list"},
     NULL,
     RELAYCTL_ALWAYS,
     request_call_list,
     relayctl_show_call_list,
     "all SIP calls (inner-relay only)"},
    {{"call", "show"},
     "CALL-ID",
     RELAYCTL_CALL,
     request_call_show,
     relayctl_show_calls,
     "one of them, in full (inner-relay only)"},
    {{"call", "end"},
     "CALL-ID",
     RELAYCTL_CALL,
     request_call_end,
     relayctl_show_call_ended,
     "end one, with its SAs (inner-relay only)"},
    {{"call", "place"},
     "SITE",
     RELAYCTL_PLACE,
     request_call_place,
     relayctl_show_call_placed,
     "call another site (inner-relay only)"},
    {{"call", "wait"},
     NULL,
     RELAYCTL_ALWAYS,
     request_call_wait,
     relayctl_show_call_rings,
     "until another site calls (inner-relay only)"},
    {{"call", "answer"},
     "CALL-ID",
     RELAYCTL_SDP,
     request_call_answer,
     relayctl_show_call_done,
     "answer its call (inner-relay only)"},
    {{"call", "refuse"},
     "CALL-ID",
     RELAYCTL_REASON,
     request_call_refuse,
     relayctl_show_call_done,
     "refuse its call (inner-relay only)"},
    {{"explain", NULL},
     "CALL|ID...",
     RELAYCTL_ALWAYS,
     request_explain,
     relayctl_show_explain,
     "why a call is silent (inner-relay only)"},
    {{"reload", NULL},
     NULL,
     RELAYCTL_ALWAYS,
     request_reload,
     relayctl_show_reload,
     "read configuration, certificates and CRL again"},
    {{"debug", NULL},
     "[LEVEL]",
     RELAYCTL_ALWAYS,
     request_debug,
     relayctl_show_debug,
     "show or set the log level: error, warning, info, debug"},
};

/* What complaints and the help call an option's group. */
static const char *const group_names[] = {[RELAYCTL_ALWAYS] = "",
                                          [RELAYCTL_CALL] = "\"call show\" and \"call end\"",
                                          [RELAYCTL_REASON] = "\"call refuse\"",
                                          [RELAYCTL_SDP] = "\"call place\" and \"call answer\"",
                                          [RELAYCTL_PLACE] = "\"call place\"",
                                          [RELAYCTL_KEY] = "\"sa add\" and \"sa rekey\"",
                                          [RELAYCTL_SA] = "\"sa add\""};

static bool takes(const struct command *command, enum relayctl_group group)
{
    return group == RELAYCTL_ALWAYS || group == command->takes ||
           (group == RELAYCTL_SDP && command->takes == RELAYCTL_PLACE) ||
           (group == RELAYCTL_KEY && command->takes == RELAYCTL_SA);
}

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
             command->argument ? command->argument : "", command->takes ? " OPTION..." : "");
    printf("  %-22s %s\n", left, command->help);
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

static void print_options(enum relayctl_group group)
{
    printf("\noptions%s%s:\n", group == RELAYCTL_ALWAYS ? "" : " of ", group_names[group]);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_list[i].group == group)
            print_option(&option_list[i]);
    }
}

static void print_help(void)
{
    printf("usage: relayctl [-s SOCKET] [--json] COMMAND ...\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        print_command(&commands[i]);
    print_options(RELAYCTL_ALWAYS);
    print_options(RELAYCTL_CALL);
    print_options(RELAYCTL_REASON);
    print_options(RELAYCTL_SDP);
    print_options(RELAYCTL_PLACE);
    print_options(RELAYCTL_KEY);
    print_options(RELAYCTL_SA);
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
    if (strcmp(words[0], "sa") == 0 || strcmp(words[0], "call") == 0)
        relayctl_complain("%s: %s is missing%s%s", words[0],
                          words[0][0] == 's' ? "list, show, add, rekey or delete"
                                             : "list, show, end, place, wait, answer or refuse",
                          count > 1 ? ", not " : "", count > 1 ? words[1] : "");
    else
        relayctl_complain("there is no command \"%s\"", words[0]);
    return NULL;
}

static bool takes_several(const struct command *command)
{
    return command->argument && strstr(command->argument, "...");
}

/* The words behind the command: as many as it takes. */
static int check_words(const struct command *command, char **rest, int count)
{
    bool optional = command->argument && command->argument[0] == '[';

    if (count > (command->argument ? 1 : 0) && !takes_several(command)) {
        relayctl_complain("\"%s\" is one argument too many", rest[command->argument ? 1 : 0]);
        return RELAYCTL_USAGE;
    }
    if (count == 0 && command->argument && !optional) {
        relayctl_complain("%s%s%s: %.*s is missing", command->words[0],
                          command->words[1] ? " " : "", command->words[1] ? command->words[1] : "",
                          (int)strcspn(command->argument, "."), command->argument);
        return RELAYCTL_USAGE;
    }
    return RELAYCTL_DONE;
}

static int check_options(const struct command *command, const struct relayctl_options *options)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (options->value[i] && !takes(command, option_list[i].group)) {
            relayctl_complain("--%s belongs to %s", option_list[i].word,
                              group_names[option_list[i].group]);
            return RELAYCTL_USAGE;
        }
    }
    return RELAYCTL_DONE;
}

/* ---------------------------------------------------------------- the reply */

/* The option that a member of the request came from, or NULL. */
static const char *option_of(const struct command *command, const char *member)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_info *info = &option_list[i];
        const char *a = info->word, *b = member;

        if (info->group == RELAYCTL_ALWAYS || !takes(command, info->group))
            continue;
        while (*a && (*a == *b || (*a == '-' && *b == '_')))
            a++, b++;
        if (!*a && !*b)
            return info->word;
    }
    return NULL;
}

/* The daemon names a member of the request; the operator knows it as an option. */
static void complain_refusal(const json_t *reply, const struct command *command)
{
    const char *error = json_string_value(json_object_get(reply, "error"));
    const char *field = json_string_value(json_object_get(reply, "field"));
    const char *option = field ? option_of(command, field) : NULL;

    relayctl_complain("refused: %s%s%s%s", option ? "--" : "",
                      option  ? option
                      : field ? field
                              : "",
                      field ? ": " : "", error ? error : "no reason given");
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
        complain_refusal(reply, command);
        rc = RELAYCTL_REFUSED;
    } else if (options->value[OPTION_WAIT] &&
               json_string_length(json_object_get(reply, "reason")) > 0) {
        relayctl_complain("the call has ended: %s",
                          json_string_value(json_object_get(reply, "reason")));
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

/* One request and its reply. */
static int run_one(const struct command *command, const struct relayctl_options *options, int fd,
                   json_t *request)
{
    const char *path = socket_path(options);
    char *line = NULL;
    const char *rows = command->request == request_sa_list     ? "sas"
                       : command->request == request_call_list ? "calls"
                                                               : NULL;
    int rc = rows ? relayctl_ask_all(fd, path, request, rows, &line)
                  : relayctl_ask(fd, path, request, &line);

    if (rc == RELAYCTL_DONE &&
        (command->request == request_call_wait || options->value[OPTION_WAIT]))
        rc = relayctl_call_until(path, request, &line);

    if (rc == RELAYCTL_DONE)
        rc = show(command, options, path, line);
    free(line);
    return rc;
}

/* The SAs of the directions that were explained need not be explained once more. */
static void strike_out(json_t *sas, const char *line)
{
    json_t *reply = json_loads(line, 0, NULL);
    const json_t *direction;
    size_t i, k;

    json_array_foreach(json_object_get(reply, "directions"), i, direction)
    {
        for (k = json_array_size(sas); k-- > 0;) {
            if (json_equal(json_object_get(json_array_get(sas, k), "id"),
                           json_object_get(direction, "id")))
                json_array_remove(sas, k);
        }
    }
    json_decref(reply);
}

/* The one that was added first. */
static json_t *take_first(json_t *sas)
{
    json_t *id = NULL, *sa;
    size_t first = 0, i;

    json_array_foreach(sas, i, sa)
    {
        json_t *other = json_object_get(sa, "id");

        if (id && json_integer_value(other) >= json_integer_value(id))
            continue;
        id = other;
        first = i;
    }
    json_incref(id);
    json_array_remove(sas, first);
    return id;
}

/* Each pair of directions of a call. first: nothing was printed before. */
static int explain_sas(const struct command *command, const struct relayctl_options *options,
                       int fd, json_t *sas, bool first)
{
    const char *path = socket_path(options);
    int rc = RELAYCTL_DONE;

    for (; rc == RELAYCTL_DONE && json_array_size(sas) > 0; first = false) {
        json_t *request = json_pack("{s:s, s:o?}", "command", "explain", "id", take_first(sas));
        char *line = NULL;

        rc = relayctl_ask(fd, path, request, &line);
        if (rc == RELAYCTL_DONE) {
            if (!first && !options->value[OPTION_JSON])
                printf("\n");
            rc = show(command, options, path, line);
            strike_out(sas, line);
        }
        free(line);
        json_decref(request);
    }
    return rc;
}

/* Of SAs that were added with --call-id, and are of no SIP proxy's call. */
static int explain_added(const struct command *command, const struct relayctl_options *options,
                         int fd, const json_t *asked)
{
    const char *path = socket_path(options);
    json_t *request = relayctl_explain_sas(asked);
    char *line = NULL;
    int rc = relayctl_ask_all(fd, path, request, "sas", &line);
    json_t *reply = rc == RELAYCTL_DONE ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    json_t *sas = json_object_get(reply, "sas");

    if (rc == RELAYCTL_DONE && json_array_size(sas) == 0) {
        relayctl_complain("there is no call with the Call-ID \"%s\", and no SA of it; \"relayctl "
                          "call list\" and \"relayctl sa list\" show those there are",
                          json_string_value(json_object_get(asked, "call_id")));
        rc = RELAYCTL_REFUSED;
    } else if (rc == RELAYCTL_DONE) {
        rc = explain_sas(command, options, fd, sas, true);
    }
    json_decref(request);
    json_decref(reply);
    free(line);
    return rc;
}

/* Their ids as objects, as sa-list has them. */
static json_t *sas_of(const json_t *call)
{
    json_t *sas = json_array(), *id;
    size_t i;

    json_array_foreach(json_object_get(call, "sas"), i, id)
        json_array_append_new(sas, json_pack("{s:O}", "id", id));
    return sas;
}

/* What is to be said of each call with this Call-ID, and then of its SAs. */
static int explain_calls(const struct command *command, const struct relayctl_options *options,
                         int fd, const json_t *reply)
{
    const json_t *call;
    bool first = true;
    int rc = RELAYCTL_DONE;
    size_t i;

    json_array_foreach(json_object_get(reply, "calls"), i, call)
    {
        bool says = json_string_length(json_object_get(call, "text")) > 0;
        json_t *sas = sas_of(call);

        if (!options->value[OPTION_JSON]) {
            if (says && !first)
                printf("\n");
            relayctl_show_explain(call, stdout);
            first = first && !says;
        }
        rc = explain_sas(command, options, fd, sas, first);
        first = false;
        json_decref(sas);
        if (rc != RELAYCTL_DONE)
            break;
    }
    return rc;
}

/* Does the daemon say that it has no such call, or, an older one, that it wants an id? */
static bool knows_no_call(const json_t *reply)
{
    const char *field = json_string_value(json_object_get(reply, "field"));

    return json_is_false(json_object_get(reply, "ok")) && field &&
           (strcmp(field, "call_id") == 0 || strcmp(field, "id") == 0);
}

static int explain_call(const struct command *command, const struct relayctl_options *options,
                        int fd, json_t *request)
{
    const char *path = socket_path(options);
    char *line = NULL;
    int rc = relayctl_ask(fd, path, request, &line);
    json_t *reply = rc == RELAYCTL_DONE ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (rc == RELAYCTL_DONE && knows_no_call(reply)) {
        rc = explain_added(command, options, fd, request);
    } else if (rc == RELAYCTL_DONE && !json_is_true(json_object_get(reply, "ok"))) {
        rc = show(command, options, path, line);
    } else if (rc == RELAYCTL_DONE) {
        if (options->value[OPTION_JSON])
            printf("%s\n", line);
        rc = explain_calls(command, options, fd, reply);
    }
    json_decref(reply);
    free(line);
    return rc;
}

/* All over one connection. What the daemon refuses does not keep it from the rest. */
static int run_requests(const struct command *command, const struct relayctl_options *options,
                        const json_t *requests)
{
    int fd = relayctl_connect(socket_path(options)), rc = RELAYCTL_DONE;
    json_t *request;
    size_t i;

    if (fd < 0)
        return RELAYCTL_NO_DAEMON;
    json_array_foreach(requests, i, request)
    {
        bool call = command->request == request_explain && json_object_get(request, "call_id");
        int one = (call ? explain_call : run_one)(command, options, fd, request);

        rc = one > rc ? one : rc;
        if (one != RELAYCTL_DONE && one != RELAYCTL_REFUSED)
            break;
    }
    close(fd);
    return rc;
}

/* All arguments are checked before anything is sent. */
static int run(const struct command *command, struct relayctl_options *options, char **arguments,
               int count)
{
    json_t *requests = json_array();
    int rc = RELAYCTL_DONE, i = 0;

    do {
        json_t *request = command->request(options, i < count ? arguments[i] : NULL);

        if (!request || json_array_append_new(requests, request) < 0)
            rc = options->bad_file ? RELAYCTL_USAGE : usage_hint();
    } while (++i < count && rc == RELAYCTL_DONE);
    if (rc == RELAYCTL_DONE)
        rc = run_requests(command, options, requests);
    json_decref(requests);
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
    return run(command, options, words + taken, count - taken);
}

int main(int argc, char **argv)
{
    struct relayctl_options options = {.bad_file = false};
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
