# Brings a workspace up to date where, since the last time, nothing but files of the host's working tree changed, and
# nothing here: what finish.sh does, without reading and writing all of the index over and over. Where it is not so,
# nothing is changed, and the answer is 96.
# Arguments: the folder, the parcel's name, the branch or `-`, the tree that the last time came to.
path=$1 parcel=.git/$2 branch=$3 state=$4
cd "$path" 2>/dev/null && [ -d "$parcel" ] || exit 92
top=$PWD
lists=$top/$parcel/lists
settled=$top/.git/banger/settled

# Split, so that what is written is what changed: the index of many files takes longer than all the rest.
settled_git() {
    GIT_INDEX_FILE=$settled whole -c core.splitIndex=true "$@"
}

# shellcheck disable=SC2046 # words
set -- $(git rev-parse refs/banger/prepared HEAD refs/banger/base refs/banger/index --symbolic-full-name HEAD 2>/dev/null)
[ $# = 5 ] && [ "$1" = "$state" ] && [ "$2" = "$3" ] && [ -f "$settled" ] || exit 96
if [ "$branch" = - ]; then head=HEAD; else head=refs/heads/$branch; fi
[ "$5" = "$head" ] || exit 96
[ "$(git write-tree 2>/dev/null)" = "$4" ] || exit 96
# The look at all files: it writes nothing where nothing changed.
settled_git add -A 2>/dev/null || exit 96
[ "$(settled_git write-tree)" = "$state" ] || exit 96
# It does not see all that is here: in the way of a file that was not here the last time may be one that is ignored, a
# repository, or a link that leads elsewhere. What goes for it must be what was seen.
if [ -s "$lists/appearing" ]; then
    in_the_way 3>"$parcel/ignored" 4>"$parcel/inside" <"$lists/appearing"
    [ ! -s "$parcel/inside" ] || exit 96
    # shellcheck disable=SC2016 # the inner shell's
    [ ! -s "$parcel/ignored" ] || xargs -0 sh -c '
        for path; do
            shift
            set -- "$@" "./$path"
        done
        find "$@" ! -type d -exec printf "%s\0" {} +' sh <"$parcel/ignored" |
        GIT_INDEX_FILE=$settled xargs -0 git -c safe.directory='*' ls-files --error-unmatch -- >/dev/null 2>&1 || exit 96
fi

# What is to come back git would leave alone.
[ ! -s "$lists/back" ] || ! has_flags "$top/.git/index" || exit 96

# From here on it is brought to its end, whether or not anybody waits for it.
trap '' HUP INT TERM
xargs -0 rm -f -- <"$lists/gone"
xargs -0 rm -rf -- <"$lists/sent"
[ ! -s "$lists/back" ] || git checkout-index -q -f -z --stdin <"$lists/back"
if [ -d "$parcel/files" ]; then
    cp -al "$parcel/files/." . 2>/dev/null || cp -a "$parcel/files/." .
    # A link less changes their times, and the next look would read them.
    rm -rf "$parcel/files"
fi
[ ! -s "$lists/gone" ] || settled_git update-index --force-remove -z --stdin <"$lists/gone"
cat "$lists/sent" "$lists/back" | settled_git update-index --add --replace -z --stdin
state=$(settled_git write-tree)
git update-ref refs/banger/prepared "$state"
rm -rf .git/banger-*
echo "$state"
