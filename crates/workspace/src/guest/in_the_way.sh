# Says what lies in the way of paths, where git does not look: files that are ignored, and repositories inside. The paths
# come on stdin, each with a NUL. What git can keep goes to descriptor 3, what it cannot to 4: repositories, folders that
# hold any, pipes. Nothing is followed: a link is in the way itself, and what is behind it is not touched.
in_the_way() {
    # shellcheck disable=SC2016 # the inner shell's
    xargs -0 sh -c '
        for path; do
            above= rest=$path/
            while [ "$rest" ]; do
                above=$above${rest%%/*} rest=${rest#*/}
                if [ -L "$above" ] || [ -f "$above" ]; then
                    printf "%s\0" "$above" >&3
                    continue 2
                elif ! [ -d "$above" ]; then
                    [ ! -e "$above" ] || printf "%s\0" "$above" >&4
                    continue 2
                elif [ -e "$above/.git" ] || [ -L "$above/.git" ]; then
                    printf "%s\0" "$above" >&4
                    continue 2
                fi
                [ -z "$rest" ] || above=$above/
            done
            # A folder that the path itself leads to.
            if [ "$(find "./$path" -name .git -prune -o ! -type d ! -type f ! -type l | head -c 1)" ]; then
                printf "%s\0" "$path" >&4
            else
                printf "%s\0" "$path" >&3
            fi
        done' sh
}
