//! A TCP connection as ureq uses one: its own is made by its own connector alone.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, recv};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, ShutdownHandle, Transport};

#[derive(Debug)]
pub struct Tcp {
    /// Shared with the agent, which ends it by that.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// What the socket was last given for reads and for writes.
    timeouts: [Option<Duration>; 2],
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream, buffers: LazyBuffers) -> Self {
        Self {
            stream: Arc::new(stream),
            buffers,
            timeouts: [None; 2],
        }
    }

    pub(crate) fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        Arc::downgrade(&self.stream) as Weak<dyn ShutdownHandle>
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.timeouts[0] != timeout {
            self.stream.set_read_timeout(timeout)?;
            self.timeouts[0] = timeout;
        }
        Ok(())
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.timeouts[1] != timeout {
            self.stream.set_write_timeout(timeout)?;
            self.timeouts[1] = timeout;
        }
        Ok(())
    }
}

/// What a step may take; nothing where it may take any time.
fn allowed(timeout: NextTimeout) -> Result<Option<Duration>, Error> {
    match timeout.after.is_zero() {
        true => Err(Error::Timeout(timeout.reason)),
        false => Ok(timeout.not_zero().map(|left| *left)),
    }
}

/// A socket's timeout shows as one or as the other.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let timeout = timeout.for_write();
        self.set_write_timeout(allowed(timeout)?)?;
        let written = (&*self.stream).write_all(&self.buffers.output()[..amount]);
        written.map_err(|error| match is_timeout(&error) {
            true => Error::Timeout(timeout.reason),
            false => Error::Io(error),
        })
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let timeout = timeout.for_read();
        let allowed = allowed(timeout)?;
        let begun = Instant::now();
        loop {
            // What interruptions have taken is not given again.
            let left = allowed.map(|allowed| allowed.saturating_sub(begun.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Error::Timeout(timeout.reason));
            }
            self.set_read_timeout(left)?;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(Error::Timeout(timeout.reason)),
                Err(error) => return Err(Error::Io(error)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Nothing is due from a server that nothing was asked of: bytes are as bad as its end.
        let peeked = recv(&*self.stream, &mut [0_u8], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        peeked.is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }
}
