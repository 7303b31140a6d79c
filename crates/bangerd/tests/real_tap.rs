//! A real guest whose VMM attaches a tap, as Firecracker does: QEMU, so that it runs where there is no KVM. Everything
//! else is as it always is: a daemon in a process of its own, and `banger`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bangerd::{Daemon, Surroundings};
use config::{Config, Environment, IpNetwork, Paths};
use engine::faults::NoFaults;
use engine::{CatalogSources, Choice, Defaults, EngineError, Machines, Networks, Subnet, Timeouts};
use futures::future::BoxFuture;
use nix::ifaddrs::getifaddrs;
use sha2::{Digest, Sha256};
use smoke::Home;
use vmm::qemu::Acceleration;
use vmm::{Machine, Qemu};

/// More than any buffer on the way.
const SENT: usize = 24 << 20;

/// QEMU with a tap.
#[derive(Debug)]
struct TapMachines;

impl Machines for TapMachines {
    fn choose(&self) -> Result<Choice, EngineError> {
        let qemu = Qemu::new("/usr/bin/qemu-system-x86_64", Acceleration::Tcg);
        let backend = qemu.with_tap().with_log_keeper(env!("CARGO_BIN_EXE_bangerd"));
        Ok(Choice {
            backend: Arc::new(backend),
            reason: String::new(),
        })
    }

    fn find<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, Result<Option<Arc<dyn Machine>>, EngineError>> {
        Box::pin(async move { Ok(vmm::find(folder).await?) })
    }
}

#[tokio::test]
#[ignore = "run by the others, as their daemon"]
async fn daemon() {
    let environment = Environment::of_process();
    let paths = Paths::personal(&environment).unwrap();
    paths.prepare().unwrap();
    let config = Config::load(&paths.config_file(), &environment).unwrap();
    let allowed = config.network.allow.iter();
    let surroundings = Surroundings {
        agent: smoke::binaries().join("banger-vsock-agent"),
        sources: Arc::new(CatalogSources::new(config.recipe.clone(), paths.recipes())),
        machines: Arc::new(TapMachines),
        faults: Arc::new(NoFaults),
        timeouts: Timeouts::default(),
        networks: Networks {
            passt: None,
            program: Some(env!("CARGO_BIN_EXE_bangerd").into()),
            open: allowed
                .map(|network| Subnet::of(network.first(), network.prefix()).unwrap())
                .collect(),
            ipv6: config.network.ipv6,
            insecure_builtin: false,
        },
        configured: None,
        ca_certificates: None,
        registry_mirrors: config::RegistryMirrors::default(),
        free_space_reserve: Some(0),
        defaults: Defaults {
            image: config.default_image_name.clone(),
            vcpu: 1,
            memory_mib: 512,
            disk_size: 2 << 30,
            network: api::NetworkMode::User,
        },
        idle_timeout: Duration::from_secs(600),
        uid: environment.uid(),
        paths,
    };
    Daemon::run(surroundings, true).await.unwrap();
}

/// Starts the daemon of a home; it ends when the home does.
fn start_daemon(home: &Home) -> Child {
    let mut command = home.surrounded(std::env::current_exe().unwrap());
    let mut child = command
        .args(["--exact", "daemon", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.map(Result::unwrap).find(|line| line.contains("ready "));
    ready.expect("the daemon ended at its start");
    child
}

/// An address of this host that is not the loopback's.
fn own_address() -> Ipv4Addr {
    getifaddrs()
        .unwrap()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip()))
        .find(|address| !address.is_loopback() && !address.is_link_local())
        .expect("needs an address besides the loopback's")
}

fn noise() -> Vec<u8> {
    // A row of numbers that no checksum takes for another (Knuth, MMIX).
    let step = |number: &u64| Some(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let numbers = std::iter::successors(Some(1_u64), step);
    numbers.take(SENT / 8).flat_map(u64::to_le_bytes).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Network namespaces that are not this process's own, and cards of the host.
fn host() -> (Vec<String>, PathBuf) {
    let mut cards: Vec<_> = fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    cards.sort();
    (cards, fs::read_link("/proc/self/ns/net").unwrap())
}

#[test]
fn a_guest_on_a_tap_sends_and_receives_what_it_should_and_reaches_nothing_of_the_host() {
    let address = own_address();
    let home = Home::new();
    home.configure(&format!("[network]\nallow = [\"{address}/32\"]"));
    IpNetwork::parse(&format!("{address}/32")).expect("an address that can be opened");
    let before = host();
    let mut daemon = start_daemon(&home);
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    assert_eq!(host(), before, "none of it is the host's");

    // Both ways, whole: it comes in, is summed there, and goes out again.
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = noise();
    let returned = std::thread::scope(|scope| {
        let sent = &sent;
        let serving = scope.spawn(move || -> io::Result<Vec<u8>> {
            let (stream, _) = listener.accept()?;
            (&stream).write_all(sent)?;
            // The half that is done stays open: passt of 2023 gives a connection up that is half closed and whose guest
            // takes its time.
            let mut returned = Vec::new();
            (&stream).read_to_end(&mut returned)?;
            Ok(returned)
        });
        let script = format!(
            "set -e; exec 3<>/dev/tcp/{address}/{port}; head -c {SENT} <&3 >/root/noise; cat /root/noise >&3; \
             exec 3>&-; sha256sum /root/noise"
        );
        let told = home.succeeds(&["vm", "exec", "a", "--", "timeout", "120", "bash", "-c", &script]);
        assert_eq!(told.split(' ').next().unwrap(), hash(sent));
        serving.join().unwrap().unwrap()
    });
    assert!(returned == sent, "{} bytes came back", returned.len());

    let local = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = local.local_addr().unwrap().port();
    local.set_nonblocking(true).unwrap();
    for to in [
        "10.0.2.2",
        "0.0.0.1",
        "169.254.169.254",
        "192.168.255.254",
        "10.255.255.254",
    ] {
        let script = format!("</dev/tcp/{to}/{port}");
        let told = home.run(&["vm", "exec", "a", "--", "timeout", "20", "bash", "-c", &script]);
        assert_eq!(told.code, Some(1), "{to}: {}", told.err);
    }
    assert_eq!(local.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);

    // A VM that was stopped has its network again.
    home.succeeds(&["vm", "restart", "a"]);
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!("</dev/tcp/{address}/{port}");
    home.succeeds(&["vm", "exec", "a", "--", "timeout", "20", "bash", "-c", &script]);
    home.succeeds(&["vm", "delete", "a"]);
    assert_eq!(host(), before);
    home.succeeds(&["daemon", "stop"]);
    assert!(daemon.wait().unwrap().success());
    let left = Command::new("pgrep")
        .args(["-f", home.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&left.stdout),
        "",
        "processes of the VM are left"
    );
}
