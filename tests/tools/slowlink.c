/* A cable between two network namespaces that is slow, loses packets, or is cut; see usage(). */
#include "config.h" /* _GNU_SOURCE */

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/tools/cli.h"
#include "tests/tools/slowway.h"
#include "tests/tools/tcpbox.h"

enum {
    US_PER_S = 1000 * 1000,
    NS_PER_US = 1000,
    DEVICE_WORDS_MAX = 256,
    TELL_OCTETS = 4096,
    TURN_FRAMES = 64, /* of one direction, before the other one has its turn */
    GRAIN_US = 80,    /* what comes within this time is taken in one turn */
    PRIORITY = 20,    /* a cable does not wait for processes */
    WAYS = 2
};

static const char *const way_names[WAYS] = {"out", "back"};

/* The one that leads out of tap 0 into tap 1, and the one back. */
struct link {
    int taps[WAYS];
    struct slowway *ways[WAYS];
    struct tcpbox *box;
    uint64_t refused[WAYS]; /* the device at the end did not take it */
    int listener, client;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* The one thing that a signal may touch. */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * US_PER_S + (uint64_t)ts.tv_nsec / NS_PER_US;
}

/* ---------------------------------------------------------------- options */

static _Noreturn void usage(FILE *to, int status)
{
    fprintf(
        to,
        "usage: slowlink --from NETNS:DEVICE --to NETNS:DEVICE --control SOCKET [--merge]\n"
        "                [SETTING...]\n"
        "       slowlink --tell SOCKET [SETTING...]\n"
        "The first form makes both devices (TAP), and is the cable between them until SIGTERM.\n"
        "NETNS is the path of a network namespace's file. --merge: the devices join what comes\n"
        "together of one TCP connection, as network cards do (GRO).\n"
        "The second form changes a running link; either prints its counters as JSON.\n"
        "A setting is NAME=NUMBER for both ways, out.NAME=NUMBER for the way --from to --to, or\n"
        "back.NAME=NUMBER:\n"
        "  delay=MS        a packet takes so long\n"
        "  loss=PERCENT    of the packets is lost\n"
        "  reorder=PERCENT of the packets comes reorder-by=MS later than the others\n"
        "  rate=KBIT       per second (0: no bound); queue=MS is how long a packet waits for it\n"
        "                  at most (default 100)\n"
        "  outage=1        nothing passes; 0: it does again\n"
        "  isn=N           TCP connections get this initial sequence number (0: keep theirs)\n"
        "  in-order=1      TCP segments wait until those before them have passed: 64 of each\n"
        "                  connection at most\n"
        "  seed=N          of what is lost; as at the start, if it is given again\n"
        "ARP and IPv6 neighbour discovery are only delayed.\n");
    exit(status);
}

struct setting {
    const char *name;
    double max, scale;
    bool of_box;
    size_t offset;
};

#define OF_WAY(member) false, offsetof(struct slowway_settings, member)
#define OF_BOX(member) true, offsetof(struct tcpbox_settings, member)

static const struct setting settings[] = {
    {"delay", 10000, 1000, OF_WAY(delay_us)},
    {"loss", 100, 10000, OF_WAY(loss_ppm)},
    {"reorder", 100, 10000, OF_WAY(reorder_ppm)},
    {"reorder-by", 10000, 1000, OF_WAY(reorder_us)},
    {"rate", 10000000, 1, OF_WAY(rate_kbit)},
    {"queue", 10000, 1000, OF_WAY(queue_us)},
    {"outage", 1, 1, OF_WAY(outage)},
    {"isn", UINT32_MAX, 1, OF_BOX(isn)},
    {"in-order", 1, 1, OF_BOX(in_order)},
};

static bool read_number(const char *text, double max, double *value)
{
    char *end;

    *value = strtod(text, &end);
    return *text != '\0' && *end == '\0' && *value >= 0 && *value <= max;
}

/* NAME=NUMBER of one way; false: there is no such setting. */
static bool set(struct link *link, unsigned way, const char *word)
{
    const size_t name = strcspn(word, "=");
    double value;

    if (word[name] == '\0')
        return false;
    if (strncmp(word, "seed=", name + 1) == 0 && read_number(word + name + 1, 1e15, &value)) {
        slowway_seed(link->ways[way], (uint64_t)value * WAYS + way);
        return true;
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        const struct setting *s = &settings[i];
        uint8_t *base = s->of_box ? (uint8_t *)tcpbox_settings(link->box, way)
                                  : (uint8_t *)slowway_settings(link->ways[way]);
        uint64_t number;

        if (strlen(s->name) != name || strncmp(word, s->name, name) != 0)
            continue;
        if (!read_number(word + name + 1, s->max, &value))
            return false;
        number = (uint64_t)(value * s->scale + 0.5);
        memcpy(base + s->offset, &number, sizeof(number));
        return true;
    }
    return false;
}

static bool take_setting(struct link *link, const char *word)
{
    for (unsigned way = 0; way < WAYS; way++) {
        const size_t length = strlen(way_names[way]);

        if (strncmp(word, way_names[way], length) == 0 && word[length] == '.')
            return set(link, way, word + length + 1);
    }
    return set(link, 0, word) && set(link, 1, word);
}

/* ---------------------------------------------------------------- devices */

static int enter(const char *netns)
{
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int other = open(netns, O_RDONLY | O_CLOEXEC);

    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET) < 0)
        cli_die("cannot enter the network namespace %s: %s", netns, strerror(errno));
    close(other);
    return own;
}

/* where: NETNS:DEVICE. */
static int open_tap(const char *where, bool merge)
{
    const char *colon = strrchr(where, ':');
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    char netns[DEVICE_WORDS_MAX];
    int own, fd;

    if (!colon || (size_t)(colon - where) >= sizeof(netns) || strlen(colon + 1) == 0 ||
        strlen(colon + 1) >= sizeof(request.ifr_name))
        cli_die("\"%s\" is not NETNS:DEVICE", where);
    memcpy(netns, where, (size_t)(colon - where));
    netns[colon - where] = '\0';
    strcpy(request.ifr_name, colon + 1);
    if (merge)
        request.ifr_flags |= IFF_NAPI;
    own = enter(netns);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        cli_die("cannot make the device %s: %s", where, strerror(errno));
    if (setns(own, CLONE_NEWNET) < 0)
        cli_die("cannot return to the own network namespace: %s", strerror(errno));
    close(own);
    return fd;
}

/* ---------------------------------------------------------------- control */

static json_t *counters(const struct link *link, unsigned way)
{
    const struct slowway_counters *w = slowway_counters(link->ways[way]);
    const struct tcpbox_counters *b = tcpbox_counters(link->box, way);
    const struct {
        const char *name;
        uint64_t value;
    } list[] = {
        {"received", w->received},
        {"passed", w->passed},
        {"octets", w->octets},
        {"lost", w->lost},
        {"overflow", w->overflow},
        {"outage", w->outage},
        {"full", w->full},
        {"reordered", w->reordered},
        {"late", w->late},
        {"late_max_us", w->late_max_us},
        {"refused", link->refused[way]},
        {"shifted", b->shifted},
        {"held", b->held},
        {"held_max", b->held_max},
        {"dropped", b->dropped},
    };
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        json_object_set_new(object, list[i].name, json_integer((json_int_t)list[i].value));
    return object;
}

static char *report(const struct link *link)
{
    json_t *all =
        json_pack("{s:o, s:o}", way_names[0], counters(link, 0), way_names[1], counters(link, 1));
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;

    if (!text)
        cli_die("out of memory");
    json_decref(all);
    return text;
}

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(name.sun_path))
        cli_die("the name of the socket is too long: %s", path);
    strcpy(name.sun_path, path);
    return name;
}

static void listen_at(struct link *link, const char *path)
{
    struct sockaddr_un name = name_of(path);

    strcpy(link->path, path);
    unlink(path);
    link->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->listener < 0 || bind(link->listener, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        listen(link->listener, 8) < 0)
        cli_die("cannot listen at %s: %s", path, strerror(errno));
}

/* One message: settings with a zero octet after each. The reply is a report, or "!" and the wrong
 * one. */
static void answer(struct link *link)
{
    char words[TELL_OCTETS + 1], wrong[TELL_OCTETS + 2];
    ssize_t n = recv(link->client, words, TELL_OCTETS, MSG_DONTWAIT);
    char *reply = NULL;

    if (n < 0 && errno == EAGAIN)
        return;
    words[n > 0 ? n : 0] = '\0';
    for (char *word = words; n > 0 && word < words + n; word += strlen(word) + 1)
        if (*word && !take_setting(link, word)) {
            snprintf(wrong, sizeof(wrong), "!%s", word);
            send(link->client, wrong, strlen(wrong), MSG_NOSIGNAL | MSG_DONTWAIT);
            n = 0;
        }
    if (n > 0) {
        reply = report(link);
        send(link->client, reply, strlen(reply), MSG_NOSIGNAL | MSG_DONTWAIT);
        free(reply);
        slowway_forget_late(link->ways[0]);
        slowway_forget_late(link->ways[1]);
    }
    close(link->client);
    link->client = -1;
}

static void control(struct link *link)
{
    if (link->client < 0)
        link->client = accept4(link->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (link->client >= 0)
        answer(link);
}

static int tell(const char *path, char **words)
{
    struct sockaddr_un name = name_of(path);
    char message[TELL_OCTETS] = "", reply[TELL_OCTETS + 1];
    size_t length = 0;
    ssize_t n;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    for (; *words; words++) {
        size_t octets = strlen(*words) + 1;

        if (length + octets > sizeof(message))
            cli_die("these are too many settings");
        memcpy(message + length, *words, octets);
        length += octets;
    }
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) < 0 ||
        send(fd, message, length ? length : 1, MSG_NOSIGNAL) < 0 ||
        (n = recv(fd, reply, TELL_OCTETS, 0)) <= 0)
        cli_die("no link answers at %s: %s", path, strerror(errno));
    reply[n] = '\0';
    if (reply[0] == '!')
        cli_die("there is no setting \"%s\", or its number is out of range", reply + 1);
    puts(reply);
    return EXIT_SUCCESS;
}

/* ---------------------------------------------------------------- the link */

/* Into the device at the end of a way. */
struct end {
    struct link *link;
    unsigned way;
};

static void put_out(void *data, uint8_t *frame, size_t length)
{
    const struct end *end = data;

    if (write(end->link->taps[1 - end->way], frame, length) != (ssize_t)length)
        end->link->refused[end->way]++;
}

static bool take_in(struct link *link, unsigned way)
{
    struct slowway *w = link->ways[way];

    for (unsigned i = 0; i < TURN_FRAMES; i++) {
        ssize_t n = read(link->taps[way], slowway_slot(w), SLOWWAY_FRAME_OCTETS);

        if (n <= 0)
            return false;
        slowway_take(w, (size_t)n, now_us());
    }
    return true;
}

static bool give_out(struct link *link, unsigned way)
{
    struct end end = {link, way};
    uint8_t *frame;
    size_t length;

    for (unsigned i = 0; i < TURN_FRAMES; i++) {
        frame = slowway_next(link->ways[way], now_us(), &length);
        if (!frame)
            return false;
        tcpbox_pass(link->box, way, frame, length, put_out, &end);
    }
    return true;
}

/* Until a frame is due, or one may have come in. */
static void rest(struct link *link)
{
    struct pollfd fds[] = {
        {.fd = link->taps[0], .events = POLLIN},
        {.fd = link->taps[1], .events = POLLIN},
        {.fd = link->client >= 0 ? link->client : link->listener, .events = POLLIN}};
    struct timespec grain = {.tv_nsec = GRAIN_US * NS_PER_US}, wait = {.tv_sec = 1};
    uint64_t due, now;

    nanosleep(&grain, NULL);
    due = slowway_due(link->ways[0]);
    if (slowway_due(link->ways[1]) < due)
        due = slowway_due(link->ways[1]);
    now = now_us();
    if (due <= now)
        return;
    if (due - now < US_PER_S)
        wait = (struct timespec){.tv_nsec = (long)(due - now) * NS_PER_US};
    ppoll(fds, sizeof(fds) / sizeof(fds[0]), &wait, NULL);
    if (fds[2].revents)
        control(link);
}

static void run(struct link *link)
{
    while (!stopped) {
        bool more = false;

        for (unsigned way = 0; way < WAYS; way++) {
            more |= take_in(link, way);
            more |= give_out(link, way);
        }
        if (!more)
            rest(link);
    }
}

/* Timers that are exact, and no waiting for a processor: where it may. */
static void hurry(void)
{
    const struct sched_param param = {.sched_priority = PRIORITY};

    prctl(PR_SET_TIMERSLACK, 1UL);
    if (sched_setscheduler(0, SCHED_FIFO, &param) < 0)
        fprintf(stderr, "slowlink: no real-time priority (%s): packets may be late\n",
                strerror(errno));
}

static void link_init(struct link *link)
{
    link->client = -1;
    link->box = tcpbox_new();
    for (unsigned way = 0; way < WAYS; way++) {
        link->ways[way] = slowway_new(way);
        slowway_settings(link->ways[way])->queue_us = US_PER_S / 10;
    }
}

static void link_fini(struct link *link)
{
    unlink(link->path);
    slowway_free(link->ways[0]);
    slowway_free(link->ways[1]);
    tcpbox_free(link->box);
}

static void be_link(const char *from, const char *to, const char *path, bool merge, char **words)
{
    const struct sigaction action = {.sa_handler = on_signal};
    struct link link = {0};
    char *text;

    link_init(&link);
    for (; *words; words++)
        if (!take_setting(&link, *words))
            cli_die("there is no setting \"%s\", or its number is out of range", *words);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    link.taps[0] = open_tap(from, merge);
    link.taps[1] = open_tap(to, merge);
    listen_at(&link, path);
    hurry();
    run(&link);
    text = report(&link);
    puts(text);
    free(text);
    link_fini(&link);
}

int main(int argc, char **argv)
{
    const char *from = NULL, *to = NULL, *path = NULL;
    bool merge = false, help = false;
    int i;

    for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--merge") == 0)
            merge = true;
        else if (strcmp(argv[i], "--help") == 0)
            help = true;
        else if (i + 1 == argc)
            usage(stderr, CLI_USAGE);
        else if (strcmp(argv[i], "--tell") == 0)
            return tell(argv[i + 1], argv + i + 2);
        else if (strcmp(argv[i], "--from") == 0)
            from = argv[++i];
        else if (strcmp(argv[i], "--to") == 0)
            to = argv[++i];
        else if (strcmp(argv[i], "--control") == 0)
            path = argv[++i];
        else
            usage(stderr, CLI_USAGE);
    }
    if (help)
        usage(stdout, EXIT_SUCCESS);
    if (!from || !to || !path)
        usage(stderr, CLI_USAGE);
    be_link(from, to, path, merge, argv + i);
    return EXIT_SUCCESS;
}
