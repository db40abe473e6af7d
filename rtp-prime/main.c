/* rtp-prime: makes an RTP client speak RTP' with a media relay. */
#include "config.h"

#include <ev.h>
#include <signal.h>
#include <stdio.h>

#include "rtp-prime/proxy.h"
#include "rtp-prime/setup.h"

enum { ERROR_SIZE = 256 };

static void on_end(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)signal;
    (void)events;
    ev_break(loop, EVBREAK_ALL);
}

static void on_print(struct ev_loop *loop, ev_signal *signal, int events)
{
    (void)loop;
    (void)events;
    proxy_print(signal->data, stdout);
}

/* Whoever started it waits for this line. */
static void say_ready(const struct setup *setup)
{
    char listen[ADDR_TEXT_SIZE], from[ADDR_TEXT_SIZE], relay[ADDR_TEXT_SIZE];

    printf("ready: the client at %s, the relay %s from %s\n",
           addr_format(&setup->listen, listen, sizeof(listen)),
           addr_format(&setup->relay, relay, sizeof(relay)),
           addr_format(&setup->from, from, sizeof(from)));
    fflush(stdout);
}

static int run(const struct setup *setup)
{
    struct ev_loop *loop = ev_default_loop(EVFLAG_AUTO);
    char error[ERROR_SIZE] = "";
    struct proxy *proxy = NULL;
    ev_signal end[2], print;

    if (!loop) {
        fprintf(stderr, "rtp-prime: the event loop could not be made\n");
        return SETUP_EXIT_FAILED;
    }
    ev_signal_init(&end[0], on_end, SIGTERM);
    ev_signal_init(&end[1], on_end, SIGINT);
    ev_signal_init(&print, on_print, SIGUSR1);
    if (proxy_open(&proxy, loop, setup, error, sizeof(error)) < 0) {
        fprintf(stderr, "rtp-prime: %s\n", error);
        return SETUP_EXIT_FAILED;
    }
    print.data = proxy;
    ev_signal_start(loop, &end[0]);
    ev_signal_start(loop, &end[1]);
    ev_signal_start(loop, &print);
    say_ready(setup);
    ev_run(loop, 0);
    proxy_print(proxy, stdout);
    proxy_close(proxy);
    ev_loop_destroy(loop);
    return SETUP_EXIT_CLEAN;
}

int main(int argc, char **argv)
{
    char error[ERROR_SIZE] = "";
    struct setup setup;

    if (setup_read(&setup, argc, argv, error, sizeof(error)) < 0) {
        fprintf(stderr, "rtp-prime: %s\n", error);
        return SETUP_EXIT_USAGE;
    }
    if (setup.action == SETUP_RUN)
        return run(&setup);
    if (setup.action == SETUP_HELP)
        setup_print_help(stdout);
    else
        printf("rtp-prime %s\n", PACKAGE_VERSION);
    return fflush(stdout) == 0 ? SETUP_EXIT_CLEAN : SETUP_EXIT_FAILED;
}
