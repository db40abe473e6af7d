/* The inner-relay as a daemon, from its ini file to its end, with no dmz-relay to talk to. */
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "inner-relay/relay.h"
#include "tests/unit/pki.h"
#include "tests/unit/unit.h"

enum { PATIENCE_US = 60000000 };

static const char sa_add[] =
    "{\"command\":\"sa-add\",\"side\":\"external\",\"source\":\"192.0.2.1:5000\","
    "\"suite\":\"AES_CM_128_HMAC_SHA1_80\",\"key\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd\","
    "\"ssrc\":[77],\"to\":\"127.0.0.2:6000\"}\n";

static char folder[64];
static uint16_t port;
static pid_t child;

static void make_certificates(void)
{
    struct pki_authority ca;
    EVP_PKEY *key = EVP_EC_gen("P-256");

    pki_make_authority(&ca, "test CA", "ca.pem", NULL);
    pki_make_leaf("inner.pem", "DNS:inner.example", "clientAuth", key, &ca, -PKI_DAY, PKI_YEAR);
    pki_write_key("inner.key", key, NULL, 0600);
    pki_free_authority(&ca);
    EVP_PKEY_free(key);
}

/* A socket on 127.0.0.1; *got is its port. -1: taken. */
static int bound(uint16_t wanted, uint16_t *got)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(wanted), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (bind(fd, (struct sockaddr *)&address, length) < 0) {
        close(fd);
        return -1;
    }
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *got = ntohs(address.sin_port);
    return fd;
}

static void choose_port(void)
{
    int next = -1;
    uint16_t ignored;

    while (next < 0) {
        int fd = bound(0, &port);

        next = port < 65535 ? bound((uint16_t)(port + 1), &ignored) : -1;
        close(fd);
    }
    close(next);
}

/* Nobody listens on port 1: the tunnel never comes up. */
static void write_ini(void)
{
    FILE *file = fopen("inner.ini", "w");

    fprintf(file,
            "[dmz east]\naddress = 127.0.0.1:1\nname = dmz.example\n"
            "[listener main]\naddress = 127.0.0.1\nrtp-port = %u\nadvertise = 127.0.0.1\n"
            "[tunnel]\ncertificate = %s/inner.pem\nkey = %s/inner.key\nca = %s/ca.pem\n"
            "[networks]\ninternal = 127.0.0.0/8\ntest-allow-loopback = yes\n"
            "[state]\nfile = %s/state\n[control]\nsocket = %s/sock\n"
            "[log]\nlevel = error\n[daemon]\nallow-root = yes\n",
            port, folder, folder, folder, folder, folder);
    fclose(file);
}

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/test_inner_daemon.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    choose_port();
    make_certificates();
    write_ini();
    child = 0;
}

static int remove_one(const char *name, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(name);
}

static void teardown(void)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    ck_assert_int_eq(chdir("/"), 0);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start(void)
{
    char *argv[] = {(char *)(uintptr_t) "inner-relay", (char *)(uintptr_t) "-f",
                    (char *)(uintptr_t) "-c", (char *)(uintptr_t) "inner.ini", NULL};

    child = fork();
    ck_assert_int_ge(child, 0);
    if (child > 0)
        return;
    dup2(open("log", O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
    _exit(daemon_main(&relay_kind, 4, argv));
}

#define WAIT_UNTIL(condition)                                                                      \
    for (uint64_t wait_end = clock_now_us() + PATIENCE_US; !(condition); poll(NULL, 0, 5))         \
    ck_assert_msg(clock_now_us() < wait_end, "waited for too long: %s", #condition)

/* How the daemon ended: its exit code, or minus the signal. */
static int wait_for_end(void)
{
    int status = 0;

    WAIT_UNTIL(waitpid(child, &status, WNOHANG) == child);
    child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int stop(int number)
{
    ck_assert_int_eq(kill(child, number), 0);
    return wait_for_end();
}

static bool connected(int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", folder);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    close(*fd);
    return false;
}

/* Waits until the daemon answers; true when the answer says this. */
static bool answers(const char *request, const char *says)
{
    char reply[8192];
    size_t length = 0;
    int fd;

    WAIT_UNTIL(connected(&fd));
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (int)strlen(request));
    do {
        ssize_t count = recv(fd, reply + length, sizeof(reply) - 1 - length, 0);

        ck_assert_int_gt(count, 0);
        length += (size_t)count;
        reply[length] = '\0';
    } while (!strchr(reply, '\n'));
    close(fd);
    return strstr(reply, says) != NULL;
}

static bool has_state(void)
{
    return access("state", F_OK) == 0;
}

/* Killed, not able to start, started, stopped: the SA goes on until the clean stop. */
START_TEST(test_state_file)
{
    uint16_t ignored;
    int taken;

    start();
    ck_assert(answers(sa_add, "send_to"));
    WAIT_UNTIL(has_state());
    ck_assert_int_eq(stop(SIGKILL), -SIGKILL);
    ck_assert(has_state());

    taken = bound(port, &ignored);
    ck_assert_int_ge(taken, 0);
    start();
    ck_assert_int_eq(wait_for_end(), 1);
    ck_assert(has_state());
    close(taken);

    start();
    ck_assert(answers("{\"command\":\"sa-show\",\"id\":1}\n", "77"));
    ck_assert(has_state());
    ck_assert_int_eq(stop(SIGTERM), 0);
    ck_assert(!has_state());
    ck_assert_int_ne(access("sock", F_OK), 0);

    start();
    ck_assert(answers("{\"command\":\"sa-show\",\"id\":1}\n", "there is no SA 1"));
    ck_assert_int_eq(stop(SIGINT), 0);
}
END_TEST

/* A second one by mistake does no harm to the one that runs. */
START_TEST(test_second_instance)
{
    pid_t first;

    start();
    ck_assert(answers(sa_add, "send_to"));
    WAIT_UNTIL(has_state());
    first = child;
    start();
    ck_assert_int_eq(wait_for_end(), 1);
    child = first;
    ck_assert(has_state());
    ck_assert(answers("{\"command\":\"sa-show\",\"id\":1}\n", "77"));
    ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

/* What is wrong keeps the old values; what is right is taken. */
START_TEST(test_reload)
{
    FILE *file;

    start();
    ck_assert(answers("{\"command\":\"reload\"}\n", "\"changed\""));
    file = fopen("inner.ini", "a");
    fprintf(file, "no-such = 1\n");
    fclose(file);
    ck_assert(answers("{\"command\":\"reload\"}\n", "no-such"));
    write_ini();
    file = fopen("inner.ini", "a");
    fprintf(file, "[limits]\nsa-rate = 100\nmax-sas = 7\n"
                  "[peer other]\naddress = 203.0.113.20\nrtp-port = 5004\n");
    fclose(file);
    ck_assert(answers("{\"command\":\"reload\"}\n", "[limits] sa-rate"));
    ck_assert(answers("{\"command\":\"reload\"}\n", "[limits] max-sas"));
    ck_assert(answers("{\"command\":\"status\"}\n", "203.0.113.20"));
    ck_assert(answers(sa_add, "send_to"));
    ck_assert(answers("{\"command\":\"sa-show\",\"id\":1}\n", "\"rate\":100,"));
    ck_assert_int_eq(stop(SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inner_daemon");
    TCase *tc = tcase_create("daemon");

    suite_add_tcase(suite, tc);
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_state_file);
    tcase_add_test(tc, test_second_instance);
    tcase_add_test(tc, test_reload);
    return unit_run(suite);
}
