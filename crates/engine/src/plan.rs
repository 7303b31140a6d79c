//! A plan: steps in order, each with its undo.
//!
//! Failure and cancellation unwind what was done, in reverse, and go on past an undo that fails. The step that was
//! under way is undone too: an undo works whether its step ran fully, partly or not at all.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::faults::Faults;

/// One step over a context that carries results from step to step.
pub(crate) trait Step<C>: Send + Sync {
    /// Short word for logs and fault points.
    fn name(&self) -> &'static str;
    /// Does it.
    fn run<'a>(&'a self, context: &'a mut C) -> BoxFuture<'a, Result<(), EngineError>>;
    /// Takes it back.
    fn undo<'a>(&'a self, context: &'a mut C) -> BoxFuture<'a, Result<(), EngineError>>;
}

/// Runs `steps`, and unwinds them where one fails or `cancel` comes. `timed` is told how long each took.
pub(crate) async fn run<C: Send>(
    plan: &str,
    steps: &[Box<dyn Step<C>>],
    context: &mut C,
    cancel: &CancellationToken,
    faults: &dyn Faults,
    timed: &(dyn Fn(&str, Duration) + Sync),
) -> Result<(), EngineError> {
    for (index, step) in steps.iter().enumerate() {
        let point = format!("{plan}.{}", step.name());
        let since = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(EngineError::Cancelled),
            outcome = async {
                step.run(context).await?;
                faults.hit(&point).await.map_err(EngineError::Internal)
            } => outcome,
        };
        if let Err(error) = outcome {
            tracing::info!(step = %point, %error, "unwinding");
            for done in steps[..=index].iter().rev() {
                if let Err(error) = done.undo(context).await {
                    tracing::warn!(step = done.name(), %error, "an undo failed; going on");
                }
            }
            return Err(error);
        }
        timed(&point, since.elapsed());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::NoFaults;

    struct Note {
        name: &'static str,
        fails: bool,
        undo_fails: bool,
    }

    impl Step<Vec<String>> for Note {
        fn name(&self) -> &'static str {
            self.name
        }
        fn run<'a>(&'a self, log: &'a mut Vec<String>) -> BoxFuture<'a, Result<(), EngineError>> {
            log.push(format!("run {}", self.name));
            let outcome = if self.fails {
                Err(EngineError::Internal("no".into()))
            } else {
                Ok(())
            };
            Box::pin(std::future::ready(outcome))
        }
        fn undo<'a>(&'a self, log: &'a mut Vec<String>) -> BoxFuture<'a, Result<(), EngineError>> {
            log.push(format!("undo {}", self.name));
            let outcome = if self.undo_fails {
                Err(EngineError::Internal("no".into()))
            } else {
                Ok(())
            };
            Box::pin(std::future::ready(outcome))
        }
    }

    fn steps(failing: &'static str) -> Vec<Box<dyn Step<Vec<String>>>> {
        ["a", "b", "c"]
            .into_iter()
            .map(|name| {
                Box::new(Note {
                    name,
                    fails: name == failing,
                    undo_fails: name == "b",
                }) as Box<_>
            })
            .collect()
    }

    #[tokio::test]
    async fn a_failure_unwinds_in_reverse_and_goes_on_past_a_failing_undo() {
        let mut log = Vec::new();
        let outcome = run(
            "p",
            &steps("c"),
            &mut log,
            &CancellationToken::new(),
            &NoFaults,
            &|_, _| {},
        )
        .await;
        assert!(outcome.is_err());
        assert_eq!(log, ["run a", "run b", "run c", "undo c", "undo b", "undo a"]);
    }

    #[tokio::test]
    async fn a_plan_that_succeeds_undoes_nothing() {
        let mut log = Vec::new();
        let timed = std::sync::Mutex::new(Vec::new());
        let note = |step: &str, _| timed.lock().unwrap().push(step.to_owned());
        run(
            "p",
            &steps("none"),
            &mut log,
            &CancellationToken::new(),
            &NoFaults,
            &note,
        )
        .await
        .unwrap();
        assert_eq!(log, ["run a", "run b", "run c"]);
        assert_eq!(timed.into_inner().unwrap(), ["p.a", "p.b", "p.c"]);
    }

    #[tokio::test]
    async fn a_cancelled_plan_is_unwound() {
        let mut log = Vec::new();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let outcome = run("p", &steps("none"), &mut log, &cancel, &NoFaults, &|_, _| {}).await;
        assert!(matches!(outcome, Err(EngineError::Cancelled)));
        assert_eq!(log, ["undo a"]);
    }
}
