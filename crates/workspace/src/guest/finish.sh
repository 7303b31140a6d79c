# Makes the workspace what the host's repository is, from what was received. All of it or, if the guest's own work is
# in the way (93, then the files), nothing. Prints the tree that it came to.
# Arguments: the folder, `new` or `again`, the parcel's name, the commit or `-`, a branch or `-`, the name of the pack
# whose index came in the parcel or `-`, `force` or nothing.
path=$1 turn=$2 parcel=.git/$3 commit=$4 branch=$5 pack=$6 force=$7
if [ "$turn" = new ]; then tree=$path.banger-incoming; else tree=$path; fi
cd "$tree" 2>/dev/null && [ -d "$parcel" ] || exit 92
top=$PWD
lists=$top/$parcel/lists
index=$top/$parcel/index
wanted=$top/$parcel/wanted
settled=$top/$parcel/settled

# What breaks off takes no room.
if [ "$turn" = new ]; then gone=$tree; else gone=$top/$parcel; fi
trap 'rm -rf "$gone"' EXIT
trap 'exit 1' HUP INT TERM

[ "$turn" = again ] || cat "$lists/settings" >>.git/config
if [ "$pack" != - ]; then
    # A pack's index makes it seen: last.
    chmod 444 .git/banger-objects/pack/incoming "$lists/pack"
    mv -f .git/banger-objects/pack/incoming ".git/objects/pack/pack-$pack.pack"
    # What is not in it is to be had from the remote, and not missing.
    ! git config extensions.partialClone >/dev/null || : >".git/objects/pack/pack-$pack.promisor"
    mv -f "$lists/pack" ".git/objects/pack/pack-$pack.idx"
fi

# What is here now, with the times of its files, so that only what differs is written.
[ ! -e .git/index ] || cp -p .git/index "$index"
now=
if [ "$turn" = again ]; then
    compare_all "$index"
    (
        export GIT_INDEX_FILE="$index"
        add_all >/dev/null
    )
    now=$(GIT_INDEX_FILE=$index whole write-tree --missing-ok)
fi

# The index that the host has; then what is to be checked out of it. Files of the working tree that came before and did
# not change are taken from what is here.
cp "$lists/shallow" "$parcel/shallow"
if [ -s .git/shallow ]; then
    while read -r id; do
        if grep -qx -e "$commit" "$lists/shallow"; then
            echo "$id"
            continue
        fi
        # The history came now: it ends where an earlier turn ended it only if what is before that is missing still.
        for parent in $(git cat-file commit "$id" 2>/dev/null | sed -n '/^$/q; s/^parent //p'); do
            git cat-file -e "$parent" 2>/dev/null || echo "$id"
        done
    done <.git/shallow >>"$parcel/shallow"
fi
sort -u "$parcel/shallow" >"$parcel/ends"
if [ -s "$parcel/ends" ]; then cp "$parcel/ends" .git/shallow; else rm -f .git/shallow; fi
[ "$commit" = - ] || GIT_INDEX_FILE=$wanted git read-tree "$commit"
[ ! -s "$lists/staged" ] || GIT_INDEX_FILE=$wanted git update-index -z --index-info <"$lists/staged"
target=$(GIT_INDEX_FILE=$wanted git write-tree --missing-ok)
checkout=$target
if [ -s "$lists/kept" ] || [ -s "$lists/deleted" ]; then
    GIT_INDEX_FILE=$wanted git update-index --add --remove --replace -z --stdin <"$lists/kept"
    GIT_INDEX_FILE=$wanted git update-index --force-remove -z --stdin <"$lists/deleted"
    checkout=$(GIT_INDEX_FILE=$wanted git write-tree --missing-ok)
fi

if [ "$turn" = again ]; then
    prepared=$(git rev-parse -q --verify refs/banger/prepared) || exit 92
    # The files as they will be.
    state=$checkout
    if [ -d "$parcel/files" ]; then
        [ ! -e "$wanted" ] || mv "$wanted" "$settled"
        (
            cd "$parcel/files"
            export GIT_DIR="$top/.git" GIT_WORK_TREE=. GIT_INDEX_FILE="$settled"
            git update-index --add --replace -z --stdin <"$lists/sent"
        )
        state=$(GIT_INDEX_FILE=$settled git write-tree --missing-ok)
    fi
    # What git does not look into here, and the host has under the same name or below it, would be overwritten as well.
    {
        git diff-tree -r -z --name-only --no-renames --diff-filter=AT "$now" "$state"
        # Of these it takes for granted that nothing is there.
        ! grep -q '^S' "$index.odd" 2>/dev/null || left_out "$index"
    } | in_the_way 3>"$parcel/ignored" 4>"$parcel/inside"
    if [ -s "$parcel/ignored" ]; then
        sort -zu "$parcel/ignored" >"$parcel/added"
        GIT_INDEX_FILE=$index whole add -f --pathspec-from-file="$parcel/added" --pathspec-file-nul
        now=$(GIT_INDEX_FILE=$index whole write-tree --missing-ok)
    fi
    sort -zu "$parcel/inside" >"$parcel/apart"
    # By what is noted here: an earlier turn may have come to its end after its host had gone.
    base=$(git rev-parse -q --verify refs/banger/base || echo -)
    head=$(git rev-parse -q --verify HEAD || echo -)
    # What came to be the same on the host, by `apply` for one, is not lost.
    git diff-tree -r -z --name-only --no-renames --ignore-submodules=all "$prepared" "$now" >"$parcel/made"
    : >"$parcel/lost"
    if [ -s "$parcel/made" ]; then
        xargs -0 git -c safe.directory='*' diff-tree -r -z --name-only --no-renames --ignore-submodules=all "$now" "$state" -- <"$parcel/made" >"$parcel/lost"
        # The host has these as they were, and what is here would pass for that.
        [ ! -s "$lists/kept" ] ||
            xargs -0 git -c safe.directory='*' diff-tree -r -z --name-only --no-renames --ignore-submodules=all "$prepared" "$now" -- <"$lists/kept" >>"$parcel/lost"
    fi
    cat "$parcel/apart" >>"$parcel/lost"
    if [ -s "$parcel/lost" ] && [ -z "$force" ]; then
        [ "$head" = "$base" ] || printf 'commits since %.12s\0' "$base"
        sort -zu "$parcel/lost"
        exit 93
    fi
    # Commits whose files the host has are in nobody's way, but the host may not have them as commits.
    leaves=
    if [ "$head" != "$base" ] && [ "$head" != - ]; then
        git merge-base --is-ancestor "$head" "$commit" 2>/dev/null || leaves=yes
    fi
    earlier=$(git rev-parse -q --verify refs/banger/replaced || :)
    if [ -n "$leaves" ] && ! [ -s "$parcel/lost" ] && [ -z "$earlier" ]; then
        # Those commits alone, which the host knows if it has them.
        replaced=$head
    elif [ -s "$parcel/lost" ] || [ -n "$leaves" ]; then
        # Nothing of it is lost: refs/banger/replaced leads to it, and to what was replaced before.
        parents=
        [ "$head" = - ] || parents="-p $head"
        [ -z "$earlier" ] || parents="$parents -p $earlier"
        # shellcheck disable=SC2086 # none or some words
        replaced=$(echo 'Before a workspace was prepared anew' |
            git -c user.name=banger -c user.email=banger@localhost commit-tree $parents "$now")
    fi
fi

# From here on it is brought to its end, whether or not anybody waits for it.
trap '' HUP INT TERM
[ -z "${replaced:-}" ] || git update-ref refs/banger/replaced "$replaced"
if [ -s "$parcel/apart" ]; then
    # What git cannot keep stays as it is, elsewhere.
    # shellcheck disable=SC2016 # the inner shell's
    xargs -0 sh -c '
        for path; do
            kept=$0/$path
            mkdir -p "${kept%/*}" && mv "./$path" "$kept" || exit 255
        done' ".git/banger/replaced/$replaced" <"$parcel/apart"
fi
if [ -s "$lists/sparse" ]; then
    mkdir -p .git/info
    cp "$lists/sparse" .git/info/sparse-checkout
    # Whoever turned it off here may have done so in either place.
    git config core.sparseCheckout true
    # With linked worktrees, the second is there only if it is told to be.
    git config --worktree core.sparseCheckout true 2>/dev/null || :
fi
GIT_INDEX_FILE=$index git read-tree --reset -u "$checkout"
# The files as they are from now on, with their times: the next look at them reads none.
cp "$index" "$settled"
[ "$target" = "$checkout" ] || GIT_INDEX_FILE=$index git read-tree --reset "$target"
xargs -0 rm -rf -- <"$lists/sent"
if [ -d "$parcel/files" ]; then
    # As links, which cost no space; copied where the file system has none.
    cp -al "$parcel/files/." . 2>/dev/null || cp -a "$parcel/files/." .
    # A link less changes their times, and the next look would read them.
    rm -rf "$parcel/files"
    GIT_INDEX_FILE=$settled git update-index --add --replace -z --stdin <"$lists/sent"
fi
[ ! -s "$lists/unmerged" ] || GIT_INDEX_FILE=$index git update-index -z --index-info <"$lists/unmerged"
if [ -s "$lists/intended" ]; then
    GIT_INDEX_FILE=$index whole add -f -N --pathspec-from-file="$lists/intended" --pathspec-file-nul
fi
state=$(GIT_INDEX_FILE=$settled git write-tree --missing-ok)
mkdir -p .git/banger
# An edit finds by it what was made here, and does not look for files that git leaves alone.
if has_flags "$settled"; then rm -f .git/banger/settled; else mv -f "$settled" .git/banger/settled; fi
mv -f "$index" .git/index
# Neither of the two is split now: what lies there is what an earlier one was based on.
rm -f .git/sharedindex.*

# One process for all of them that are set; HEAD first, which says what the branch is.
if [ "$branch" = - ]; then
    git update-ref --no-deref HEAD "$commit"
else
    git symbolic-ref HEAD "refs/heads/$branch"
fi
{
    if [ "$branch" != - ] && [ "$commit" != - ]; then
        printf 'update refs/heads/%s\0%s\0\0' "$branch" "$commit"
    elif [ "$branch" != - ] && git rev-parse -q --verify "refs/heads/$branch" >/dev/null; then
        # The host's has no commit any more: it was made anew.
        printf 'delete refs/heads/%s\0\0' "$branch"
    fi
    printf 'update refs/banger/prepared\0%s\0\0update refs/banger/index\0%s\0\0' "$state" "$target"
    if [ "$commit" = - ]; then
        printf 'delete refs/banger/base\0\0'
    else
        printf 'update refs/banger/base\0%s\0\0' "$commit"
    fi
} | git update-ref -z --stdin
rm -rf .git/banger-*
if [ "$turn" = new ]; then
    # Nobody worked here yet: what was written in the second of the index need not be looked into the next time.
    touch -c .git/index .git/banger/settled
    if [ -n "$(ls -A "$path" 2>/dev/null)" ]; then
        # By force, and it is in no repository of ours: it stays as it is, beside.
        number=1
        while [ -e "$path.banger-replaced-$number" ]; do number=$((number + 1)); done
        mv "$path" "$path.banger-replaced-$number"
    else
        rm -rf "$path"
    fi
    mv "$tree" "$path"
    name_as_safe "$path"
fi
echo "$state"
# For the host to say: commits went that it may not have.
[ -z "${leaves:-}" ] || echo commits
