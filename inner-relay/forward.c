/* The [forward NAME]s of the inner-relay: sockets between its ini file and the tunnels. */
#include <string.h>

#include "inner-relay/relay.h"

static struct streams *streams_of(struct relay *relay, const char *dmz)
{
    return &inner_find_link(&relay->core, dmz)->streams;
}

int relay_forwards_start(struct daemon *daemon, char *error, size_t error_size)
{
    const struct inner_settings *settings = daemon->settings;
    struct relay *relay = relay_of(daemon);

    for (size_t i = 0; i < settings->forward_count; i++) {
        const struct forward_conf *conf = &settings->forwards[i];
        struct forward_settings forward = settings_forward(conf);
        int result = forward_new(&relay->forwards[i], daemon->loop, &forward,
                                 streams_of(relay, conf->link), error, error_size);

        if (result < 0)
            return result;
    }
    return 0;
}

void relay_forwards_stop(struct daemon *daemon)
{
    struct relay *relay = relay_of(daemon);

    for (size_t i = 0; i < relay->core.link_count; i++)
        streams_fini(&relay->core.links[i].streams);
    for (size_t i = 0; i < SETTINGS_FORWARDS_MAX; i++) {
        forward_free(relay->forwards[i]);
        relay->forwards[i] = NULL;
    }
}
