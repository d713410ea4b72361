#include "guard.h"

#include <assert.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

/* Volatile: the handler reads it at any instruction of the guarded code. */
static _Thread_local sigjmp_buf *volatile active_guard;
static struct sigaction previous_action;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    if (active_guard != NULL)
        siglongjmp(*active_guard, 1);
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
