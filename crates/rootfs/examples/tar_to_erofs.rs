//! Turns a tar archive into an EROFS image: `tar_to_erofs IN.tar|- OUT.erofs [lz4]`. For timing against other tools.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};

use rootfs::erofs::{Compression, Options, write_tar};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: tar_to_erofs IN.tar|- OUT.erofs [lz4]";
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err(usage.into());
    };
    let compression = match (arguments.next(), arguments.next()) {
        (None, None) => Compression::None,
        (Some(word), None) if word == "lz4" => Compression::Lz4,
        _ => return Err(usage.into()),
    };
    let options = Options {
        compression,
        ..Options::default()
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
    let written = write_tar(tar, &mut out, &options)?;
    println!(
        "{} {} bytes, {} entries",
        written.digest, written.bytes, written.entries
    );
    Ok(())
}
