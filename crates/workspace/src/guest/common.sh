# What each of the scripts begins with. They run in the guest, by its own sh and git: values come in as arguments.
set -eu
# Before the function of that name, which would be found.
command -v git >/dev/null 2>&1 || exit 90
# Nothing is fetched here: a workspace that lacks files says so.
export GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none
export LC_ALL=C GIT_TERMINAL_PROMPT=0 GIT_LITERAL_PATHSPECS=1 GIT_NO_REPLACE_OBJECTS=1
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES 2>/dev/null || :
git() {
    command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 -c maintenance.auto=false -c core.compression=1 \
        -c safe.directory='*' -c advice.addEmbeddedRepo=false -c core.safecrlf=false -c core.splitIndex=false \
        -c diff.suppressBlankEmpty=false -c submodule.recurse=false -c core.ignoreCase=false "$@"
}

# The same of all files: a sparse definition, given or made here, hides none that is there. One that is not there was not
# deleted: that is in the index (skip-worktree).
whole() {
    git -c core.sparseCheckout=false "$@"
}

# What an index says of its files, the odd ones of them: those that git is to leave alone (`update-index --skip-worktree`,
# `--assume-unchanged`, a sparse checkout), and repositories inside, `160000`. Many at one look; names may be in parts.
odd() {
    GIT_INDEX_FILE=$1 whole ls-files -v -s -z | tr '\0' '\n' | grep '^[Sa-z] \|^. 160000 '
}
has_flags() {
    odd "$1" | grep -q '^[Sa-z]'
}

# Has an index compare also what git is to leave alone, where it is there: files, and what lies in the folders of
# submodules that are not checked out. Leaves what is odd in INDEX.odd.
compare_all() {
    [ -e "$1" ] && odd "$1" >"$1.odd" || return 0
    if grep -q '^[Sa-z]' "$1.odd"; then
        # shellcheck disable=SC2016 # the inner shell's
        GIT_INDEX_FILE=$1 whole ls-files -v -z | xargs -0 sh -c '
            for line; do
                case $line in
                "S "* | [a-z]" "*) if [ -e "${line#? }" ] || [ -L "${line#? }" ]; then printf "%s\0" "${line#? }"; fi ;;
                esac
            done' sh >"$1.flagged"
        GIT_INDEX_FILE=$1 whole update-index -z --no-skip-worktree --stdin <"$1.flagged"
        GIT_INDEX_FILE=$1 whole update-index -z --no-assume-unchanged --stdin <"$1.flagged"
        rm "$1.flagged"
    fi
    if grep -q '^. 160000 ' "$1.odd"; then
        # shellcheck disable=SC2016 # the inner shell's
        GIT_INDEX_FILE=$1 whole ls-files -s -z | xargs -0 sh -c '
            tab=$(printf "\t")
            for line; do
                case $line in 160000*) ;; *) continue ;; esac
                path=./${line#*"$tab"}
                [ -e "$path/.git" ] || [ -L "$path/.git" ] || [ -z "$(ls -A "$path" 2>/dev/null)" ] ||
                    printf "%s\0" "${path#./}"
            done' sh >"$1.filled"
        GIT_INDEX_FILE=$1 whole update-index -z --force-remove --stdin <"$1.filled"
        rm "$1.filled"
    fi
}

# The paths of an index that git is not to check out, each with a NUL.
left_out() {
    # shellcheck disable=SC2016 # the inner shell's
    GIT_INDEX_FILE=$1 whole ls-files -v -z | xargs -0 sh -c '
        for line; do
            case $line in "S "*) printf "%s\0" "${line#? }" ;; esac
        done' sh
}

# Adds all that git sees, as `git add -A` with these arguments, but for what git would refuse everything of: pipes and
# devices in the place of files, which count as deleted, and repositories inside that have no commit. The paths of those
# go to stdout, each with a NUL.
add_all() {
    problem=$(whole add -A "$@" 2>&1) && return
    # shellcheck disable=SC2016 # the inner shell's
    whole diff-files -z --name-only | xargs -0 sh -c '
        for path; do
            [ ! -e "$path" ] || [ -L "$path" ] || [ -f "$path" ] || [ -d "$path" ] || printf "%s\0" "$path"
        done' sh >"$GIT_INDEX_FILE.special"
    whole update-index --force-remove -z --stdin <"$GIT_INDEX_FILE.special"
    # Those inside are listed with a slash behind, and not looked into.
    # shellcheck disable=SC2016 # the inner shell's
    git ls-files -z --others --exclude-standard | xargs -0 sh -c '
        for path; do
            case $path in
            */)
                git -c safe.directory="*" -C "./$path" rev-parse -q --verify HEAD >/dev/null 2>&1 ||
                    printf "%s\0" "${path%/}"
                ;;
            esac
        done' sh >"$GIT_INDEX_FILE.without"
    if ! [ -s "$GIT_INDEX_FILE.without" ] && ! [ -s "$GIT_INDEX_FILE.special" ]; then
        echo "$problem" >&2
        return 1
    fi
    # shellcheck disable=SC2016 # the inner shell's
    xargs -0 sh -c 'for path; do printf ":(exclude,literal)%s\0" "$path"; done' sh \
        <"$GIT_INDEX_FILE.without" >"$GIT_INDEX_FILE.places"
    printf '.\0' >>"$GIT_INDEX_FILE.places"
    GIT_LITERAL_PATHSPECS=0 whole add -A "$@" --pathspec-from-file="$GIT_INDEX_FILE.places" --pathspec-file-nul
    cat "$GIT_INDEX_FILE.without"
    rm "$GIT_INDEX_FILE.without" "$GIT_INDEX_FILE.places" "$GIT_INDEX_FILE.special"
}

# Lets all users' git work in a folder, whoever it belongs to: it looks into no other user's repository without.
name_as_safe() {
    git config --system --get-all safe.directory 2>/dev/null | grep -qxF -e "$1" ||
        git config --system --add safe.directory "$1" 2>/dev/null || :
}
