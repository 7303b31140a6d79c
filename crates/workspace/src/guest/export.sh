# Prints, as one patch, all that differs from a base: commits, uncommitted changes, untracked files that are not
# ignored. Works on a copy of the index and adds objects beside the repository: nothing of it changes.
# Arguments: the workspace's folder, a base (`prepared`, `base` or a commit's name).
path=$1 base=$2
cd "$path" 2>/dev/null && top=$(git rev-parse --show-toplevel 2>/dev/null) || exit 92
cd "$top"
case $base in
prepared) base=$(git rev-parse -q --verify refs/banger/prepared) || exit 94 ;;
base)
    git rev-parse -q --verify refs/banger/prepared >/dev/null || exit 94
    # Prepared before the first commit: everything is new.
    base=$(git rev-parse -q --verify refs/banger/base) || base=$(git mktree </dev/null)
    ;;
*) base=$(git rev-parse -q --verify --end-of-options "$base^{commit}") || exit 94 ;;
esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM
index=$(git rev-parse --git-path index)
[ ! -e "$index" ] || cp -p "$index" "$scratch/index"
GIT_ALTERNATE_OBJECT_DIRECTORIES=$(cd "$(git rev-parse --git-path objects)" && pwd)
mkdir "$scratch/objects"
export GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY="$scratch/objects" GIT_INDEX_FILE="$scratch/index"
compare_all "$GIT_INDEX_FILE"
# New files by their names alone: what they hold is read once, by the comparison.
add_all --intent-to-add >/dev/null
# Files that only look changed are no part of a patch.
whole update-index -q --refresh || true
whole diff-index -p --binary --full-index -U3 --no-renames --no-ext-diff --no-textconv --no-color \
    --ignore-submodules=all --src-prefix=a/ --dst-prefix=b/ "$base"
