//! What of a guest's changes to look at first, on the user's screen.

use workspace::patch::{Risk, RiskKind, Weight};

use crate::render;

/// Most lines of a kind: a guest cannot push the others off the screen.
const SHOWN: usize = 20;

/// Everything that was found.
pub(super) struct Risks(pub(super) Vec<Risk>);

impl Risks {
    /// Whether any needs the user's word.
    pub(super) fn ask(&self) -> bool {
        self.0.iter().any(|risk| risk.weight == Weight::Asked)
    }

    /// Says what there is, what needs a word as a warning; a quiet command says nothing else. All of it where that is
    /// asked for.
    pub(super) fn show(&self, quiet: bool, all: bool) {
        for weight in [Weight::Shown, Weight::Asked] {
            if quiet && weight == Weight::Shown {
                continue;
            }
            let of_weight = || self.0.iter().filter(|risk| risk.weight == weight);
            let mut kinds: Vec<RiskKind> = Vec::new();
            for risk in of_weight() {
                if !kinds.contains(&risk.kind) {
                    kinds.push(risk.kind);
                }
            }
            for kind in kinds {
                let of_kind = || of_weight().filter(|risk| risk.kind == kind);
                let most = if all { usize::MAX } else { SHOWN };
                for risk in of_kind().take(most) {
                    say(weight, &line(risk));
                }
                let more = of_kind().skip(most).count();
                if more > 0 {
                    say(weight, &format!("and {more} more of these: {}", kind.words()));
                }
            }
        }
    }
}

fn say(weight: Weight, text: &str) {
    match weight {
        Weight::Asked => render::warning(text),
        Weight::Shown => render::note(&format!("  look at {}", render::one_line(text))),
    }
}

fn line(risk: &Risk) -> String {
    let detail = risk.detail.as_deref().map(|detail| format!(" ({detail})"));
    let detail = detail.unwrap_or_default();
    format!("`{}`: {}{detail}", risk.path, risk.kind.words())
}
