/* Where a text is cut into words before its words are cut into tokens: the regular expressions of
 * official tokenizers, each written out. */
#ifndef IMGTRAIN_DIFFUSION_TEXT_TEXT_SPLIT_H
#define IMGTRAIN_DIFFUSION_TEXT_TEXT_SPLIT_H

#include <stddef.h>

/* Bytes of the first word of a text in sound UTF-8 (at least one byte), at least one. White space
 * that an expression does not match is a word, too. */
typedef size_t text_word(const char *text, size_t bytes);

/* The whole text is one word. */
text_word text_word_whole;
/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+ : Qwen2 and Qwen3. */
text_word text_word_qwen;
/* <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+ : CLIP,
 * with the first two or without. */
text_word text_word_clip, text_word_clip_plain;
/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ : GPT-2, which the
 * ByteLevel of a tokenizer's file stands for where it has use_regex. */
text_word text_word_gpt2;

/* The word that a regular expression of tokenizer.json takes; NULL: not one of these. */
text_word *text_word_of_pattern(const char *pattern);

#endif
