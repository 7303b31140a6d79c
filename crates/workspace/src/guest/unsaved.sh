# Says what was made here since the host last gave this: commits that no branch of a remote has, on any branch or in the
# stash, and files against what was given. Works on a copy of the index, as export.sh does, and in as few processes as
# can be: who asks does not wait for long.
# Arguments: the workspace's folder, most commits to name, `all` or `beside`: without the commits that HEAD has.
# Prints the commits (`ID SUBJECT`), an empty one, then what `git diff-index --raw -z` says.
path=$1 most=$2 which=$3
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
set -- "$@" --not --remotes
[ "$which" = all ] || set -- "$@" $head
! base=$(git rev-parse -q --verify refs/banger/base) || set -- "$@" "$base"
git log -z -n "$most" --no-show-signature --no-color --format='%H %s' "$@"
printf '\0'
compare_all "$GIT_INDEX_FILE"
git add -A
git diff-index --cached --raw -z --no-abbrev --no-renames --ignore-submodules=dirty "$prepared"
