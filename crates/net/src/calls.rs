//! The system calls that a program of a network makes once it works; any other ends it.
//!
//! Neither opens files, becomes another program or starts a process. The filter opens nothing at all, and what it is
//! handed is all that it has. The relay opens sockets for datagrams, echoes and questions and connects them; it binds none, nor sends
//! anywhere but where it is connected, so that no port of the host's is open to anybody else whatever becomes of it.

use std::io;

use nix::libc;
use process::{Call, SystemCalls};

/// What any program of Rust's does while it computes, and at its end; memory that is executed is not among it.
fn any() -> Vec<Call> {
    let mut calls: Vec<Call> = [
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_recvfrom,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // A thread's last words, and an abort's.
        libc::SYS_rt_sigaction,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
    ]
    .map(Call::from)
    .into();
    let executable = libc::PROT_EXEC.cast_unsigned();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        calls.push(Call::from(call).masked(2, executable, 0));
    }
    // To no address but that which a socket is connected to.
    calls.push(Call::from(libc::SYS_sendto).with(5, 0));
    // By the standard library, before a descriptor is closed.
    calls.push(Call::from(libc::SYS_fcntl).with(1, libc::F_GETFD.cast_unsigned()));
    calls
}

/// The frame filter's.
pub(crate) fn filter() -> io::Result<SystemCalls> {
    let mut calls = any();
    calls.extend(
        [
            libc::SYS_recvmsg,
            libc::SYS_ppoll,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_poll,
            libc::SYS_shutdown,
        ]
        .map(Call::from),
    );
    // Another descriptor of the card that it was handed.
    calls.push(Call::from(libc::SYS_fcntl).with(1, libc::F_DUPFD_CLOEXEC.cast_unsigned()));
    compile(calls)
}

/// The relay's.
pub(crate) fn relay() -> io::Result<SystemCalls> {
    let mut calls = any();
    calls.extend(
        [
            libc::SYS_connect,
            // The list of resolvers, which it has open.
            libc::SYS_pread64,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            #[cfg(target_arch = "x86_64")]
            libc::SYS_epoll_wait,
        ]
        .map(Call::from),
    );
    for (family, kind, protocol) in [
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_ICMPV6),
        // To resolvers.
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
        (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    ] {
        let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let socket = Call::from(libc::SYS_socket)
            .with(0, family.cast_unsigned())
            .with(1, kind.cast_unsigned())
            .with(2, protocol.cast_unsigned());
        calls.push(socket);
    }
    compile(calls)
}

fn compile(calls: Vec<Call>) -> io::Result<SystemCalls> {
    SystemCalls::allow(calls).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
    use std::os::unix::net::UnixDatagram;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use rustix::net::{
        AddressFamily, SendFlags, SocketFlags, SocketType, accept, bind, connect, ipproto, listen, send,
        sendto, socket_with,
    };

    use super::*;

    const ATTEMPT: &str = "NET_TEST_ATTEMPT";
    const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);

    fn datagrams() -> rustix::io::Result<rustix::fd::OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::UDP))
    }

    /// What a program tries, after its name.
    fn attempt(name: &str) {
        match name {
            "flow" => {
                let socket = datagrams().unwrap();
                connect(&socket, &LOCAL).unwrap();
                let _ = send(&socket, b"x", SendFlags::NOSIGNAL);
            }
            "question" => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                for (family, kind, protocol) in [
                    (AddressFamily::INET, SocketType::STREAM, ipproto::TCP),
                    (AddressFamily::INET6, SocketType::STREAM, ipproto::TCP),
                    (AddressFamily::INET6, SocketType::DGRAM, ipproto::UDP),
                    (AddressFamily::INET6, SocketType::DGRAM, ipproto::ICMPV6),
                ] {
                    drop(socket_with(family, kind, flags, Some(protocol)));
                }
            }
            "listen" => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP));
                let _ = listen(socket.unwrap(), 1);
            }
            "accept" => drop(accept(datagrams().unwrap())),
            "open" => drop(File::open("/dev/null")),
            "start" => drop(Command::new("/bin/true").status()),
            "thread" => drop(
                std::thread::Builder::new()
                    .spawn(|| {})
                    .map(|thread| thread.join()),
            ),
            "bind" => drop(bind(datagrams().unwrap(), &LOCAL)),
            "send elsewhere" => drop(sendto(datagrams().unwrap(), b"x", SendFlags::empty(), &LOCAL)),
            "connection" => drop(TcpStream::connect(LOCAL)),
            "unix" => drop(UnixDatagram::unbound()),
            "raw" => drop(socket_with(
                AddressFamily::INET,
                SocketType::RAW,
                SocketFlags::empty(),
                Some(ipproto::ICMP),
            )),
            "socket" => drop(UdpSocket::bind(LOCAL)),
            other => panic!("{other}"),
        }
    }

    #[test]
    #[ignore = "run by the other, in a process of its own"]
    fn one_attempt() {
        let told = std::env::var(ATTEMPT).unwrap();
        let (program, name) = told.split_once(' ').unwrap();
        let calls = if program == "relay" { relay() } else { filter() };
        calls.unwrap().enforce().unwrap();
        attempt(name);
        std::process::exit(0);
    }

    #[test]
    fn a_program_that_does_what_it_should_not_is_ended() {
        let try_out = |program: &str, name: &str| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "calls::tests::one_attempt", "--ignored", "--nocapture"]);
            command.env(ATTEMPT, format!("{program} {name}"));
            command.output().unwrap().status
        };
        for name in ["flow", "question"] {
            assert_eq!(try_out("relay", name).code(), Some(0), "{name}");
        }
        let bad = [
            "open",
            "start",
            "thread",
            "bind",
            "listen",
            "accept",
            "send elsewhere",
            "connection",
            "unix",
            "raw",
            "socket",
        ];
        for (program, name) in bad
            .iter()
            .flat_map(|name| [("relay", name), ("filter", name)])
            .chain([("filter", &"flow"), ("filter", &"question")])
        {
            let ended = try_out(program, name);
            assert_eq!(ended.signal(), Some(libc::SIGSYS), "{program}: {name}: {ended}");
        }
    }
}
