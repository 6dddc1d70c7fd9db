#!/bin/sh
# What a container of imgtrain starts: the command that it is given, or without one a server of the models in MODEL.
#
#   MODEL              models, blanks between: a path, or a URL that is fetched first, each as NAME=... if it is to have one
#   MODEL_FOLDER       where fetched models go (/tmp/models); one that is there already is not fetched again
#   MODEL_SHA256       of the one model that is fetched; another file is refused
#   IMGTRAIN_API_KEY   what requests must bring; without it the server listens inside the container alone
#   PORT               8000
#   SERVE_OPTIONS      more options of `imgtrain serve`
set -eu
program=${IMGTRAIN:-imgtrain}
[ $# = 0 ] || exec "$program" "$@"
if [ -z "${MODEL:-}" ]; then
    echo "imgtrain: say a command (--help), or what to serve: MODEL=/models/model.safetensors or MODEL=https://..." >&2
    exit 64
fi
[ -n "${IMGTRAIN_API_KEY:-}" ] ||
    echo "warning: IMGTRAIN_API_KEY is not set: the server listens on loopback, inside the container, alone" >&2

folder=${MODEL_FOLDER:-/tmp/models}
fetch() { # URL: the file's path
    # Two URLs may end alike: the whole of it makes the name.
    file=$folder/$(printf %s "$1" | cksum | tr ' ' -)/model.safetensors
    if [ ! -s "$file" ]; then
        mkdir -p "${file%/*}"
        curl --fail --silent --show-error --location --retry 5 --proto '=http,https' -o "$file.part" "$1" >&2 || exit 66
        if [ -n "${MODEL_SHA256:-}" ] && ! echo "$MODEL_SHA256  $file.part" | sha256sum --check --status; then
            echo "imgtrain: what was fetched has another SHA-256 than MODEL_SHA256" >&2
            exit 65
        fi
        mv "$file.part" "$file"
    fi
    echo "$file"
}

set --
set -f # a model's name is no pattern
for model in $MODEL; do
    name=
    case $model in
    http://* | https://*) ;;
    *=*) name=${model%%=*}= model=${model#*=} ;;
    esac
    case $model in http://* | https://*) model=$(fetch "$model") ;; esac
    set -- "$@" "$name$model"
done
# shellcheck disable=SC2086  # options are words
exec "$program" serve "$@" ${SERVE_OPTIONS:-}
