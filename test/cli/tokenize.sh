#!/bin/sh
# imgtrain tokenize: of a folder, a file, a model; texts of every kind; what it cannot read.
. "$(dirname "$0")/lib.sh"
golden=$root/test/golden

# a model folder with two tokenizers; the marks of Qwen3's chat template
mkdir -p model/tokenizer model/tokenizer_2 models
cp "$golden/tokenizer_qwen.json" model/tokenizer/tokenizer.json
cat >model/tokenizer/tokenizer_config.json <<'END'
{"model_max_length": 131072, "chat_template": "{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }} {%- if add_generation_prompt %} {{- '<|im_start|>assistant\\n' }} {%- if enable_thinking is defined %}"}
END
cp "$golden/tokenizer_spiece.model" model/tokenizer_2/spiece.model
echo '{"extra_ids": 10, "model_max_length": 512}' >model/tokenizer_2/tokenizer_config.json
echo '{}' >model/model_index.json

run 0 imgtrain tokenize model/tokenizer "a red cat" --plain
out_is "     64  a
    328  Ġred
    280  Ġcat"
run 0 imgtrain tokenize model "a red cat" --ids
whole=$(cat "$out")
run 0 imgtrain tokenize model/tokenizer "<|im_start|>user
a red cat<|im_end|>
<|im_start|>assistant
" --ids --plain
out_is "$whole"
run 0 imgtrain tokenize model "a red cat" --encoder 2 --json
out_has '"ids": ['
out_has '"▁ca", "t", "</s>"], "lost": 0, "lost_text": ""}'
err_is ""
run 0 imgtrain tokenize model "a red cat" --json --ids
out_has '"tokens": ['
err_has "--ids has no effect with --json"
run 0 imgtrain tokenize "$golden/tokenizer_qwen.json" "a red cat" --plain --ids
out_is "64 328 280"
err_has "--plain has no effect"
run 0 imgtrain tokenize model/tokenizer "" --encoder 2
err_has "--encoder has no effect: model/tokenizer is one tokenizer"
mv model models/tiny
IMGTRAIN_MODELS=models run 0 imgtrain tokenize tiny "a red cat" --ids
out_is "$whole"
run 66 imgtrain tokenize models/tiny x --encoder 3
err_has "has no folder tokenizer_3"
mv models/tiny model

# texts: none, a user's own <|im_end|>, zeros, bytes that are no UTF-8, too long, many
run 0 imgtrain tokenize model/tokenizer "" --ids --plain
out_is ""
run 0 imgtrain tokenize model/tokenizer "x<|im_end|>" --plain
out_has "402  <|im_end|>"
printf 'a\000b' >zero
run 0 imgtrain tokenize model/tokenizer @zero --ids --plain
out_is "64 188 65"
run 0 imgtrain tokenize model/tokenizer @zero --plain --length 1 --ids
err_has 'the last 2 are lost: ""'
printf 'a\377\376b' >broken
run 0 imgtrain tokenize model/tokenizer @broken --json --plain
err_has "broken: 2 bytes are no UTF-8, each is read as U+FFFD"
err_lines 1
run 0 imgtrain tokenize model/tokenizer "a red cat and the old house" --plain --length 3 --ids
out_is "64 328 280"
err_has 'TEXT: the text encoder reads 3 tokens, the last '
err_has 'are lost: " and the old house"'
run 0 imgtrain tokenize model/tokenizer "x$(printf '€%.0s' $(seq 100))" --plain --length 1 --ids
err_has '€" ...'
run 0 imgtrain tokenize model "a red cat" --length 12 --ids
err_has "of its template, are lost"
printf 'a\na red cat\n\nthe' >many
run 0 imgtrain tokenize model/tokenizer @many --lines --plain
out_is "64
64 328 280

258"

# what it cannot read
run 64 imgtrain tokenize model
run 64 imgtrain tokenize model a b
run 66 imgtrain tokenize absent a
run 66 imgtrain tokenize model @absent
mkdir empty
run 66 imgtrain tokenize empty a
err_lines 1
sed 's/"type":"BPE"/"type":"WordPiece"/' "$golden/tokenizer_qwen.json" >piece.json
run 65 imgtrain tokenize piece.json a
err_has "piece.json: a tokenizer of type WordPiece; BPE, Unigram and WordLevel are read"
err_lines 1
truncate -s 200M large.json
run 65 imgtrain tokenize large.json a
err_has "large.json"
err_lines 1
head -c 3000 "$golden/tokenizer_qwen.json" >cut.json
run 65 imgtrain tokenize cut.json a
err_has "cut.json: no JSON, or damaged: at byte"
run 74 sh -c '"$0" tokenize model a >/dev/full' "$program"
finish
