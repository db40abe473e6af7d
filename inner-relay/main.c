#include "inner-relay/relay.h"

int main(int argc, char **argv)
{
    return daemon_main(&relay_kind, argc, argv);
}
