/* libFuzzer: a run folder of which one file holds any bytes: the first says which, the second at
 * which step a resume cuts it, the others are written there. Whoever reads a run must read that
 * one: report, info, verify; a resume must keep whole lines alone. */
#include "cmd/cmd.h"
#include "image/image.h"
#include "report/report.h"
#include "report/run_story.h"
#include "run/frames.h"
#include "run/metrics_file.h"
#include "test/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FUZZ_STEP = 2 };

/* What they hold in a sound folder. */
static const struct {
    const char *name, *text;
    bool lines; /* which a resume cuts */
} files[] = {
    {"metrics.jsonl",
     "{\"step\": 1, \"loss\": 0.5, \"psnr\": 20}\n{\"step\": 2, \"loss\": null, \"nonfinite\": "
     "true}\n",
     true},
    {"metrics.csv", "step,loss,psnr\n1,0.5,20\n2,,\n", true},
    {"memory.jsonl",
     "{\"step\": 0, \"reason\": \"start\", \"level\": 0, \"bytes\": 1000, \"size\": 8, \"batch\": "
     "1}\n",
     true},
    {"processes.jsonl",
     "{\"event\": \"start\", \"step\": 0, \"host\": \"a\", \"pid\": 1}\n{\"event\": \"end\", "
     "\"step\": 2, \"status\": 0}\n",
     false},
    {"config.yaml", "task: sr\nmax_steps: 2\nsr:\n  scale: 2\n", false},
    {"log.txt", "2026-01-01T00:00:00 warning: this and that\n", false},
    {"frames/000000002.json",
     "{\"step\": 2, \"psnr\": 20, \"loss\": 0.5, \"labels\": [\"real\", \"drawn\"], \"columns\": "
     "[\"a\", \"b\"], "
     "\"reference\": true, \"caption\": \"two\"}\n",
     false},
    {"run-id", "0123456789abcdef0123456789abcdef\n", false},
};
enum { FILES = sizeof files / sizeof *files };

static void fuzz_put_frame(void)
{
    struct image image = {0};
    uint8_t *jpeg;
    size_t bytes;
    require(image_create(&image, 8, 4, 3, SAMPLE_U8) == 0);
    require(image_encode_jpeg(&image, 80, &jpeg, &bytes) == 0);
    fuzz_put("frames/000000002.jpg", jpeg, bytes);
    free(jpeg);
    image_free(&image);
}

static void fuzz_fill_folder(void)
{
    fuzz_make_folder();
    require(mkdir(fuzz_path("frames"), 0777) == 0);
    for (int i = 0; i < FILES; i++)
        fuzz_put(files[i].name, files[i].text, strlen(files[i].text));
    fuzz_put_frame();
    require(freopen("/dev/null", "w", stdout) != NULL);
}

static size_t fuzz_get(const char *name, uint8_t **out)
{
    struct stat info;
    FILE *in = fopen(fuzz_path(name), "rb");
    require(in && fstat(fileno(in), &info) == 0);
    size_t bytes = (size_t)info.st_size;
    *out = malloc(bytes + 1);
    require(*out && fread(*out, 1, bytes, in) == bytes);
    fclose(in);
    return bytes;
}

/* What a resume leaves is the beginning of what was there, in whole lines; lines can be added. */
static void fuzz_cut(int file, int64_t step, const uint8_t *data, size_t bytes)
{
    static const char line[] = "{\"step\": 3, \"loss\": 0.5}\n";
    struct line_file lines;
    uint8_t *kept;
    bool csv = strstr(files[file].name, ".csv") != NULL;
    require(line_file_open(&lines, fuzz_folder, files[file].name, step, csv) == 0);
    line_file_close(&lines);
    size_t left = fuzz_get(files[file].name, &kept);
    require(left <= bytes && memcmp(kept, data, left) == 0 &&
            (left == 0 || kept[left - 1] == '\n'));
    free(kept);
    require(line_file_open(&lines, fuzz_folder, files[file].name, step, csv) == 0);
    require(lines.good == (int64_t)left);
    line_file_add(&lines, line, sizeof line - 1);
    line_file_close(&lines);
    require(fuzz_get(files[file].name, &kept) == left + sizeof line - 1);
    require(memcmp(kept + left, line, sizeof line - 1) == 0);
    free(kept);
}

static void fuzz_read(void)
{
    const char *path = fuzz_folder;
    struct run_story story;
    require(run_story_read(&story, fuzz_folder) == 0);
    require(story.column_count <= STORY_MOST_COLUMNS && story.frames.count <= 1);
    require(run_story_state(&story) != NULL);
    run_story_last(&story, "loss");
    run_story_free(&story);
    require(report_write(&path, 1, fuzz_path("report.html")) == 0);
    cmd_info(2, (char *[]){"info", fuzz_folder, NULL});
    cmd_info(3, (char *[]){"info", fuzz_folder, "--json", NULL});
    cmd_info(3, (char *[]){"info", fuzz_folder, "--schedule", NULL});
    cmd_verify(2, (char *[]){"verify", fuzz_folder, NULL});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int made;
    if (!made++) fuzz_fill_folder();
    if (bytes < 2) return 0;
    int file = data[0] % FILES, step = data[1];
    data += 2;
    bytes -= 2;
    fuzz_put(files[file].name, data, bytes);
    fuzz_read();
    if (files[file].lines) fuzz_cut(file, step, data, bytes);
    const char *frames = fuzz_path("frames");
    require(frames_drop_after(frames, FUZZ_STEP) == 0 && frames_any(frames));
    fuzz_put(files[file].name, files[file].text, strlen(files[file].text));
    return 0;
}
