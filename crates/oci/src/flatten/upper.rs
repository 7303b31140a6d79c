//! What newer layers have claimed or hidden, for layers that are read newest first.

use tarball::Names;

/// An index into [`Upper::nodes`].
type Id = u32;
const ROOT: Id = 0;

/// Paths of the layers read so far. Everything on the way to a path of it is a directory.
#[derive(Debug)]
pub(super) struct Upper {
    names: Names,
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    state: State,
    /// What older layers have below it is hidden.
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Somebody's parent.
    #[default]
    Passed,
    Directory,
    /// Something else than a directory, or nothing: hidden by a whiteout.
    Closed,
}

impl Default for Upper {
    fn default() -> Self {
        Self {
            names: Names::default(),
            nodes: vec![Node::default()],
        }
    }
}

impl Upper {
    /// Whether an older layer's entry is seen at that path.
    pub(super) fn sees(&self, names: &[&[u8]]) -> bool {
        matches!(self.walk(names), Some(None | Some(State::Passed)))
    }

    /// A directory is there: what older layers have in it stays seen, itself not.
    pub(super) fn claim_directory(&mut self, names: &[&[u8]]) {
        let node = self.node(names);
        node.state = State::Directory;
    }

    /// Something is there, or nothing is to be: neither the path nor what older layers have below it is seen.
    pub(super) fn close(&mut self, names: &[&[u8]]) {
        if !self.reaches(names) {
            return;
        }
        let node = self.node(names);
        if node.state == State::Passed {
            node.state = State::Closed;
        }
        node.closed = true;
    }

    /// What older layers have below a path is not seen.
    pub(super) fn close_below(&mut self, names: &[&[u8]]) {
        if self.reaches(names) {
            self.node(names).closed = true;
        }
    }

    /// Bytes that it takes.
    pub(super) fn cost(&self) -> usize {
        self.names.cost() + self.nodes.len() * size_of::<Node>()
    }

    /// Whether nothing above a path is closed: below what is, nothing more needs to be.
    fn reaches(&self, names: &[&[u8]]) -> bool {
        self.walk(names).is_some()
    }

    /// The state of a path, if it has one; nothing where something above it is closed.
    fn walk(&self, names: &[&[u8]]) -> Option<Option<State>> {
        let mut at = ROOT;
        for name in names {
            let node = &self.nodes[at as usize];
            if node.closed || node.state == State::Closed {
                return None;
            }
            match self.names.get(at, name) {
                Some(id) => at = id,
                None => return Some(None),
            }
        }
        Some(Some(self.nodes[at as usize].state))
    }

    fn node(&mut self, names: &[&[u8]]) -> &mut Node {
        let mut at = ROOT;
        for name in names {
            at = match self.names.get(at, name) {
                Some(id) => id,
                None => {
                    let id = Id::try_from(self.nodes.len()).expect("limits keep entries well below");
                    self.nodes.push(Node::default());
                    self.names.set(at, name, id);
                    id
                }
            };
        }
        &mut self.nodes[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_closed_or_below_something_closed_is_not_seen() {
        let names = |path: &'static str| path.split('/').map(str::as_bytes).collect::<Vec<_>>();
        let mut upper = Upper::default();
        upper.claim_directory(&names("dir"));
        upper.close(&names("dir/file"));
        upper.claim_directory(&names("opaque"));
        upper.close_below(&names("opaque"));
        for (path, seen) in [
            ("dir", false),
            ("dir/file", false),
            ("dir/file/x", false),
            ("dir/other", true),
            ("dir/other/x", true),
            ("opaque", false),
            ("opaque/x", false),
            ("new", true),
        ] {
            assert_eq!(upper.sees(&names(path)), seen, "{path}");
        }
        assert!(upper.sees(&[]));
        upper.claim_directory(&[]);
        assert!(!upper.sees(&[]));
    }
}
