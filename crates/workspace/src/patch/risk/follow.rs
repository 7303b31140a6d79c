//! Where a link leads: through all links on its way, each of its meanings, in a bounded number of steps.

use std::rc::Rc;

use super::ground::{Entry, Ground, key, names, split};

/// Steps that following all links may take together, and following one.
pub(super) const STEPS: u64 = 2_000_000;
const STEPS_OF_ONE: u64 = 1024;
/// Most links on a way: where Linux gives up.
const HOPS: u32 = 40;

/// Where a link leads.
#[derive(Debug, Default)]
pub(super) struct Leads {
    /// Out of the tree or into `.git`, or nobody knows where.
    pub(super) out: bool,
    /// Following it took too long: `out`, and what it leads to besides is not known.
    pub(super) unknown: bool,
    /// What it leads to inside.
    pub(super) to: Vec<Vec<u8>>,
}

/// One way on.
#[derive(Clone)]
struct Way {
    at: Vec<Vec<u8>>,
    /// How many of the last names of `at` are in no folder: below the first of them there is nothing to look at.
    missing: usize,
    /// What is left of the targets that are followed, the next one last. They are taken apart as far as it goes only.
    ahead: Vec<(Rc<[u8]>, usize)>,
    hops: u32,
}

impl Way {
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let (target, begin) = self.ahead.last_mut()?;
            let rest = &target[*begin..];
            let Some(skipped) = rest.iter().position(|byte| *byte != b'/') else {
                self.ahead.pop();
                continue;
            };
            let rest = &rest[skipped..];
            let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let name = rest[..length].to_vec();
            *begin += skipped + length;
            return Some(name);
        }
    }

    /// Whether there was a folder to leave.
    fn go_up(&mut self) -> bool {
        self.missing = self.missing.saturating_sub(1);
        self.at.pop().is_some()
    }
}

impl Ground {
    /// Follows a link to where it leads, through all links on its way, each of its meanings.
    pub(super) fn follow(&self, link: &[u8], target: &Rc<[u8]>, with_brought: bool) -> Leads {
        let mut leads = Leads::default();
        if target.is_empty() || target.starts_with(b"/") {
            leads.out = true;
            return leads;
        }
        let mut left = STEPS_OF_ONE.min(self.steps.get());
        let before = left;
        let (folder, _) = split(link);
        let mut ways = vec![Way {
            at: names(folder).map(<[u8]>::to_vec).collect(),
            missing: 0,
            ahead: vec![(Rc::clone(target), 0)],
            hops: 0,
        }];
        while let Some(mut way) = ways.pop() {
            loop {
                let Some(next) = left.checked_sub(1) else {
                    leads.out = true;
                    leads.unknown = true;
                    ways.clear();
                    break;
                };
                left = next;
                let Some(name) = way.next() else {
                    leads.to.push(way.at.join(&b'/'));
                    break;
                };
                match name.as_slice() {
                    b"." => continue,
                    b".." if way.go_up() => continue,
                    b".." => {
                        leads.out = true;
                        break;
                    }
                    name if crate::patch::name::is_git(name) => {
                        leads.out = true;
                        break;
                    }
                    _ => {}
                }
                if way.missing > 0 {
                    way.missing += 1;
                    way.at.push(name);
                    continue;
                }
                let (mut others, mut is_link, mut is_else, mut is_folder) = (Vec::new(), false, false, false);
                let at = way.at.join(&b'/');
                self.look(&at, &key(&name), with_brought, &mut |known, entry| match entry {
                    Entry::Link(target) => {
                        is_link = true;
                        others.push(target.clone());
                    }
                    Entry::File => is_else = true,
                    Entry::Folder => {
                        is_else = true;
                        is_folder |= known == name;
                    }
                });
                for target in others {
                    match target {
                        Some(target)
                            if way.hops < HOPS && !target.is_empty() && !target.starts_with(b"/") =>
                        {
                            let mut other = way.clone();
                            other.ahead.push((target, 0));
                            other.hops += 1;
                            ways.push(other);
                        }
                        _ => leads.out = true,
                    }
                }
                if is_link && !is_else {
                    break;
                }
                way.missing = usize::from(!is_folder);
                way.at.push(name);
            }
        }
        self.steps.set(self.steps.get() - (before - left));
        leads
    }
}
