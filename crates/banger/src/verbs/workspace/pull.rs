//! A VM's commits onto a branch of the host's.

use workspace::pull as pull_from;

use super::changes::unknown;
use super::risks::Risks;
use super::{Entered, apart};
use crate::cli::PullWorkspaceArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;
use crate::workspace::{Records, command, failed_at, open};

/// What became of the commits.
enum Outcome {
    /// There are none.
    None,
    /// Something should be looked at first.
    Held,
    /// That many are on the branch, the last one this.
    Kept(u64, String),
}

/// `vm workspace pull`.
///
/// # Errors
/// There is no workspace, its commits are refused or risky, or the branch is taken; the repository is as it was then.
pub async fn pull(place: &Place, args: &PullWorkspaceArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let entered = Entered::of(place, &args.vm.reference, &args.guest.guest_path).await?;
    let path = args.guest.guest_path.clone();
    let records = Records::of(&entered.id);
    let Some(record) = records.at(&path) else {
        let hint = "commits come back to the repository that a workspace was prepared from";
        return Err(unknown(&entered, &path).with_hint(hint));
    };
    let (top, vm, borrowing) = (
        record.repository.clone(),
        entered.name.clone(),
        record.asked.alternates,
    );
    let branch = args
        .branch
        .clone()
        .unwrap_or_else(|| format!("banger/{}", entered.name));
    let (name, at) = (branch.clone(), path.clone());
    let repository = apart(&mut signals, move || {
        let repository = open(&top, &vm, borrowing)?;
        let fail = |error| failed_at(&vm, &at, &error);
        repository.check_branch(&name).map_err(fail)?;
        Ok(repository)
    })
    .await?;
    let (base, name, allow_risky) = (record.commit.clone(), branch.clone(), args.allow_risky);
    let (outcome, risks): (Outcome, Risks) = entered
        .work(&mut signals, args.quiet, move |guest| {
            let Some(pulled) = pull_from(&repository, guest, &path, base.as_deref())? else {
                return Ok((Outcome::None, Risks(Vec::new())));
            };
            let risks = Risks(pulled.risks.clone());
            if risks.ask() && !allow_risky {
                return Ok((Outcome::Held, risks));
            }
            let kept = Outcome::Kept(pulled.commits, pulled.tip.clone());
            pulled.keep_as(&name)?;
            Ok((kept, risks))
        })
        .await?;
    risks.show(args.quiet, false);
    match outcome {
        Outcome::Held => Err(
            Failure::new("the commits hold what should be looked at first").with_hint(format!(
                "`{}` shows it; --allow-risky takes them",
                command("diff", &entered.name, &entered.guest_path)
            )),
        ),
        Outcome::None if !args.quiet => {
            render::note("banger: nothing was committed there");
            Ok(0)
        }
        Outcome::Kept(commits, tip) if !args.quiet => {
            let commits = if commits == 1 {
                "1 commit".to_owned()
            } else {
                format!("{commits} commits")
            };
            render::note(&format!(
                "  branch {} is {}: {commits}",
                render::one_line(&branch),
                &tip[..12]
            ));
            Ok(0)
        }
        Outcome::None | Outcome::Kept(..) => Ok(0),
    }
}
