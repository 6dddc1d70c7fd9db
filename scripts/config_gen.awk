# default.yaml -> config_gen.h: the typed struct config, and (below #ifdef CONFIG_TABLE) one table row
# a key. Runs in mawk, gawk and busybox awk. A line that does not follow the format explained at the
# head of default.yaml stops the build: FILE:LINE: message, exit 1.

function die(message) {
    printf "%s:%d: %s\n", FILENAME, FNR, message > "/dev/stderr"
    failed = 1
    exit 1
}

function trim(s) {
    gsub(/^[ \t]+|[ \t]+$/, "", s)
    return s
}

function quote(s) {
    gsub(/\\/, "\\\\", s)
    gsub(/"/, "\\\"", s)
    return "\"" s "\""
}

function check_name(name) {
    if (name !~ /^[a-z][a-z0-9_]*$/) die("'" name "' is not a name of a-z, 0-9 and _")
    if (index(" " C_WORDS " ", " " name " ")) die("'" name "' is a word of the C language")
}

# Splits the text behind KEY: into `value` and `comment`; a # inside double quotes is no comment.
function split_comment(rest,    i, c, quoted) {
    quoted = 0
    for (i = 1; i <= length(rest); i++) {
        c = substr(rest, i, 1)
        if (c == "\"") quoted = !quoted
        if (c == "#" && !quoted) break
    }
    value = trim(substr(rest, 1, i - 1))
    comment = trim(substr(rest, i + 1))
}

function is_number(s) {
    return s ~ /^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$/
}

# A C double from decimal text; kept as text, as awks print numbers differently.
function as_double(s) {
    return s ~ /[.eE]/ ? s : s ".0"
}

# int: does the decimal text exceed INT64_MAX?
function beyond_int64(s) {
    sub(/^\+/, "", s)
    if (s ~ /^-/) return 0
    if (length(s) != 19) return length(s) > 19
    return ("x" s) > "x9223372036854775807"
}

function is_list(type) {
    return type == "list" || type == "reals" || type == "words"
}

function check_range(text, low, high) {
    if (!is_number(low) || !is_number(high) || low + 0 > high + 0) die("range '" text "' is not LOW..HIGH")
}

function check_default(    n) {
    n = value
    if (type == "bool" && value != "true" && value != "false") die(key ": default '" value "' is not true or false")
    if (value == "auto" && or_auto) return
    if (type == "int" && value !~ /^-?[0-9]+$/) die(key ": default '" value "' is not a whole number")
    if (type == "float" && !is_number(value)) die(key ": default '" value "' is not a number")
    if ((type == "int" || type == "float") && (n + 0 < low + 0 || n + 0 > high + 0))
        die(key ": default " value " is outside " range)
    if (is_list(type) && value !~ /^\[.*\]$/) die(key ": default '" value "' is not a list [A, B]")
    if (type == "alias" && value != "[]") die(key ": another name has no default of its own: write []")
    if (type == "period" && value !~ /^[0-9]+(ep)?$/) die(key ": default '" value "' is no number of steps or epochs")
    if ((type == "duration" || type == "bytes") && value !~ /^[0-9]/) die(key ": default '" value "' is not a number")
    if (type != "ignored" && value == "") die(key ": no default (write \"\" for an empty text)")
}

# "enum a|b|A|old=a" -> the enum in C and its names; names that differ only in case are one value, and
# `old` is another name of a. `range` keeps what is no other name.
# With `words`, whose default is a list of them.
function make_enum(names,    n, i, at, part, C, prefix, found, same) {
    n = split(names, part, "|")
    enum_name = section == "" ? key : section "_" key
    prefix = toupper("config_" enum_name "_")
    enum_rows = ""
    enum_c = ""
    found = type == "words"
    range = ""
    split("", seen_constant)
    for (i = 1; i <= n; i++) {
        at = index(part[i], "=")
        same = at ? substr(part[i], at + 1) : part[i]
        if (at) part[i] = substr(part[i], 1, at - 1)
        if (part[i] !~ /^[A-Za-z0-9][A-Za-z0-9_-]*$/) die("'" part[i] "' is not a value for an enum")
        if (part[i] == value) found = 1
        if (enum_name == "task") is_task["task " part[i]] = 1
        C = same
        gsub(/-/, "_", C)
        C = prefix toupper(C)
        if (at && !(C in seen_constant)) die(key ": '" same "', of which '" part[i] "' is another name, is no value before it")
        if (!(C in seen_constant)) enum_c = enum_c (enum_c == "" ? "" : ", ") C
        seen_constant[C] = 1
        if (!at) range = range (range == "" ? "" : "|") part[i]
        enum_rows = enum_rows "{" quote(part[i]) ", " C ", " (at ? "true" : "false") "}, "
    }
    if (!found) die(key ": default '" value "' is not one of " names)
    enums = enums "enum config_" enum_name " { " enum_c " };\n"
    names_c = names_c "static const struct config_name names_" enum_name "[] = {" enum_rows "{0}};\n"
}

function c_type() {
    if (type == "bool") return "bool "
    if (type == "int") return unsigned ? "uint64_t " : "int64_t "
    if (type == "period") return "int64_t "
    if (type == "float" || type == "duration") return "double "
    if (type == "bytes") return "uint64_t "
    if (type == "string" || type == "path") return "char *"
    if (type == "enum") return "enum config_" enum_name " "
    if (type == "list") return "struct config_list "
    if (type == "reals") return "struct config_reals "
    if (type == "words") return "struct config_words "
    return ""
}

function add_field(    field) {
    field = c_type() key "; /* " meaning (unit == "" ? "" : " [" unit "]") " */\n"
    if (section == "") common = common "    " field
    else sections[section] = sections[section] "    " field
}

function add_row(    int_low, int_high, offset) {
    int_low = "0"
    int_high = "0"
    if (type == "int" || type == "list") {
        int_low = low == "-9223372036854775808" ? "INT64_MIN" : "INT64_C(" low ")"
        int_high = "UINT64_C(" high ")"
        if (high ~ /^-/) die("a range that ends below zero is not supported")
    }
    offset = type == "ignored" || type == "alias" ? "0" : \
        "offsetof(struct config, " (section == "" ? "" : section ".") key ")"
    rows = rows "    {" quote(section) ", " quote(key) ", CONFIG_TYPE_" \
        toupper(type == "int" && unsigned ? "uint" : type) ", " offset ", " quote(value) ", " \
        quote(range) ", " int_low ", " int_high ", " as_double(low) ", " as_double(high) ", " quote(unit) ", " \
        (type == "enum" || type == "words" ? "names_" enum_name : "NULL") ", " quote(target) ", " quote(meaning) ", " \
        quote(tasks) ", " quote(total) ", " quote(each) ", CONFIG_RESUME_" toupper(resume) ", " \
        (section_bare ? "true" : "false") ", " (or_auto ? "true" : "false") ", " FNR "},\n"
    count++
}

# "... = TOTAL / EACH" of `head`: keys above it in its section. Returns what stands before.
function read_total(head,    at, n, word) {
    total = each = ""
    at = index(head, " = ")
    if (!at) return head
    n = split(substr(head, at + 3), word, /[ \t]+/)
    if (n != 3 || word[2] != "/") die(key ": expected = TOTAL / EACH")
    total = word[1]
    each = word[3]
    if (type_of[section, total] != "int" || type_of[section, each] != "int")
        die(key ": TOTAL and EACH are whole numbers above it in its section")
    return trim(substr(head, 1, at))
}

# "... ; MARK" of `head`: what may differ on resume. Returns what stands before; the section's mark
# holds where there is none.
function read_resume(head,    at) {
    resume = section_resume
    at = match(head, /[ ]*;[ ]*[a-z]*$/)
    if (!at) return head
    resume = check_resume(substr(head, at))
    return trim(substr(head, 1, at - 1))
}

function check_resume(mark) {
    gsub(/[ ;]/, "", mark)
    if (!(mark in known_resume)) die((key == "" ? section : key) ": '" mark "' is no mark of what may differ on resume")
    return mark
}

# "MARK, bare" of a section's line. Keys of a task's section may be written bare anyway.
function read_section_marks(marks,    n, i, mark) {
    section_resume = "same"
    section_bare = ("task " section) in is_task
    n = split(marks, mark, ",")
    for (i = 1; i <= n; i++) {
        gsub(/ /, "", mark[i])
        if (mark[i] == "bare") section_bare = 1
        else section_resume = check_resume(mark[i])
    }
}

# "... of TASK TASK" of `head`, or the section's. Returns what stands before.
function read_tasks(head,    at, n, i, word) {
    tasks = ("task " section) in is_task ? section : ""
    at = match(head, / of( [a-z0-9_]+)+$/)
    if (!at) return head
    tasks = substr(head, at + 4)
    n = split(tasks, word, " ")
    for (i = 1; i <= n; i++) if (!(("task " word[i]) in is_task)) die(key ": '" word[i] "' is no task")
    return trim(substr(head, 1, at))
}

# Reads "TYPE [RANGE] [(UNIT)] [of TASK] [= TOTAL / EACH] [; MARK]: MEANING" from `comment`.
function read_comment(    colon, head, n, word, paren) {
    colon = index(comment, ":")
    if (comment == "" || !colon) die(key ": no '# TYPE: MEANING' behind the default")
    head = trim(substr(comment, 1, colon - 1))
    meaning = trim(substr(comment, colon + 1))
    if (meaning == "") die(key ": no meaning given")
    if (index(meaning, "*/")) die(key ": the meaning may not hold */")
    unit = range = target = ""
    unsigned = 0
    head = read_tasks(read_total(read_resume(head)))
    paren = index(head, "(")
    if (paren) {
        unit = substr(head, paren + 1)
        if (unit !~ /\)$/) die(key ": (UNIT) is not closed")
        sub(/\)$/, "", unit)
        head = trim(substr(head, 1, paren - 1))
    }
    n = split(head, word, /[ \t]+/)
    type = word[1]
    if (!(type in known_type)) die(key ": unknown type '" type "'")
    range = n > 1 ? word[2] : ""
    if (n > 2) die(key ": '" word[3] "' is not expected behind the range")
}

function read_range(    at) {
    low = high = "0"
    or_auto = 0
    if (type == "enum" || type == "words") {
        if (range == "") die(key ": " type " without values")
        make_enum(range)
        return
    }
    if (type == "alias") {
        if (!((section, range) in keys)) die(key ": '" range "' is no key above it in its section")
        target = range
        range = ""
        return
    }
    if (range == "") {
        if (type == "int" || type == "list") range = "-9223372036854775808..9223372036854775807"
        if (type == "float" || type == "reals") range = "-1e308..1e308"
        if (type == "duration") high = "1e12"
        if (type == "bytes") high = "18446744073709551615"
        if (range == "") return
    } else if (type != "int" && type != "float" && type != "list" && type != "reals" && type != "duration" && type != "bytes") {
        die(key ": a " type " has no range")
    }
    at = index(range, "..")
    if (!at) die("range '" range "' is not LOW..HIGH")
    low = substr(range, 1, at - 1)
    high = substr(range, at + 2)
    or_auto = type == "int" && sub(/\|auto$/, "", high)
    check_range(range, low, high)
    if (or_auto && low + 0 <= 0) die(key ": 0 stands for auto: the range must begin above it")
    if ((type == "int" || type == "list") && (low high) !~ /^[-0-9]+$/) die("range '" range "' is not of whole numbers")
    unsigned = type == "int" && beyond_int64(high)
    if (unsigned && low + 0 < 0) die("range '" range "' fits no 64-bit type")
}

BEGIN {
    n = split("bool int float string path list reals words duration period bytes enum ignored alias", word, " ")
    for (i = 1; i <= n; i++) known_type[word[i]] = 1
    C_WORDS = "auto break case char const continue default do double else enum extern float for goto if " \
        "inline int long register restrict return short signed sizeof static struct switch typedef union " \
        "unsigned void volatile while state bool true false NULL"
    n = split("same environment ending input start", word, " ")
    for (i = 1; i <= n; i++) known_resume[word[i]] = 1
    section = key = ""
    section_resume = "same"
    section_bare = 1
    count = 0
    failed = 0
}

{ sub(/\r$/, "") }
/\t/ { die("a tab: use blanks") }
/^[ ]*(#.*)?$/ { next }

/^[^ ][^:]*:[ ]*(#.*)?$/ { # a section
    section = $0
    sub(/:.*/, "", section)
    check_name(section)
    if (section in sections || ("", section) in keys) die("'" section "' appears twice")
    sections[section] = ""
    key = ""
    read_section_marks(index($0, "#") ? substr($0, index($0, "#") + 1) : "")
    section_order[++section_count] = section
    next
}

/^(  )?[^ :]+:[ ]/ {
    if ($0 !~ /^ /) {
        if (section != "") die("a common key behind a section: put it above the first section")
    } else if (section == "") {
        die("an indented key outside a section")
    }
    key = trim($0)
    sub(/:.*/, "", key)
    check_name(key)
    if ((section, key) in keys) die("'" key "' appears twice")
    split_comment(substr($0, index($0, ":") + 1))
    read_comment()
    read_range()
    check_default()
    keys[section, key] = 1
    type_of[section, key] = unsigned ? "" : type
    if (total != "" && (type != "int" || low + 0 >= 0 || value + 0 >= 0))
        die(key ": another way to say a key is a whole number that is below 0 by default")
    if (type != "ignored" && type != "alias") add_field()
    sub(/^"/, "", value)
    sub(/"$/, "", value)
    add_row()
    next
}

{ die("neither 'SECTION:' nor 'KEY: DEFAULT  # TYPE: MEANING'") }

END {
    if (failed) exit 1
    print "/* Made from default.yaml by scripts/config_gen.awk: change that file instead. */"
    print "#ifndef IMGTRAIN_CONFIG_GEN_H\n#define IMGTRAIN_CONFIG_GEN_H\n"
    printf "enum { CONFIG_KEY_COUNT = %d };\n\n%s\n", count, enums
    for (i = 1; i <= section_count; i++) {
        if (sections[section_order[i]] == "") { print FILENAME ": section '" section_order[i] "' is empty" > "/dev/stderr"; exit 1 }
        printf "struct config_%s {\n%s};\n\n", section_order[i], sections[section_order[i]]
    }
    printf "struct config {\n%s", common
    for (i = 1; i <= section_count; i++)
        printf "    struct config_%s %s;\n", section_order[i], section_order[i]
    print "    struct config_state *state; /* origins and texts of the values; private to src/config */\n};\n"
    print "#endif\n\n#if defined(CONFIG_TABLE) && !defined(CONFIG_TABLE_DONE)\n#define CONFIG_TABLE_DONE"
    print names_c
    printf "static const struct config_row config_rows[CONFIG_KEY_COUNT] = {\n%s};\n#endif\n", rows
}
