#include "guard.h"

#include "crc32c.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define LINE_MAX_BYTES 4352
#define MAPS_ATTEMPTS 200

/* Volatile: the handler reads it at any instruction of the guarded code. */
static _Thread_local sigjmp_buf *volatile active_guard;
static struct sigaction previous_action;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

static atomic_ullong lost_pages;
static atomic_int spare_fd = -1;

/* ---- LevelDB's tables; all of it runs in the signal handler --------------------------------------- */

/* A number in hexadecimal; *text is moved behind it. */
static uintptr_t take_hex(const char **text)
{
    uintptr_t value = 0;
    for (;; ++*text) {
        char c = **text;
        if (c >= '0' && c <= '9')
            value = value << 4 | (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uintptr_t)(c - 'a' + 10);
        else
            return value;
    }
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "/...../000005.ldb", or ".sst" as older releases have it.  A merged table is removed while those
 * who read it still have it mapped. */
static int names_table(const char *line)
{
    static const char deleted[] = " (deleted)";
    size_t length = strlen(line), suffix = sizeof deleted - 1;
    if (length > suffix && memcmp(line + length - suffix, deleted, suffix) == 0)
        length -= suffix;
    if (length < 6)
        return 0;
    const char *end = line + length - 4;
    if (memcmp(end, ".ldb", 4) != 0 && memcmp(end, ".sst", 4) != 0)
        return 0;
    const char *digits = end;
    while (digits > line && is_digit(digits[-1]))
        digits--;
    return digits < end && digits > line && digits[-1] == '/';
}

/* Whether a line of /proc/self/maps is that of a table which has the address. */
static int maps_table_at(const char *line, uintptr_t address)
{
    const char *at = line;
    uintptr_t from = take_hex(&at);
    if (*at++ != '-')
        return 0;
    uintptr_t end = take_hex(&at);
    return address >= from && address < end && names_table(line);
}

static int hold_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A process that has no descriptor left must not die of a lost page for that. */
static int open_maps(void)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    int fd = -1;
    for (int attempt = 0; fd < 0 && attempt < MAPS_ATTEMPTS; attempt++) {
        /* Another thread may have the spare one, or have taken its place. */
        if (attempt > 1)
            nanosleep(&pause, NULL);
        fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
        int spare = fd < 0 ? atomic_exchange(&spare_fd, -1) : -1;
        if (spare >= 0)
            close(spare);
    }
    return fd;
}

static void close_maps(int fd)
{
    close(fd);
    if (atomic_load(&spare_fd) >= 0)
        return;
    int none = -1, spare = hold_spare();
    if (spare >= 0 && !atomic_compare_exchange_strong(&spare_fd, &none, spare))
        close(spare);
}

static int is_in_table(uintptr_t address)
{
    char line[LINE_MAX_BYTES], block[1024];
    size_t length = 0;
    int found = 0;
    int fd = open_maps();
    if (fd < 0)
        return 0;
    ssize_t got;
    while (!found && (got = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < got && !found; i++) {
            if (block[i] != '\n') {
                if (length < sizeof line - 1)
                    line[length++] = block[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            found = maps_table_at(line, address);
        }
    }
    close_maps(fd);
    return found;
}

/* True when there is a page of zeros now, and the instruction can be tried again. */
static int replace_lost_page(const siginfo_t *info)
{
    int before = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    int replaced = 0;
    if (info->si_code > 0 && is_in_table(address)) {
        void *page = (void *)(address & ~(uintptr_t)(PAGE - 1));
        /* First, so that nobody can get an answer from it and see the old count. */
        atomic_fetch_add(&lost_pages, 1);
        replaced = mmap(page, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page;
    }
    errno = before;
    return replaced;
}

uint64_t fv_guard_lost_pages(void)
{
    return atomic_load(&lost_pages);
}

/* ---- the handler ---------------------------------------------------------------------------------- */

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    if (active_guard != NULL)
        siglongjmp(*active_guard, 1);
    if (replace_lost_page(info))
        return;
    if ((previous_action.sa_flags & SA_SIGINFO) != 0 && previous_action.sa_sigaction != NULL) {
        previous_action.sa_sigaction(number, info, context);
        return;
    }
    if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
        previous_action.sa_handler(number);
        return;
    }
    /* Not ours: let the fault happen again with its default effect. */
    signal(SIGBUS, SIG_DFL);
}

static void install(void)
{
    atomic_store(&spare_fd, hold_spare());
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_sigbus;
    /* NODEFER: the jump out of the handler must not leave SIGBUS blocked. */
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    int failed = sigaction(SIGBUS, &action, &previous_action);
    assert(failed == 0);
    (void)failed;
}

void fv_guard_install(void)
{
    pthread_once(&install_once, install);
}

int fv_guard_run(void (*fn)(void *), void *arg)
{
    sigjmp_buf here;
    assert(active_guard == NULL);
    if (sigsetjmp(here, 0) != 0) {
        active_guard = NULL;
        return -1;
    }
    active_guard = &here;
    fn(arg);
    active_guard = NULL;
    return 0;
}

typedef struct {
    const uint8_t *data;
    size_t length;
    uint32_t crc;
} crc_work;

static void continue_crc(void *arg)
{
    crc_work *work = arg;
    work->crc = fv_crc32c(work->crc, work->data, work->length);
}

int fv_guard_crc32c(uint32_t *crc, const uint8_t *data, size_t length)
{
    crc_work work = {.data = data, .length = length, .crc = *crc};
    if (fv_guard_run(continue_crc, &work) != 0)
        return -1;
    *crc = work.crc;
    return 0;
}
