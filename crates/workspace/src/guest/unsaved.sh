# Says what was made here since the host last gave this: commits that no branch of a remote has, on any branch or in the
# stash, and files against what was given. Works on a copy of the index, as export.sh does, and in as few processes as
# can be: who asks does not wait for long.
# Arguments: the workspace's folder, most commits to name, `all` or `beside`: without the commits that HEAD has.
# Prints the number of commits that HEAD has and whether programs run here (`busy` or `idle`), the commits (`ID SUBJECT`),
# an empty one, then what
# `git diff-index --raw -z` says, with repositories that have no commit, and linked worktrees elsewhere that hold changes.
path=$1 most=$2 which=$3
# Before this one is here, too.
places_of_programs=$(ls -l /proc/[0-9]*/cwd 2>/dev/null || :)
cd "$path" 2>/dev/null && places=$(git rev-parse --show-toplevel --git-path index --git-path objects 2>/dev/null) || exit 92
here=$PWD
{ read -r top && read -r index && read -r objects; } <<PLACES
$places
PLACES
prepared=$(git rev-parse -q --verify refs/banger/prepared) || exit 92
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
[ ! -e "$index" ] || cp -p "$index" "$scratch/index"
case $objects in
/*) ;;
*) objects=$here/$objects ;;
esac
cd "$top"
mkdir "$scratch/objects"
export GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects" GIT_OBJECT_DIRECTORY="$scratch/objects" GIT_INDEX_FILE="$scratch/index"
set -- --exclude='refs/banger/prepared' --exclude='refs/banger/index' --all
head=
! git rev-parse -q --verify HEAD >/dev/null || head=HEAD
[ "$which" = beside ] || set -- $head "$@"
base=
! git rev-parse -q --verify refs/banger/base >/dev/null || base=refs/banger/base
number=0
[ -z "$head" ] || number=$(git rev-list --count $head --not --remotes $base)
newline='
'
case "$places_of_programs$newline" in
*" -> $top$newline"* | *" -> $top/"*) at_work=busy ;;
*) at_work=idle ;;
esac
printf '%s %s\0' "$number" "$at_work"
set -- "$@" --not --remotes $base
[ "$which" = all ] || set -- "$@" $head
git log -z -n "$most" --no-show-signature --no-color --encoding=UTF-8 --format='%H %s' "$@"
printf '\0'
compare_all "$GIT_INDEX_FILE"
add_all >"$scratch/without"
whole diff-index --cached --raw -z --no-abbrev --no-renames --ignore-submodules=dirty "$prepared"
unknown=0000000000000000000000000000000000000000
# shellcheck disable=SC2016 # the inner shell's
xargs -0 sh -c 'for path; do printf ":000000 160000 $0 $0 A\0%s\0" "$path"; done' "$unknown" <"$scratch/without"

# What is not committed in repositories that were given, or are in no branch there. Those that are a workspace of their own
# are looked at as that.
unset GIT_INDEX_FILE GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY
if grep -q '^. 160000 ' "$scratch/index.odd" 2>/dev/null; then
    # shellcheck disable=SC2016 # the inner shell's
    git ls-files -s -z | xargs -0 sh -c '
        tab=$(printf "\t")
        inner() { git --no-optional-locks -c safe.directory="*" -c core.fsmonitor=false -C "./$path" "$@"; }
        for line; do
            case $line in 160000*) ;; *) continue ;; esac
            path=${line#*"$tab"}
            [ -e "$path/.git" ] && ! inner rev-parse -q --verify refs/banger/prepared >/dev/null || continue
            # Tags come with a clone.
            [ -z "$(inner status --porcelain --untracked-files=normal --ignore-submodules=none | head -c 1)" ] &&
                [ -z "$(inner rev-list -n 1 --exclude="refs/tags/*" --all --not --remotes HEAD)" ] ||
                printf ":160000 160000 $0 $0 M\0%s\0" "$path"
        done' "$unknown"
fi

# Repositories in folders whose files are of this one: git sees the files, and no commit of theirs.
# shellcheck disable=SC2016 # the inner shell's
git ls-tree -r -d -z "$prepared" | xargs -0 sh -c '
    tab=$(printf "\t")
    for line; do
        path=${line#*"$tab"}
        [ -e "$path/.git" ] || continue
        case $line in 160000*) continue ;; esac
        [ -z "$(git -c safe.directory="*" -C "./$path" rev-list -n 1 --all)" ] ||
            printf ":000000 160000 $0 $0 A\0%s\0" "$path"
    done' "$unknown"

# Linked worktrees: their commits are looked for above. Those inside that git sees are repositories for it.
for link in "${objects%/objects}/worktrees"/*/gitdir; do
    [ -f "$link" ] && read -r tree <"$link" || continue
    case $tree in
    /*) ;;
    *) tree=${link%/gitdir}/$tree ;;
    esac
    tree=${tree%/.git}
    [ -e "$tree/.git" ] || continue
    case $tree in
    "$here" | "$top") continue ;;
    "$top"/*) GIT_LITERAL_PATHSPECS=0 git check-ignore -q "$tree" || continue ;;
    esac
    [ -z "$(git -C "$tree" --no-optional-locks status --porcelain --untracked-files=normal --ignore-submodules=dirty | head -c 1)" ] ||
        printf ':160000 160000 %s %s M\0%s\0' "$unknown" "$unknown" "$tree"
done
