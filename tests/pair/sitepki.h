/* Certificates of two sites, "site-a.example" and "site-b.example", in a folder of the test's. */
#ifndef TESTS_PAIR_SITEPKI_H
#define TESTS_PAIR_SITEPKI_H

#include "inner-relay/sites.h"

/* Once per program; the folder is the working one until sitepki_remove(). */
void sitepki_make(void);
void sitepki_remove(void);
/* Of site 0 or 1, for both sides of its sessions. sites_configure() takes these over. */
void sitepki_contexts(struct sites_conf *conf, unsigned site);

#endif
