#!/bin/sh
# The man page and the completions name every command, option and key that the program has, and work;
# make install puts them where they belong, make uninstall leaves nothing.
. "$(dirname "$0")/lib.sh"
build=$(dirname "$program")

# ---- what the program has, by --help and by the list of keys ----
"$program" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' >commands
while read -r command; do
    "$program" "$command" --help | sed -n '/^options:/,/^example:/p' | grep -oE '^  (-.,|   ) --[a-z-]+' |
        sed "s/.* --/$command --/"
done <commands >options
awk '/^[a-z_]+:/ { section = "" }
    /^[a-z_]+: *(#.*)?$/ { section = substr($1, 1, length($1) - 1) "."; next }
    /^ *[a-z0-9_]+:/ { sub(/:.*/, ""); sub(/^ */, ""); print section $0 }' "$root/default.yaml" >keys
run 0 sh -c 'test "$(wc -l <commands)" -ge 10 && test "$(wc -l <options)" -ge 40 && test "$(wc -l <keys)" -ge 130'

# ---- the man page ----
run 0 imgtrain help --man
cp "$out" imgtrain.1
plain() { # the section of a command, or all: text without the escapes of troff
    sed -n "${1:-1,\$}p" imgtrain.1 | sed 's/\\f[BRI]//g; s/\\-/-/g'
}
plain >text
missing() { # WORDS FILE: the first of the words that the file lacks
    while read -r word; do grep -qxF -e "$word" "$2" || { echo "$word"; return; }; done <"$1"
}
sed -n 's/^\.SS \([a-z]*\)$/\1/p' imgtrain.1 >sections
last="commands of the man page"
if [ -z "$(missing commands sections)" ]; then pass; else flunk "lacks $(missing commands sections)"; fi
while read -r command option; do
    last="man page: $command $option"
    if plain "/^\.SS $command\$/,/^\.S[SH] /" | grep -qE -e "^(-., )?$option( |\$)"; then pass; else flunk "not there"; fi
done <options
sed -n '/^\.SH KEYS/,/^\.SH EXIT/p' text | sed -n 's/^\([a-z][a-z0-9_.]*\) (.*/\1/p' >named
last="keys of the man page"
if diff keys named >"$err"; then pass; else flunk "differ from default.yaml"; fi
renders() { # NAME COMMAND...: where it is installed, without a word on stderr or among its warnings
    if ! command -v "$2" >/dev/null; then
        skip "man page by $1: $2 is not installed"
        return
    fi
    shift
    run 0 "$@"
    last="warnings of $1"
    if [ -s "$err" ]; then flunk "$(head -n 1 "$err")"; else pass; fi
}
renders groff groff -ww -man -Tascii imgtrain.1
renders mandoc mandoc -T lint -W warning imgtrain.1
if command -v man >/dev/null && ! man --version 2>/dev/null | grep -q minimized; then
    run 0 env MANPAGER=cat MANWIDTH=80 LC_ALL=C man -l imgtrain.1
    out_has "--allow-changed-input"
    out_has "splat.num_gaussians"
    out_has "EXIT STATUS"
    err_is ""
else
    skip "man -l: man is not installed"
fi

# ---- bash ----
run 0 imgtrain help --completion bash
cp "$out" imgtrain.bash
if command -v bash >/dev/null; then
    run 0 bash -n imgtrain.bash
    cat >complete.sh <<'BASH'
. ./imgtrain.bash
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_imgtrain imgtrain "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}"
BASH
    completes() { # WORDS FILE: what is offered for the words has each line of the file
        # shellcheck disable=SC2086  # words
        run 0 bash complete.sh $1 ""
        last="completion of: $1"
        if [ -z "$(missing "$2" "$out")" ]; then pass; else flunk "lacks $(missing "$2" "$out")"; fi
    }
    offers() { # EXPECTED WORDS...: exactly these, in one line
        expected=$1
        shift
        run 0 bash complete.sh "$@"
        last="completion of: $*"
        if [ "$(tr '\n' ' ' <"$out")" = "$expected " ]; then pass; else flunk "offers $(tr '\n' ' ' <"$out")"; fi
    }
    completes imgtrain commands
    completes "imgtrain help" commands
    while read -r command; do
        sed -n "s/^$command //p" options >wanted
        run 0 bash complete.sh imgtrain "$command" -
        last="options of $command in bash"
        if [ -z "$(missing wanted "$out")" ]; then pass; else flunk "lacks $(missing wanted "$out")"; fi
    done <commands
    cut -d. -f1 keys | sort -u >prefixes
    while read -r prefix; do bash complete.sh imgtrain train cfgs/x.yaml "$prefix"; done <prefixes >offered 2>"$err"
    sed 's/$/=/' keys >wanted
    last="keys in bash"
    if [ -z "$(missing wanted offered)" ]; then pass; else flunk "lacks $(missing wanted offered)"; fi
    offers "train" imgtrain tra
    offers "--time-limit" imgtrain train x.yaml --ti
    offers "splat.max_steps=" imgtrain train x.yaml splat.max_st
    offers "splat gan sr diffusion vae" imgtrain train x.yaml task =
    offers "false" imgtrain train x.yaml video.enabled = f
    mkdir -p "task folder"
    offers "task= task\\ folder/" imgtrain train task
    offers "help" imgtrain he
    run 0 bash complete.sh imgtrain train -o splat.max
    out_is "" # a file, which readline adds
    offers "cuda" imgtrain render m.safetensors --device cu
else
    skip "completion of bash: bash is not installed"
fi

# ---- zsh ----
run 0 imgtrain help --completion zsh
cp "$out" _imgtrain
sed -n "s/^        \([a-z]*\)) _arguments.*/\1/p" _imgtrain >named
last="commands in zsh"
if [ -z "$(missing commands named)" ]; then pass; else flunk "lacks $(missing commands named)"; fi
sed -n '/^    keys=(/,/^    )/p' _imgtrain | sed 's/^ *//' >named
last="keys in zsh"
if [ -z "$(missing keys named)" ]; then pass; else flunk "lacks $(missing keys named)"; fi
while read -r command option; do
    last="zsh: $command $option"
    if sed -n "/^        $command) _arguments/,/;;/p" _imgtrain | grep -qE -e "(^ +|,)$option(\}|')"; then pass; else flunk "not there"; fi
done <options
if command -v zsh >/dev/null; then
    run 0 zsh -n _imgtrain
else
    skip "completion of zsh: zsh is not installed"
fi
run 64 imgtrain help --completion fish
err_has "'fish' is neither bash nor zsh"

# ---- install and uninstall ----
if ! command -v make >/dev/null || [ ! -e "$build/imgtrain.1" ]; then
    skip "make install: no man page beside the program under test ($build)"
    finish
fi
install_files() { MAKEFLAGS='' make -s -C "$root" "$1" B="$build" PREFIX=/usr DESTDIR="$work/dest dir"; }
mkdir "$work/dest dir"
run 0 install_files install-files
(cd "$work/dest dir" && find . -type f | sort) >files
for file in bin/imgtrain share/man/man1/imgtrain.1 share/bash-completion/completions/imgtrain \
    share/zsh/site-functions/_imgtrain share/doc/imgtrain/LICENSE share/doc/imgtrain/README.md \
    share/imgtrain/cfgs/photo.yaml; do
    run 0 grep -qx "./usr/$file" files
done
for file in imgtrain.1 imgtrain.bash _imgtrain; do run 0 cmp "$build/$file" "$file"; done
run 0 "$work/dest dir/usr/bin/imgtrain" config "$work/dest dir/usr/share/imgtrain/cfgs/tiny.yaml"
out_has "tiny.yaml"
# presets by name, wherever the program is started and by whatever link
ln -s "$work/dest dir/usr/bin/imgtrain" linked
for name in tiny tiny.yaml cfgs/tiny.yaml; do
    run 0 ./linked config $name
    out_has "$work/dest dir/usr/share/imgtrain/cfgs/tiny.yaml"
done
awk 'BEGIN { print "P3 16 16 255"; for (i = 0; i < 256; i++) print i, 255 - i, i * 7 % 256 }' >small.ppm
run 0 "$work/dest dir/usr/bin/imgtrain" train tiny \
    input_path=small.ppm device=cpu threads=1 max_steps=3 video.enabled=false -q -o fit
run 0 install_files uninstall
run 0 sh -c 'cd "$0" && test -z "$(find . -mindepth 1)"' "$work/dest dir"
# what others have there stays
run 0 install_files install-files
echo theirs >"$work/dest dir/usr/share/doc/imgtrain/theirs"
run 0 install_files uninstall
run 0 sh -c 'cd "$0" && test "$(find . -type f)" = ./usr/share/doc/imgtrain/theirs' "$work/dest dir"
finish
