#include "cmd/watch/watch_terminal.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Other screen and back, cursor off and on; pictures of kitty's protocol are to be deleted. */
#define TERMINAL_ENTER "\033[?1049h\033[?25l\033[2J"
#define TERMINAL_LEAVE "\033[0m\033[?25h\033[?1049l"
#define TERMINAL_DELETE_PICTURES "\033_Ga=d,d=A,q=2\033\\"

static const double ANSWER_SECONDS = 1;

static struct {
    bool open, keys, kitty;
    struct termios before; /* of stdin, where `keys` */
} held;

static volatile sig_atomic_t asked_end, resized, continued;

/* ---- what it can ---- */

static const char *terminal_word(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

bool watch_terminal_is_there(void)
{
    const char *term = terminal_word("TERM");
    return isatty(STDOUT_FILENO) && *term && strcmp(term, "dumb") != 0;
}

bool watch_terminal_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = terminal_word(names[i]);
        if (*value) return strcasestr(value, "UTF-8") || strcasestr(value, "utf8");
    }
    return false;
}

static enum watch_depth terminal_depth(void)
{
    const char *term = terminal_word("TERM"), *colours = terminal_word("COLORTERM");
    if (*terminal_word("NO_COLOR") || strncmp(term, "vt", 2) == 0) return DEPTH_NONE;
    if (strcmp(colours, "truecolor") == 0 || strcmp(colours, "24bit") == 0) return DEPTH_24_BIT;
    return strstr(term, "direct") ? DEPTH_24_BIT : DEPTH_256;
}

int watch_terminal_parse_graphics(const char *word, enum watch_graphics *graphics)
{
    static const char *const words[] = {"auto", "none", "blocks", "sixel", "kitty"};
    *graphics = GRAPHICS_AUTO;
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            *graphics = (enum watch_graphics)i;
            return OK;
        }
    if (!word) return OK;
    return fail(ERR_USAGE, "--graphics %s: not auto, kitty, sixel, blocks or none", word);
}

/* Reads what the terminal answers, up to the end of its attributes: "ESC [ ? 62 ; 4 c". */
static void terminal_read_answer(char *answer, size_t room)
{
    size_t used = 0;
    double end = clock_seconds() + ANSWER_SECONDS;
    while (used + 1 < room) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        double left = end - clock_seconds();
        if (left <= 0 || poll(&input, 1, (int)(left * 1000) + 1) <= 0) break;
        ssize_t got = read(STDIN_FILENO, answer + used, room - 1 - used);
        if (got <= 0) break;
        used += (size_t)got;
        answer[used] = '\0';
        const char *attributes = strstr(answer, "\033[?");
        if (attributes && strchr(attributes, 'c')) break;
    }
    answer[used] = '\0';
}

/* Every terminal says its attributes; 4 among them is sixel. One with kitty's protocol answers the
 * query for it before. */
static enum watch_graphics terminal_ask(void)
{
    static const char query[] = "\033_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\033\\\033[c";
    char answer[512] = "";
    if (write(STDOUT_FILENO, query, sizeof query - 1) < 0) return GRAPHICS_BLOCKS;
    terminal_read_answer(answer, sizeof answer);
    if (strstr(answer, "\033_Gi=31;OK")) return GRAPHICS_KITTY;
    char *attribute = strstr(answer, "\033[?");
    for (attribute = attribute ? attribute + 3 : NULL; attribute;) {
        if (strtol(attribute, &attribute, 10) == 4) return GRAPHICS_SIXEL;
        attribute = *attribute == ';' ? attribute + 1 : NULL;
    }
    return GRAPHICS_BLOCKS;
}

void watch_terminal_measure(struct watch_terminal *terminal)
{
    enum { MOST = 1000 };
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) size.ws_col = 0;
    terminal->columns = size.ws_col ? size.ws_col : 80;
    terminal->rows = size.ws_row ? size.ws_row : 24;
    if (terminal->columns > MOST) terminal->columns = MOST;
    if (terminal->rows > MOST) terminal->rows = MOST;
    terminal->cell_width = size.ws_xpixel / terminal->columns;
    terminal->cell_height = size.ws_ypixel / terminal->rows;
    if (terminal->cell_width < 4 || terminal->cell_height < 8) { /* a small font's, where unknown */
        terminal->cell_width = 8;
        terminal->cell_height = 16;
    }
}

/* ---- taken and given back ---- */

static void terminal_on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGCONT)
        continued = 1;
    else
        asked_end = number;
}

static const int terminal_ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int terminal_others[] = {SIGWINCH, SIGCONT};

/* Signals arrive while the program waits and at no other time. */
static void terminal_listen(void)
{
    struct sigaction action = {.sa_handler = terminal_on_signal}, old;
    sigset_t all;
    sigemptyset(&all);
    for (size_t i = 0; i < sizeof terminal_ends / sizeof *terminal_ends; i++) {
        if (sigaction(terminal_ends[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        sigaction(terminal_ends[i], &action, NULL);
        sigaddset(&all, terminal_ends[i]);
    }
    for (size_t i = 0; i < sizeof terminal_others / sizeof *terminal_others; i++) {
        sigaction(terminal_others[i], &action, NULL);
        sigaddset(&all, terminal_others[i]);
    }
    sigaction(SIGTSTP, &action, NULL);
    sigaddset(&all, SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void terminal_say(const char *text)
{
    ssize_t written = write(STDOUT_FILENO, text, strlen(text));
    (void)written; /* a closed terminal ends the program by a signal */
}

static void terminal_take(void)
{
    struct termios keys;
    held.keys = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &held.before) == 0;
    if (held.keys) {
        keys = held.before;
        keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        keys.c_cc[VMIN] = 0;
        keys.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    terminal_say(TERMINAL_ENTER);
    held.open = true;
}

void watch_terminal_close(void)
{
    if (!held.open) return;
    if (held.kitty) terminal_say(TERMINAL_DELETE_PICTURES);
    terminal_say(TERMINAL_LEAVE);
    if (held.keys) tcsetattr(STDIN_FILENO, TCSANOW, &held.before);
    held.open = false;
}

void watch_terminal_open(struct watch_terminal *terminal, enum watch_graphics graphics)
{
    *terminal =
        (struct watch_terminal){.depth = terminal_depth(), .utf8 = watch_terminal_is_utf8()};
    terminal_listen();
    terminal_take();
    bool may_ask = held.keys && terminal->depth != DEPTH_NONE;
    if (strcmp(terminal_word("TERM"), "linux") == 0) may_ask = false; /* it would show the query */
    if (terminal->depth == DEPTH_NONE) graphics = GRAPHICS_NONE;
    if (graphics == GRAPHICS_AUTO) graphics = may_ask ? terminal_ask() : GRAPHICS_BLOCKS;
    if (graphics == GRAPHICS_BLOCKS && !terminal->utf8) graphics = GRAPHICS_NONE;
    terminal->graphics = graphics;
    held.kitty = graphics == GRAPHICS_KITTY;
    watch_terminal_measure(terminal);
}

/* ^Z: the shell gets its terminal, and `fg` goes on. */
static void terminal_suspend(void)
{
    watch_terminal_close();
    raise(SIGSTOP);
    terminal_take();
    asked_end = 0;
}

static bool terminal_key_ends(void)
{
    char keys[64];
    ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
    for (ssize_t i = 0; i < got; i++)
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4) return true;
    return false;
}

enum watch_event watch_terminal_wait(double seconds, int *signal)
{
    struct timespec wait = {.tv_sec = (time_t)seconds};
    wait.tv_nsec = (long)((seconds - (double)wait.tv_sec) * 1e9);
    struct pollfd input = {.fd = held.keys ? STDIN_FILENO : -1, .events = POLLIN};
    sigset_t none;
    sigemptyset(&none);
    int ready = ppoll(&input, 1, &wait, &none);
    if (asked_end == SIGTSTP) {
        terminal_suspend();
        return EVENT_CONTINUED;
    }
    *signal = asked_end;
    if (asked_end) return EVENT_SIGNAL;
    bool was_resized = resized, was_continued = continued;
    resized = continued = 0;
    if (was_continued) return EVENT_CONTINUED;
    if (was_resized) return EVENT_RESIZED;
    if (ready > 0 && input.revents & (POLLHUP | POLLERR)) held.keys = false;
    return ready > 0 && terminal_key_ends() ? EVENT_KEY_END : EVENT_TIME;
}
