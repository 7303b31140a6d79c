//! The published catalog: asked once for all that want it at the same time, and known for a while.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use catalog::{Catalog, CatalogError, Fetcher};
use progress::Cancel;
use tokio::sync::watch;

use super::catalog_sources::failed;
use super::sources::SourceError;

/// For how long what is published counts as known.
const FRESH: Duration = Duration::from_secs(60);

/// Where bundles are published, and which.
#[derive(Debug)]
pub(super) struct Published {
    url: String,
    pub(super) fetcher: Fetcher,
    known: Mutex<Option<Known>>,
    flight: Mutex<Weak<Flight>>,
}

#[derive(Clone, Debug)]
struct Known {
    since: Instant,
    catalog: Arc<Catalog>,
}

type Outcome = Result<(), Arc<CatalogError>>;

/// An exchange under way, shared by its waiters. Dropped by the last of them, it is cancelled.
#[derive(Debug)]
struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    cancel: Cancel,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Published {
    pub(super) fn new(url: String, fetcher: Fetcher) -> Self {
        Self {
            url,
            fetcher,
            known: Mutex::default(),
            flight: Mutex::default(),
        }
    }

    /// What is known of it: the embedded catalog with what is published.
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        lock(&self.known).as_ref().map(|known| Arc::clone(&known.catalog))
    }

    /// Learns what is published, unless that is known. Needs no runtime; dropped, it leaves the exchange to the others
    /// that wait for it, and cancels it if there are none.
    pub(super) async fn refresh(self: &Arc<Self>) -> Result<(), SourceError> {
        let fresh = |known: &Known| known.since.elapsed() < FRESH;
        if lock(&self.known).as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let flight = self.join_flight().map_err(failed)?;
        let mut outcome = flight.outcome.clone();
        let ended = outcome.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|outcome| outcome.clone());
        match ended {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(SourceError::Failed {
                hint: error.hint(),
                source: Box::new(error),
            }),
            None => Err(failed(io::Error::other("reading the catalog broke off"))),
        }
    }

    /// The exchange under way, or a new one on a thread of its own, which its time limit or its [`Cancel`] ends.
    fn join_flight(self: &Arc<Self>) -> io::Result<Arc<Flight>> {
        let mut current = lock(&self.flight);
        if let Some(flight) = current.upgrade()
            && flight.outcome.borrow().is_none()
        {
            return Ok(flight);
        }
        let (sender, outcome) = watch::channel(None);
        let cancel = Cancel::new();
        let flight = Arc::new(Flight {
            outcome,
            cancel: cancel.clone(),
        });
        let published = Arc::clone(self);
        thread::Builder::new().name("catalog".to_owned()).spawn(move || {
            let outcome = published.exchange(&cancel).map_err(Arc::new);
            sender.send_replace(Some(outcome));
        })?;
        *current = Arc::downgrade(&flight);
        Ok(flight)
    }

    fn exchange(&self, cancel: &Cancel) -> Result<(), CatalogError> {
        let found = self.fetcher.catalog(&self.url, cancel)?;
        let catalog = Catalog::embedded().with_published(&self.url, found);
        *lock(&self.known) = Some(Known {
            since: Instant::now(),
            catalog: Arc::new(catalog),
        });
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, channel};

    use tokio::task::yield_now;

    use super::*;

    /// A server that hands over each request's connection.
    fn server() -> (Arc<Published>, Receiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/catalog.json", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                let _ = sender.send(stream);
            }
        });
        let fetcher = Fetcher::new(oci::tls(&[]).unwrap());
        (Arc::new(Published::new(url, fetcher)), asked)
    }

    fn answer(mut stream: &TcpStream) {
        let json = r#"{"schema_version": 1}"#;
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
        write!(stream, "{head} {}\r\n\r\n{json}", json.len()).unwrap();
    }

    /// A waiter that has joined the flight.
    async fn waiter(published: &Arc<Published>) -> tokio::task::JoinHandle<Result<(), SourceError>> {
        let published = Arc::clone(published);
        let waiter = tokio::spawn(async move { published.refresh().await });
        yield_now().await;
        waiter
    }

    #[tokio::test]
    async fn all_that_ask_at_the_same_time_share_one_exchange_which_outlives_a_waiter_that_leaves() {
        let (published, asked) = server();
        let first = waiter(&published).await;
        let connection = asked.recv().unwrap();
        let others = [waiter(&published).await, waiter(&published).await];
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        answer(&connection);
        for other in others {
            other.await.unwrap().unwrap();
        }
        assert!(published.catalog().is_some());
        // It is known now.
        published.refresh().await.unwrap();
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_last_waiter_that_leaves_ends_the_exchange_and_the_next_begins_another() {
        let (published, asked) = server();
        let waiters = [waiter(&published).await, waiter(&published).await];
        let mut connection = asked.recv().unwrap();
        for waiter in waiters {
            waiter.abort();
            assert!(waiter.await.unwrap_err().is_cancelled());
        }
        // The client has closed it; without that this waits until the time limit.
        assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)));
        let next = waiter(&published).await;
        answer(&asked.recv().unwrap());
        next.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn waiters_share_a_failure_and_the_next_asks_again() {
        let (published, asked) = server();
        let waiters = [waiter(&published).await, waiter(&published).await];
        drop(asked.recv().unwrap());
        for waiter in waiters {
            let error = waiter.await.unwrap().unwrap_err();
            assert!(error.to_string().contains("/catalog.json"), "{error}");
        }
        let next = waiter(&published).await;
        answer(&asked.recv().unwrap());
        next.await.unwrap().unwrap();
    }
}
