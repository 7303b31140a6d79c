//! Takes a kernel package apart: `dpkg-deb --fsys-tarfile X.deb | import_kernel FOLDER`. For a look at the outcome.

use std::error::Error;
use std::io;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: import_kernel FOLDER < PACKAGE.tar".into());
    };
    let kernel = rootfs::kernel::import(io::stdin().lock(), Path::new(&folder))?;
    println!("{} {} bytes", kernel.version, kernel.bytes);
    Ok(())
}
