//! Putting a repository into a VM.

use std::path::Path;

use api::client::Client;
use workspace::{Choice, Destination, Head, Mode, Repository, Selection, prepare as prepare_in};

use super::{Entered, apart, asking_apart, bootstrap};
use crate::cli::{ChoiceArgs, ModeArg, PrepareArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::Signals;
use crate::workspace::{Asked, Record, Records, Trust, Wishes, agreed, failed, open};

/// A repository and what of it goes: all that is known before any VM is asked.
#[derive(Clone)]
pub struct Plan {
    repository: Repository,
    selection: Selection,
    asked: Asked,
    /// Submodules, and theirs: each with its path below this one.
    below: Vec<(String, Plan)>,
}

/// Most submodules within each other.
const DEEPEST: usize = 16;

impl Plan {
    /// Looks at the repository that a path lies in. `user` is the guest's whom it is to belong to; `vm` is for hints.
    ///
    /// # Errors
    /// It cannot go.
    pub fn of(
        path: &Path,
        choice: &ChoiceArgs,
        mode: ModeArg,
        user: Option<&str>,
        vm: &str,
    ) -> Result<Self, Failure> {
        let asked = Asked {
            full: mode == ModeArg::Full,
            metadata: mode == ModeArg::Metadata,
            untracked: choice.include_untracked,
            branch: choice.branch.clone(),
            from: choice.from.clone(),
            alternates: choice.allow_alternates,
            user: user.map(str::to_owned),
        };
        Self::asked(path, asked, vm, DEEPEST)
    }

    fn asked(path: &Path, asked: Asked, vm: &str, deeper: usize) -> Result<Self, Failure> {
        let fail = |error| failed(vm, &error);
        let repository = open(path, vm, asked.alternates)?;
        let choice = Choice {
            mode: match (asked.full, asked.metadata) {
                (true, _) => Mode::Full,
                (false, true) => Mode::Metadata,
                (false, false) => Mode::Shallow,
            },
            untracked: asked.untracked,
            branch: asked.branch.clone(),
            from: asked.from.clone(),
        };
        let selection = Selection::of(&repository, &choice).map_err(fail)?;
        let mut below = Vec::new();
        for path in &selection.submodules {
            let shown = String::from_utf8_lossy(path);
            let name = String::from_utf8(path.clone()).ok().filter(|_| deeper > 0);
            let name =
                name.ok_or_else(|| Failure::new(format!("the submodule `{shown}` cannot go along")))?;
            let asked = Asked {
                branch: None,
                ..asked.clone()
            };
            let plan = Self::asked(&repository.top.join(&name), asked, vm, deeper - 1)?;
            let further = plan
                .below
                .iter()
                .map(|(path, plan)| (format!("{name}/{path}"), plan.clone()));
            let further: Vec<_> = further.collect();
            below.push((name, plan));
            below.extend(further);
        }
        Ok(Self {
            repository,
            selection,
            asked,
            below,
        })
    }

    /// What the repository asks for in its `.banger.toml`, as the user agrees to it.
    ///
    /// # Errors
    /// As [`agreed`].
    pub fn wishes(&self, trust: Trust) -> Result<Wishes, Failure> {
        agreed(&self.repository, self.asked.from.as_deref(), trust)
    }

    /// The file that asks mise for tools.
    pub fn tools(&self) -> Option<&'static str> {
        bootstrap::wanted_by(&self.selection.files)
    }

    /// Prints the files that would go.
    ///
    /// # Errors
    /// Nobody reads them.
    pub fn list(&self) -> Result<u8, Failure> {
        let mut text = String::new();
        let own = self.selection.files.iter().map(|file| (None, file));
        let theirs = self.below.iter().flat_map(|(path, plan)| {
            let files = plan.selection.files.iter();
            files.map(move |file| (Some(path), file))
        });
        for (below, file) in own.chain(theirs) {
            let below = below.map(|path| format!("{path}/")).unwrap_or_default();
            let path = format!("{below}{}", String::from_utf8_lossy(file));
            text.push_str(&render::one_line(&path));
            text.push('\n');
        }
        render::output(&text)?;
        self.say_what_stays();
        Ok(0)
    }

    /// Says what of the repository does not go as it is.
    pub fn say_what_stays(&self) {
        let count = |count: usize, one: &str, many: &str| match count {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        match self.selection.left_behind {
            0 => {}
            left => render::note(&format!(
                "  {} behind; --include-untracked takes them along",
                count(left, "untracked file stays", "untracked files stay")
            )),
        }
        match self.selection.refused {
            0 => {}
            refused => render::note(&format!(
                "  {} behind: git takes such a name for its own",
                count(refused, "untracked file stays", "untracked files stay")
            )),
        }
        let each = |paths: &[Vec<u8>], what: &str| {
            const SHOWN: usize = 5;
            for path in paths.iter().take(SHOWN) {
                let path = String::from_utf8_lossy(path);
                render::note(&format!(
                    "  {} {what}",
                    render::one_line(path.trim_end_matches('/'))
                ));
            }
            match paths.len().saturating_sub(SHOWN) {
                0 => {}
                more => render::note(&format!("  and {more} more of these")),
            }
        };
        each(
            &self.selection.inner,
            "is a repository of its own, which stays behind",
        );
        each(
            &self.selection.undeclared,
            "is a submodule that nothing declares; it goes as an empty folder",
        );
        match self.selection.pointers {
            0 => {}
            pointers => render::note(&format!(
                "  {} of Git LFS as pointers, without their content",
                count(pointers, "file goes", "files go")
            )),
        }
    }

    /// Puts it into a running VM, and its submodules after it, and notes that. Gives the user whom it belongs to there, if
    /// that is not root by itself.
    ///
    /// # Errors
    /// Something is in the way, or either side failed; the VM's workspace is as it was then.
    pub async fn carry_out(
        mut self,
        client: &Client,
        into: (&str, &str),
        guest_path: &str,
        force: bool,
        quiet: bool,
        signals: &mut Signals,
    ) -> Result<Option<String>, Failure> {
        let below = std::mem::take(&mut self.below);
        let user = self
            .alone(client, into, guest_path, force, quiet, signals)
            .await?;
        for (path, plan) in below {
            let path = format!("{guest_path}/{path}");
            plan.alone(client, into, &path, force, quiet, signals).await?;
        }
        Ok(user)
    }

    async fn alone(
        mut self,
        client: &Client,
        (id, name): (&str, &str),
        guest_path: &str,
        force: bool,
        quiet: bool,
        signals: &mut Signals,
    ) -> Result<Option<String>, Failure> {
        let mut records = Records::lock(id)?;
        let before = records
            .at(guest_path)
            .filter(|record| record.repository == self.repository.top);
        // What is new is root's by itself; what was another's is made root's where that is asked for.
        let to_root = self.asked.user.is_some() && before.is_some();
        if self.asked.user.is_none() {
            self.asked.user = match before.and_then(|before| before.asked.user.clone()) {
                Some(user) => Some(user),
                None => image_user(client, id).await,
            };
        }
        let before = before.map(Record::prepared);
        let entered = Entered {
            client: client.clone(),
            id: id.to_owned(),
            name: name.to_owned(),
            guest_path: guest_path.to_owned(),
        };
        let user = self.asked.user.clone().filter(|user| to_root || !is_root(user));
        let (plan, path, owner) = (self.clone(), guest_path.to_owned(), user.clone());
        let prepared = entered
            .work(signals, quiet, move |guest| {
                let destination = Destination {
                    path: &path,
                    before: before.as_ref(),
                    force,
                    user: owner.as_deref(),
                };
                prepare_in(&plan.repository, &plan.selection, guest, destination)
            })
            .await?;
        if prepared.replaced && !quiet {
            render::note("  the guest's own commits are kept there as refs/banger/replaced");
        }
        let branch = match &self.selection.head {
            Head::Branch(branch) => Some(branch.clone()),
            Head::Detached => None,
        };
        records.put(Record::of(
            guest_path,
            &self.repository.top,
            branch,
            self.asked,
            &prepared,
        ))?;
        Ok(user)
    }

    /// What went, on one line.
    fn said(&self, name: &str, guest_path: &str) -> String {
        let commit = self
            .selection
            .commit
            .as_deref()
            .map_or("no commit yet", |commit| &commit[..12]);
        let at = match &self.selection.head {
            Head::Branch(branch) => format!("{} at {commit}", render::one_line(branch)),
            Head::Detached => commit.to_owned(),
        };
        let edited = self.selection.edited.len() + self.selection.deleted.len();
        let edited = match edited {
            0 => String::new(),
            1 => ", 1 file changed since".to_owned(),
            edited => format!(", {edited} files changed since"),
        };
        format!("  {name}:{guest_path} is {at}{edited}")
    }
}

/// `vm workspace prepare`.
///
/// # Errors
/// As [`Plan::of`] and [`Plan::carry_out`].
pub async fn prepare(place: &Place, args: &PrepareArgs) -> Result<u8, Failure> {
    let mut signals = Signals::ending()?;
    let (path, choice, mode) = (args.path.clone(), args.choice.clone(), args.mode);
    let (vm, user) = (args.vm.reference.clone(), args.user.clone());
    let plan = apart(&mut signals, move || {
        Plan::of(&path, &choice, mode, user.as_deref(), &vm)
    })
    .await?;
    if args.choice.dry_run {
        // Whoever reads it may be slow.
        return asking_apart(&mut signals, move || plan.list()).await;
    }
    let entered = Entered::of(place, &args.vm.reference, &args.guest.guest_path).await?;
    let (path, said) = (
        &args.guest.guest_path,
        plan.said(&entered.name, &args.guest.guest_path),
    );
    if !args.quiet {
        plan.say_what_stays();
    }
    let vm = (entered.id.as_str(), entered.name.as_str());
    let user = plan
        .carry_out(&entered.client, vm, path, args.force, args.quiet, &mut signals)
        .await?;
    if !args.quiet {
        render::note(&said);
        if let Some(user) = user {
            let user = render::one_line(&user);
            render::note(&format!(
                "  it belongs to {user} there; --user NAME gives it to another"
            ));
        }
    }
    Ok(0)
}

/// Before a command in a VM: brings its workspaces up to date, if that is wanted, or says which of them are not.
///
/// # Errors
/// A workspace cannot be prepared.
pub async fn before_command(
    client: &Client,
    reference: &str,
    prepare: bool,
    signals: &mut Signals,
) -> Result<(), Failure> {
    if !Records::exist() {
        return if prepare {
            Err(nothing_known(reference))
        } else {
            Ok(())
        };
    }
    let vm = client.vm(reference).await?;
    let records = Records::of(&vm.id);
    if prepare && records.all().is_empty() {
        return Err(nothing_known(&vm.name));
    }
    for record in records.all() {
        if prepare {
            let (top, asked, name) = (record.repository.clone(), record.asked.clone(), vm.name.clone());
            let plan = apart(signals, move || Plan::asked(&top, asked, &name, DEEPEST)).await?;
            let into = (vm.id.as_str(), vm.name.as_str());
            plan.carry_out(client, into, &record.guest_path, false, true, signals)
                .await?;
            continue;
        }
        // What was asked for by name does not move.
        let top = record.repository.clone();
        let head = apart(signals, move || Ok(Repository::head_of(&top).ok().flatten())).await?;
        if let Some(head) =
            head.filter(|head| record.asked.from.is_none() && record.commit.as_ref() != Some(head))
        {
            let line = format!(
                "{}:{} is behind: {} is at {} by now",
                vm.name,
                record.guest_path,
                record.repository.display(),
                &head[..12]
            );
            render::warning(&line);
            render::hint(&format!(
                "`banger vm workspace prepare {}`, or --auto-prepare here",
                vm.name
            ));
        }
    }
    Ok(())
}

/// The user that the image of a VM has commands run by; none where that is root, or not known any more.
async fn image_user(client: &Client, id: &str) -> Option<String> {
    let vm = client.vm(id).await.ok()?;
    let config = client.image(&vm.image).await.ok()?.config?;
    Some(config.user).filter(|user| !user.is_empty() && !is_root(user))
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("root" | "0"))
}

fn nothing_known(vm: &str) -> Failure {
    Failure::new(format!("`{vm}` has no workspace to prepare")).with_hint(format!(
        "`banger vm workspace prepare {vm} PATH` puts a repository there"
    ))
}
