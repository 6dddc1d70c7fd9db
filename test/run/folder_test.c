/* The run folder: which one it is, who is let in, the lock, and calls that fail on the way. */
#include "run/folder.h"
#include "store/checkpoint.h"
#include "test/failing_calls.h"
#include "test/support.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char run[96]; /* folder/run */

static void enter_folder(void)
{
    set_up();
    fsync_is_instant();
    snprintf(run, sizeof run, "%s/run", folder);
}

static struct folder_request at_path(const char *path, bool resume)
{
    return (struct folder_request){.path = path, .exp_name = "", .name = "toy", .resume = resume};
}

static struct folder_request numbered(bool resume)
{
    return (struct folder_request){
        .log_root = folder, .exp_name = "", .name = "toy", .resume = resume};
}

/* Opens and closes it: the code, and whether it was resumed in *resumed. */
static int open_code(struct folder_request request, bool *resumed)
{
    struct folder opened;
    int code = folder_open(&opened, &request);
    ck_assert((code == OK) == (opened.path != NULL));
    if (resumed) *resumed = opened.resumed;
    folder_close(&opened);
    ck_assert(code == OK || error_message()[0]);
    return code;
}

/* A file, or with a slash at its end a folder, of the run. */
static void make_entry(const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", run, name);
    if (path[strlen(path) - 1] == '/')
        MUST(file_make_dirs(path));
    else
        close(open(path, O_WRONLY | O_CREAT, 0666));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info, (void)type, (void)where;
    return remove(path);
}

/* An empty folder for the next case; folder_remove() would take a shell. */
static void empty_folder(void)
{
    ck_assert_int_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    ck_assert_int_eq(mkdir(folder, 0777), 0);
}

/* ---- which one ---- */

static void assert_plan(bool resume, const char *name)
{
    char *path;
    struct folder_request request = numbered(resume);
    MUST(folder_plan(&request, &path));
    ck_assert_str_eq(path, in_folder(name));
    free(path);
}

START_TEST(numbers_count_up)
{
    static const char *const others[] = {"toy-0x2", "toy-12",   "toy-1234567", "toy-005x",
                                         "toynote", "toys-004", "other-009"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_int_eq(mkdir(in_folder(others[i]), 0777), 0);
    assert_plan(false, "toy-001");
    assert_plan(true, "toy-001"); /* none yet */
    MUST(open_code(numbered(true), NULL));
    assert_plan(true, "toy-001");
    assert_plan(false, "toy-002");
    ck_assert_int_eq(mkdir(in_folder("toy-007"), 0777), 0);
    ck_assert_int_eq(mkdir(in_folder("toy-003"), 0777), 0);
    assert_plan(true, "toy-007");
    MUST(open_code(numbered(false), NULL));
    ck_assert(file_is_dir(in_folder("toy-008/frames")));
    ck_assert_int_eq(mkdir(in_folder("toy-999999"), 0777), 0); /* the last that is found again */
    MUST(open_code(numbered(false), NULL));
    ck_assert_int_eq(open_code(numbered(false), NULL), ERR_OUTPUT);
}
END_TEST

START_TEST(places)
{
    char *path;
    struct folder_request request = numbered(false);
    request.log_root = in_folder("none"); /* is made */
    MUST(open_code(request, NULL));
    ck_assert(file_is_dir(in_folder("none/toy-001")));
    write_text("file", "x");
    request.log_root = in_folder("file");
    MUST(folder_plan(&request, &path));
    free(path);
    ck_assert_int_eq(open_code(request, NULL), ERR_OUTPUT);
    request.log_root = folder;
    request.exp_name = "mine";
    MUST(open_code(request, NULL));
    ck_assert(file_is_dir(in_folder("mine/checkpoints")));
    ck_assert_int_eq(chdir(folder), 0);
    MUST(open_code(at_path("here", false), NULL));
    MUST(open_code(at_path("deep/down//", false), NULL));
    ck_assert(file_is_dir(in_folder("deep/down/frames")));
    ck_assert_int_eq(open_code(at_path("/", false), NULL), ERR_OUTPUT);
    ck_assert_int_eq(open_code(at_path("/", true), NULL), ERR_OUTPUT);
    ck_assert_int_eq(open_code(at_path("file", true), NULL), ERR_OUTPUT);
}
END_TEST

/* ---- who is let in ---- */

START_TEST(whom_it_lets_in)
{
    static const struct {
        const char *entries[3];
        int fresh, resumed; /* codes of a new run and of one that is resumed */
        bool empty;
    } cases[] = {
        {{0}, OK, OK, true},
        {{".gitkeep", "lost+found/", ".nfs0001"}, OK, OK, true},
        {{"config.yaml"}, ERR_OUTPUT, OK, false},
        {{"log.txt", "frames/", "lock.tmp-host-12-0123456789ab"}, ERR_OUTPUT, OK, false},
        {{"lockers"}, ERR_OUTPUT, ERR_OUTPUT, false},
        {{"cat.jpg", "log.txt"}, ERR_OUTPUT, ERR_OUTPUT, false},
        {{"cat.jpg", "config.yaml"}, ERR_OUTPUT, OK, false},
        {{"cat.jpg", "checkpoints/"}, ERR_OUTPUT, ERR_OUTPUT, false},
        {{"cat.jpg", "checkpoints/", "checkpoints/step-000000001.safetensors"},
         ERR_OUTPUT,
         OK,
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int resume = 0; resume < 2; resume++) {
            bool resumed = false;
            make_entry("");
            for (int k = 0; k < 3 && cases[i].entries[k]; k++)
                make_entry(cases[i].entries[k]);
            int wanted = resume ? cases[i].resumed : cases[i].fresh;
            struct folder_request request = at_path(run, resume);
            ck_assert(folder_is_empty(run) == cases[i].empty);
            ck_assert_msg(folder_check(&request, run) == wanted, "case %zu, resume %d", i, resume);
            ck_assert_msg(open_code(request, &resumed) == wanted, "case %zu, resume %d", i, resume);
            ck_assert(wanted < 0 || resumed == !cases[i].empty);
            empty_folder();
        }
    }
    ck_assert(!folder_is_empty(run)); /* is not there */
}
END_TEST

/* What a killed process was writing goes, in folders of models too. */
START_TEST(leftovers_go)
{
#define LEFT "/a.tmp-host-12-0123456789ab"
    static const char *const folders[] = {"",        "model", "model/vae", "model/vae/deeper",
                                          ".hidden", "frames"};
    char name[100];
    make_entry("");
    make_entry("config.yaml");
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s/", folders[i]);
        make_entry(name);
        snprintf(name, sizeof name, "%s" LEFT, folders[i]);
        make_entry(name);
    }
    ck_assert_int_eq(symlink(folder, in_folder("run/elsewhere")), 0);
    write_text("b.tmp-host-12-0123456789ab", "of somebody else");
    MUST(open_code(at_path(run, true), NULL));
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "run/%s" LEFT, folders[i]);
        ck_assert_msg(file_exists(in_folder(name)) == (i > 2), "%s", name);
    }
    ck_assert(file_exists(in_folder("b.tmp-host-12-0123456789ab")));
}
END_TEST

/* A link would lead a run's files to a place where somebody else's are. */
START_TEST(links_are_not_followed)
{
    static const char *const names[] = {"lock", "log.txt", "checkpoints", "frames"};
    ck_assert_int_eq(mkdir(in_folder("other"), 0777), 0);
    write_text("file", "x");
    for (int i = 0; i < 4; i++) {
        snprintf(run, sizeof run, "%s/run-%d", folder, i);
        make_entry("");
        make_entry("config.yaml");
        char name[300];
        snprintf(name, sizeof name, "%s/%s", run, names[i]);
        ck_assert_int_eq(symlink(in_folder(i < 2 ? "file" : "other"), name), 0);
        ck_assert_int_eq(open_code(at_path(run, true), NULL), ERR_ACCESS);
    }
    ck_assert_int_eq(entries(in_folder("other")), 0);
}
END_TEST

/* ---- the lock ---- */

START_TEST(one_process_at_a_time)
{
    struct folder first;
    struct folder_request request = at_path(run, true);
    MUST(folder_open(&first, &request));
    ck_assert_int_eq(open_code(request, NULL), ERR_OUTPUT);
    char process[32];
    snprintf(process, sizeof process, "in use by process %d on ", (int)getpid());
    ck_assert_ptr_nonnull(strstr(error_message(), process));
    ck_assert_int_eq(ftruncate(first.lock_fd, 0), 0); /* its disk was full */
    ck_assert_int_eq(open_code(request, NULL), ERR_OUTPUT);
    ck_assert_ptr_nonnull(strstr(error_message(), "in use by another process"));
    CALL_FAILS(.name = "pread", .turn = 1);
    ck_assert_int_eq(open_code(request, NULL), ERR_OUTPUT);
    ck_assert_ptr_nonnull(call_that_failed());
    folder_close(&first);
    CALL_FAILS(.name = "flock", .turn = 1, .error = EWOULDBLOCK); /* for a moment */
    MUST(open_code(request, NULL));
    ck_assert_ptr_nonnull(call_that_failed());
    CALL_FAILS(.name = "flock", .turn = 1, .error = ENOLCK); /* a disk without locks */
    MUST(open_code(request, NULL));
    ck_assert_ptr_nonnull(call_that_failed());
}
END_TEST

static pthread_barrier_t barrier;

struct rival {
    pthread_t thread;
    struct folder_request request;
    int code;
    char path[96];
};

static void *rival_open(void *argument)
{
    struct rival *rival = argument;
    struct folder opened;
    pthread_barrier_wait(&barrier);
    rival->code = folder_open(&opened, &rival->request);
    if (rival->code == OK) snprintf(rival->path, sizeof rival->path, "%s", opened.path);
    folder_close(&opened);
    return NULL;
}

/* Two that open at the same time. */
static void open_both(struct rival pair[2], struct folder_request request)
{
    for (int i = 0; i < 2; i++) {
        pair[i] = (struct rival){.request = request};
        ck_assert_int_eq(pthread_create(&pair[i].thread, NULL, rival_open, &pair[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(pair[i].thread, NULL);
}

/* Of two that find the folder empty, one gets it, even when it has gone before the other locks; of
 * two that take the next number, each gets its own. */
START_TEST(two_at_the_same_time)
{
    struct rival pair[2];
    pthread_barrier_init(&barrier, NULL, 2);
    for (int turn = 0; turn < 40; turn++) {
        snprintf(run, sizeof run, "%s/run-%d", folder, turn);
        make_entry("");
        open_both(pair, at_path(run, false));
        ck_assert_int_eq((pair[0].code == OK) + (pair[1].code == OK), 1);
        ck_assert_int_eq(pair[0].code + pair[1].code, ERR_OUTPUT);
        open_both(pair, numbered(false));
        ck_assert(pair[0].code == OK && pair[1].code == OK);
        ck_assert_str_ne(pair[0].path, pair[1].path);
    }
    pthread_barrier_destroy(&barrier);
}
END_TEST

/* ---- calls that fail ---- */

enum { NEW, EMPTY, RESUMED, FOREIGN, NAMED, NUMBERED, NUMBERED_AGAIN, KINDS };

/* The folder of the run as it is before, and what is asked for. */
static struct folder_request prepare(int kind)
{
    empty_folder();
    snprintf(run, sizeof run, "%s/%s", folder, kind >= NUMBERED ? "toy-001" : "run");
    if (kind != NEW && kind != NAMED && kind != NUMBERED) make_entry("");
    if (kind == RESUMED || kind == FOREIGN || kind == NUMBERED_AGAIN) {
        make_entry("checkpoints/");
        make_entry("checkpoints/step-000000001.safetensors");
        make_entry("model/");
        make_entry("model" LEFT);
    }
    if (kind == FOREIGN) make_entry("cat.jpg");
    struct folder_request request = kind >= NUMBERED
                                        ? numbered(kind == NUMBERED_AGAIN)
                                        : at_path(run, kind == RESUMED || kind == FOREIGN);
    if (kind == NAMED)
        request = (struct folder_request){.log_root = folder, .exp_name = "run", .name = "toy"};
    return request;
}

/* Once, and from then on: it is opened, or there is an error that says why, no file is left open
 * and the folder can be entered later. */
START_TEST(opening_fails_at_any_call)
{
    int kind = _i / 4, files = entries("/proc/self/fd");
    const char *call = "";
    for (int turn = 1; call; turn++) {
        struct folder opened;
        struct folder_request request = prepare(kind);
        fail(OK, "%s", "");
        CALL_FAILS(.turn = turn, .every = _i % 2, .error = _i / 2 % 2 ? EACCES : 0);
        int code = folder_check(&request, run);
        code = folder_open(&opened, &request);
        call = call_that_failed();
        ck_assert_msg(code == OK || code == ERR_SYSTEM || code == ERR_IO || code == ERR_OUTPUT ||
                          code == ERR_ACCESS,
                      "%s, call %d: %d", call, turn, code);
        ck_assert_msg(code == OK || error_message()[0], "%s, call %d", call, turn);
        folder_close(&opened);
        ck_assert_int_eq(entries("/proc/self/fd"), files);
        request.resume = true;
        ck_assert_msg(open_code(request, NULL) == OK, "%s, call %d", call, turn);
        ck_assert(kind != RESUMED || file_exists(in_folder("run/checkpoints/step-000000001"
                                                           ".safetensors")));
    }
}
END_TEST

START_TEST(interrupted_calls_are_repeated)
{
    static const char *const names[] = {"open",   "close", "fsync",     "mkdir",
                                        "pwrite", "flock", "ftruncate", "stat"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int turn = 1;; turn++) {
            struct folder opened;
            struct folder_request request = prepare(RESUMED);
            CALL_FAILS(.name = names[i], .turn = turn, .error = EINTR);
            ck_assert_msg(folder_open(&opened, &request) == OK, "%s, call %d", names[i], turn);
            bool failed = call_that_failed();
            struct stat lock;
            ck_assert(file_is_locked_in(run, "lock"));
            ck_assert(fstat(opened.lock_fd, &lock) == 0 && lock.st_size > 0);
            folder_close(&opened);
            if (!failed) break;
        }
    }
}
END_TEST

Suite *folder_test_suite(void);
Suite *folder_test_suite(void)
{
    Suite *suite = suite_create("folder_test");
    TCase *tests = tcase_create("folder");
    tcase_add_checked_fixture(tests, enter_folder, folder_remove);
    tcase_add_test(tests, numbers_count_up);
    tcase_add_test(tests, places);
    tcase_add_test(tests, whom_it_lets_in);
    tcase_add_test(tests, leftovers_go);
    tcase_add_test(tests, links_are_not_followed);
    tcase_add_test(tests, one_process_at_a_time);
    tcase_add_test(tests, two_at_the_same_time);
    tcase_add_loop_test(tests, opening_fails_at_any_call, 0, 4 * KINDS);
    tcase_add_test(tests, interrupted_calls_are_repeated);
    suite_add_tcase(suite, tests);
    return suite;
}
