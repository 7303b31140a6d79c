//! Links that lead out of the tree: by themselves, through others that come with them or are there, or from now on.

use std::rc::Rc;

use super::ground::Ground;
use super::{Add, Risk, RiskKind};
use crate::breaking;
use crate::error::{WorkspaceError, shown};
use crate::patch::{Change, FileMode};

/// Looks at a link that a change makes.
pub(super) fn look(change: &Change, ground: &Ground, add: Add<'_>) {
    if change.after != Some(FileMode::Link) {
        return;
    }
    let Some(target) = &change.target else {
        add(change, RiskKind::LinkOut, None);
        return;
    };
    if ground
        .follow(&change.path, &Rc::from(target.as_slice()), true)
        .out
    {
        add(change, RiskKind::LinkOut, Some(shown(target)));
    } else if goes_around(target) {
        add(change, RiskKind::LinkAround, Some(shown(target)));
    }
}

/// Whether a way goes up again after it went down. One that does not stays inside of the tree whatever becomes a link
/// later, if that stays inside too.
fn goes_around(target: &[u8]) -> bool {
    let mut names = target
        .split(|byte| *byte == b'/')
        .filter(|name| !matches!(*name, b"" | b"."))
        .skip_while(|name| *name == b"..");
    names.any(|name| name == b"..")
}

/// Links of the host's that lead out of the tree once the changes are there, and did not before.
pub(super) fn led_astray(changes: &[Change], ground: &Ground) -> Result<Vec<Risk>, WorkspaceError> {
    let is_link = |mode: Option<FileMode>| mode == Some(FileMode::Link);
    let any = changes
        .iter()
        .any(|change| is_link(change.before) || is_link(change.after));
    if !any {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (link, target) in &ground.links {
        breaking::check()?;
        let (then, now) = (
            ground.follow(link, target, true),
            ground.follow(link, target, false),
        );
        // What is not known of one of them is no reason to say nothing.
        if then.out && (!now.out || then.unknown || now.unknown) {
            found.push(Risk {
                kind: RiskKind::LinkOut,
                weight: super::Weight::Asked,
                path: shown(link),
                detail: Some(format!("your own, `{}`, by what comes with this", shown(target))),
            });
        }
    }
    Ok(found)
}
