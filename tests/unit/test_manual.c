/*
 * The keys in dmz-relay.ini(5) and inner-relay.ini(5) and those in the tables
 * of the code are the same, with their values, defaults, and whether they are
 * live. The page has one ".It Ic KEY" for each, below ".Ss [section] ...", and
 * ends it with the sentences that facts() makes. References between the pages
 * name the right section.
 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/confvalue.h"
#include "dmz-relay/settings.h"
#include "inner-relay/settings.h"
#include "tests/unit/unit.h"

enum { LINE_SIZE = 512, TEXT_SIZE = 8192, ITEMS_MAX = 128 };

struct item {
    char section[64];
    char key[64];
    char text[TEXT_SIZE]; /* its lines, a blank between them */
};

static const struct {
    const struct conf_schema *schema;
    const char *page;
} pages[] = {
    {&dmz_schema, "man/dmz-relay.ini.5"},
    {&inner_schema, "man/inner-relay.ini.5"},
};

static void append(char *text, const char *line)
{
    size_t used = strlen(text);

    ck_assert_int_lt(snprintf(text + used, TEXT_SIZE - used, "%s%s", used > 0 ? " " : "", line),
                     (int)(TEXT_SIZE - used));
}

/* ".Ss [listener NAME] sections" gives "listener". */
static void read_section(const char *line, char *section, size_t size)
{
    const char *word = line + strlen(".Ss [");

    snprintf(section, size, "%.*s", (int)strcspn(word, " ]"), word);
}

static size_t read_items(const char *page, struct item *items)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096], line[LINE_SIZE], section[64] = "";
    size_t count = 0;
    bool inside = false;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", top ? top : ".", page);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, ".S", 2) == 0 || strncmp(line, ".El", 3) == 0)
            inside = false;
        if (strncmp(line, ".Sh", 3) == 0)
            section[0] = '\0';
        if (strncmp(line, ".Ss [", 5) == 0)
            read_section(line, section, sizeof(section));
        if (section[0] && strncmp(line, ".It Ic ", 7) == 0) {
            ck_assert_uint_lt(count, ITEMS_MAX);
            snprintf(items[count].section, sizeof(items[count].section), "%s", section);
            snprintf(items[count].key, sizeof(items[count].key), "%.63s", line + 7);
            items[count++].text[0] = '\0';
            inside = true;
        } else if (inside) {
            append(items[count - 1].text, line);
        }
    }
    fclose(file);
    return count;
}

/* ".Xr NAME SECTION" and ".BR NAME (SECTION)", the latter with "\\-" for "-". */
static bool read_reference(const char *line, char *name, char *section)
{
    char raw[64];
    size_t used = 0;

    if (sscanf(line, ".Xr %63s %1[1-8]", raw, section) != 2 &&
        sscanf(line, ".BR %63s (%1[1-8])", raw, section) != 2)
        return false;
    for (const char *c = raw; *c; c++)
        if (*c != '\\')
            name[used++] = *c;
    name[used] = '\0';
    return true;
}

/* A directory that configure chose has its variable's name in the page. */
static void default_text(const struct conf_key *key, char *out, size_t size)
{
    size_t directory = strlen(RUNSTATEDIR);

    if (!key->fallback)
        snprintf(out, size, "none, the key is required");
    else if (key->fallback[0] == '\0')
        snprintf(out, size, "nothing");
    else if (key->fallback[0] == '@')
        snprintf(out, size, "the value of %s", key->fallback + 1);
    else if (strncmp(key->fallback, RUNSTATEDIR "/", directory + 1) == 0)
        snprintf(out, size, "RUNSTATEDIR%s", key->fallback + directory);
    else
        snprintf(out, size, "%s", key->fallback);
}

static void facts(const struct conf_key *key, char *out, size_t size)
{
    char value[512], fallback[512];
    size_t length;

    confvalue_describe(key, value, sizeof(value));
    length = strlen(value);
    if (value[length - 1] == ',')
        value[length - 1] = '\0';
    default_text(key, fallback, sizeof(fallback));
    snprintf(out, size, "Value: %s. Default: %s. %s", value, fallback,
             key->live ? "Live on SIGHUP." : "A change needs a restart.");
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static const struct conf_key *find_key(const struct conf_schema *schema, const struct item *item)
{
    const struct conf_key *key = schema->keys;

    while (key->name &&
           (strcmp(key->section, item->section) != 0 || strcmp(key->name, item->key) != 0))
        key++;
    return key->name ? key : NULL;
}

START_TEST(test_page_has_no_other_key)
{
    struct item *items = calloc(ITEMS_MAX, sizeof(*items));
    size_t count = read_items(pages[_i].page, items);

    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(find_key(pages[_i].schema, &items[i]) != NULL,
                      "%s: [%s] %s is not in the code", pages[_i].page, items[i].section,
                      items[i].key);
        for (size_t j = 0; j < i; j++)
            ck_assert_msg(strcmp(items[i].section, items[j].section) != 0 ||
                              strcmp(items[i].key, items[j].key) != 0,
                          "%s: [%s] %s stands twice", pages[_i].page, items[i].section,
                          items[i].key);
    }
    free(items);
}
END_TEST

START_TEST(test_page_has_every_key)
{
    struct item *items = calloc(ITEMS_MAX, sizeof(*items));
    size_t count = read_items(pages[_i].page, items), keys = 0;
    char wanted[2048];

    for (const struct conf_key *key = pages[_i].schema->keys; key->name; key++, keys++) {
        size_t i = 0;

        while (i < count && find_key(pages[_i].schema, &items[i]) != key)
            i++;
        ck_assert_msg(i < count, "%s: [%s] %s is missing", pages[_i].page, key->section, key->name);
        facts(key, wanted, sizeof(wanted));
        ck_assert_msg(ends_with(items[i].text, wanted),
                      "%s: [%s] %s: should end with \"%s\", is \"%s\"", pages[_i].page,
                      key->section, key->name, wanted, items[i].text);
    }
    ck_assert_uint_eq(count, keys);
    free(items);
}
END_TEST

static const char *const manual[] = {
    "dmz-relay.8",       "inner-relay.8",       "relayctl.8",     "dmz-relay.ini.5",
    "inner-relay.ini.5", "media-relay-certs.8", "relay-tunnel.7", "media-relay-ng.7",
};
enum { MANUAL = sizeof(manual) / sizeof(manual[0]) };

/* A page of ours that is named with another section than its own cannot be found by a reader. */
static void check_reference(const char *page, const char *name, const char *section)
{
    size_t length = strlen(name);

    for (size_t i = 0; i < MANUAL; i++)
        if (strncmp(manual[i], name, length) == 0 && manual[i][length] == '.' &&
            strlen(manual[i]) == length + 2)
            ck_assert_msg(strcmp(manual[i] + length + 1, section) == 0, "%s: %s(%s) should be %s",
                          page, name, section, manual[i]);
}

START_TEST(test_references_have_the_right_section)
{
    const char *top = getenv("TEST_TOP_SRCDIR");
    char path[4096], line[LINE_SIZE], name[64], section[2];
    size_t references = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/man/%s", top ? top : ".", manual[_i]);
    file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    while (fgets(line, sizeof(line), file))
        if (read_reference(line, name, section)) {
            check_reference(path, name, section);
            references++;
        }
    fclose(file);
    ck_assert_uint_gt(references, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manual");
    TCase *tc = tcase_create("manual");

    tcase_add_loop_test(tc, test_page_has_no_other_key, 0, sizeof(pages) / sizeof(pages[0]));
    tcase_add_loop_test(tc, test_page_has_every_key, 0, sizeof(pages) / sizeof(pages[0]));
    tcase_add_loop_test(tc, test_references_have_the_right_section, 0, MANUAL);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
