//! Turns a tar archive into an EROFS image: `tar_to_erofs IN.tar|- OUT.erofs`. For timing against other tools.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: tar_to_erofs IN.tar|- OUT.erofs".into());
    };
    let tar: Box<dyn Read> = if from == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(from)?)
    };
    let mut out = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(to)?;
    let written = rootfs::erofs::write_tar(tar, &mut out, &rootfs::erofs::Options::default())?;
    println!(
        "{} {} bytes, {} entries",
        written.digest, written.bytes, written.entries
    );
    Ok(())
}
