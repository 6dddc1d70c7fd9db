/* libFuzzer: any bytes as a PNG whose words are read. What is accepted must be words that can be
 * found, and that a PNG can hold. */
#include "image/image.h"
#include "image/png_text.h"
#include "test/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Written into another image, they are read as they were. */
static void fuzz_write_again(const struct png_texts *texts)
{
    struct image image;
    uint8_t *png = NULL;
    size_t bytes = 0;
    struct png_texts sound = {0}, again = {0};
    for (int i = 0; i < texts->count; i++)
        (void)png_texts_add(&sound, texts->list[i].key, texts->list[i].value);
    require(image_create(&image, 1, 1, 3, SAMPLE_U8) == 0);
    memset(image.data, 0, 3);
    require(image_encode_png(&image, &png, &bytes) == 0);
    require(png_texts_insert(&sound, &png, &bytes) == 0);
    require(png_texts_read(&again, fuzz_file(png, bytes)) == 0 && again.count == sound.count);
    for (int i = 0; i < again.count; i++)
        require(strcmp(again.list[i].key, sound.list[i].key) == 0 &&
                strcmp(again.list[i].value, sound.list[i].value) == 0);
    png_texts_free(&sound);
    png_texts_free(&again);
    image_free(&image);
    free(png);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct png_texts texts = {0};
    if (png_texts_read(&texts, fuzz_file(data, bytes)) == 0) {
        for (int i = 0; i < texts.count; i++)
            require(png_texts_find(&texts, texts.list[i].key) != NULL);
        fuzz_write_again(&texts);
    }
    png_texts_free(&texts);
    return 0;
}
