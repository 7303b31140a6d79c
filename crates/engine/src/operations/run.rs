//! Work that ends its operation whatever becomes of it, also by a panic.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{OperationHandle, Operations};
use crate::EngineError;

impl Operations {
    /// Begins an operation of no VM and has `work` done for it.
    ///
    /// # Errors
    /// What the store fails with.
    pub(crate) async fn run<W>(
        &self,
        kind: &'static str,
        work: impl FnOnce(OperationHandle) -> W + Send + 'static,
    ) -> Result<OperationHandle, EngineError>
    where
        W: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        let operation = self.begin(kind, None).await?;
        let (operations, handle) = (self.clone(), operation.clone());
        tokio::spawn(async move {
            let outcome = caught(async { work(handle.clone()).await }).await;
            operations.end(&handle, outcome.as_ref().map(|()| None)).await;
        });
        Ok(operation)
    }
}

/// The outcome of `work`; a panic in it is an error like others.
pub(crate) async fn caught<T>(work: impl Future<Output = Result<T, EngineError>>) -> Result<T, EngineError> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|panic| Err(EngineError::Panic(text(&*panic).to_owned())))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let of_static = panic.downcast_ref::<&str>().copied();
    let of_string = || panic.downcast_ref::<String>().map(String::as_str);
    of_static.or_else(of_string).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        let number = 7;
        for (work, expected) in [
            (caught(async { Ok(number) }).await, Ok(7)),
            (caught(async { panic!("plain") }).await, Err("a panic: plain")),
            (caught(async { panic!("{number}") }).await, Err("a panic: 7")),
        ] {
            let error = work.as_ref().err().map(ToString::to_string);
            assert_eq!(work.ok().ok_or(error.as_deref().unwrap_or("")), expected);
        }
    }
}
