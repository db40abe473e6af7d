/* Single values of what `relayctl` shows, as JSON. Each is a new reference. */
#ifndef COMMON_DAEMON_REPORTVALUE_H
#define COMMON_DAEMON_REPORTVALUE_H

#include <jansson.h>
#include <stdint.h>

#include "common/base/addr.h"

json_t *report_number(uint64_t value);
/* "192.0.2.1:5004"; null where there is none. */
json_t *report_addr(const struct addr *addr);
/* "192.0.2.1"; null where there is none. */
json_t *report_ip(const struct addr *addr);

#endif
