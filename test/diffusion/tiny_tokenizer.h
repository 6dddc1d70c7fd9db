/* A tokenizer of Qwen's kind for tests: 403 tokens, and the marks of Qwen3's chat template. */
#ifndef IMGTRAIN_TEST_DIFFUSION_TINY_TOKENIZER_H
#define IMGTRAIN_TEST_DIFFUSION_TINY_TOKENIZER_H

#include "test/support.h"

#define TINY_CHAT                                                                                  \
    "{{- '<|im_start|>' + message.role + '\\\\n' + content + '<|im_end|>' + '\\\\n' }} {%- if "    \
    "add_generation_prompt %} {{- '<|im_start|>assistant\\\\n' }} {%- if enable_thinking is "      \
    "defined %}"

static inline void tiny_file_write(const char *path, const char *name, const char *text,
                                   size_t bytes)
{
    char *to = path_join(path, name);
    ck_assert_ptr_nonnull(to);
    MUST(file_atomic_write_whole(to, text, bytes, false));
    free(to);
}

static inline void tiny_tokenizer_write(const char *path)
{
    static const char config[] = "{\"chat_template\": \"" TINY_CHAT "\"}\n";
    uint8_t *text;
    size_t bytes;
    MUST(file_make_dirs(path));
    MUST(file_read("test/golden/tokenizer_qwen.json", 1 << 20, &text, &bytes));
    tiny_file_write(path, "tokenizer.json", (const char *)text, bytes);
    tiny_file_write(path, "tokenizer_config.json", config, sizeof config - 1);
    free(text);
}

#endif
