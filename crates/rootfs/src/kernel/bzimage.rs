//! The kernel proper, an ELF file, out of a bzImage, or as it is.
//!
//! Where it lies is in the setup header (Linux `Documentation/arch/x86/boot.rst`, protocol 2.08 on). The VMM starts it
//! directly: no decompressor has to run, which under emulation takes half a second even with LZ4, the fastest.

use super::decompress::Format;
use super::elf::Elf;
use super::error::KernelError;

/// Most bytes of a kernel; distributions' have 50 to 90 MiB.
const LARGEST: usize = 256 << 20;
const PROTOCOL_2_08: u16 = 0x0208;

/// Unpacks the kernel of a bzImage; one that is unpacked already stays as it is.
///
/// # Errors
/// [`KernelError::BadImage`] and [`KernelError::Decompress`].
pub(crate) fn unpack(image: &[u8], path: &str) -> Result<Vec<u8>, KernelError> {
    if image.starts_with(b"\x7fELF") {
        return match Elf::parse(image) {
            Ok(elf) if elf.is_kernel() => Ok(image.to_vec()),
            _ => Err(KernelError::BadImage {
                fault: "it is no whole x86-64 kernel",
            }),
        };
    }
    let payload = payload(image).map_err(|fault| KernelError::BadImage { fault })?;
    let kernel = match Format::of(payload) {
        None if payload.starts_with(b"\x7fELF") => payload.to_vec(),
        None => {
            return Err(KernelError::Decompress {
                path: path.to_owned(),
                source: super::decompress::DecompressError::Unknown,
            });
        }
        Some(format) => {
            // Every payload ends with its unpacked size; of the formats only gzip counts it as its own.
            let Some((packed, size)) = payload.split_last_chunk::<4>() else {
                return Err(KernelError::BadImage {
                    fault: "its payload has no size",
                });
            };
            let packed = if format == Format::Gzip { payload } else { packed };
            let kernel = format
                .decompress(packed, LARGEST)
                .map_err(|source| KernelError::Decompress {
                    path: path.to_owned(),
                    source,
                })?;
            if kernel.len() != u32::from_le_bytes(*size) as usize {
                return Err(KernelError::BadImage {
                    fault: "it does not unpack to the size that it states",
                });
            }
            kernel
        }
    };
    match Elf::parse(&kernel) {
        Ok(elf) if elf.is_kernel() => Ok(kernel),
        _ => Err(KernelError::BadImage {
            fault: "what it unpacks to is no x86-64 kernel",
        }),
    }
}

/// The packed kernel within the image.
fn payload(image: &[u8]) -> Result<&[u8], &'static str> {
    fn field<const N: usize>(image: &[u8], at: usize) -> Result<[u8; N], &'static str> {
        let field = image.get(at..).and_then(|rest| rest.first_chunk());
        field.copied().ok_or("it is cut short")
    }
    if field(image, 0x1fe)? != [0x55, 0xaa] || &field(image, 0x202)? != b"HdrS" {
        return Err("it is neither a bzImage nor an ELF file");
    }
    if u16::from_le_bytes(field(image, 0x206)?) < PROTOCOL_2_08 {
        return Err("its boot protocol is older than 2.08");
    }
    // 0 stands for 4, for the oldest loaders; the boot sector comes before the setup's sectors.
    let sectors = match field(image, 0x1f1)? {
        [0] => 4,
        [sectors] => usize::from(sectors),
    };
    let offset = u32::from_le_bytes(field(image, 0x248)?) as usize;
    let length = u32::from_le_bytes(field(image, 0x24c)?) as usize;
    let payload = image
        .get((sectors + 1) * 512 + offset..)
        .and_then(|rest| rest.get(..length));
    payload.ok_or("its payload lies outside of it")
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::decompress::tests::{FORMATS, packed};
    use super::super::elf::tests::kernel;
    use super::*;

    /// A bzImage around a payload.
    pub(crate) fn image(payload: &[u8]) -> Vec<u8> {
        const SECTORS: usize = 3;
        const OFFSET: usize = 100;
        let mut image = vec![0; (SECTORS + 1) * 512 + OFFSET];
        image[0x1f1] = SECTORS as u8;
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&(OFFSET as u32).to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(payload);
        image.extend(b"what comes after the payload");
        image
    }

    /// A payload as the kernel's build makes it.
    pub(crate) fn payload_of(format: Format, kernel: &[u8]) -> Vec<u8> {
        let mut payload = packed(format, kernel);
        if format != Format::Gzip {
            payload.extend((kernel.len() as u32).to_le_bytes());
        }
        payload
    }

    #[test]
    fn a_kernel_comes_out_of_every_kind_of_payload() {
        let kernel = kernel(100_000);
        for format in FORMATS {
            let unpacked = unpack(&image(&payload_of(format, &kernel)), "k").unwrap();
            assert!(unpacked == kernel, "{format:?}");
        }
        assert!(unpack(&image(&kernel), "k").unwrap() == kernel);
        assert!(unpack(&kernel, "k").unwrap() == kernel);
    }

    #[test]
    fn what_is_no_kernel_image_is_refused_with_the_reason() {
        let kernel = kernel(5000);
        let good = image(&payload_of(Format::Zstd, &kernel));
        let changed = |at: usize, bytes: &[u8]| {
            let mut image = good.clone();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            image
        };
        let mut wrong_size = packed(Format::Zstd, &kernel);
        wrong_size.extend(4999_u32.to_le_bytes());
        let table = [
            (Vec::new(), "the kernel image is unusable: it is cut short"),
            (
                good[..0x24d].to_vec(),
                "the kernel image is unusable: it is cut short",
            ),
            (
                changed(0x202, b"Hdrs"),
                "the kernel image is unusable: it is neither a bzImage nor an ELF file",
            ),
            (
                changed(0x1fe, b"\0"),
                "the kernel image is unusable: it is neither a bzImage nor an ELF file",
            ),
            (
                changed(0x207, &[1]),
                "the kernel image is unusable: its boot protocol is older than 2.08",
            ),
            (
                changed(0x24b, &[1]),
                "the kernel image is unusable: its payload lies outside of it",
            ),
            (
                changed(0x24f, &[1]),
                "the kernel image is unusable: its payload lies outside of it",
            ),
            (
                image(b"BZh91AY&SY"),
                "cannot decompress `k` of the kernel package",
            ),
            (
                image(&payload_of(Format::Zstd, b"text")),
                "the kernel image is unusable: what it unpacks to is no x86-64 kernel",
            ),
            (
                kernel[..4000].to_vec(),
                "the kernel image is unusable: it is no whole x86-64 kernel",
            ),
            (
                image(&wrong_size),
                "the kernel image is unusable: it does not unpack to the size that it states",
            ),
        ];
        for (image, message) in table {
            assert_eq!(unpack(&image, "k").unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in prop::collection::vec(any::<u8>(), 0x250..0x300), sane in any::<bool>()) {
            let mut header = header;
            if sane {
                header[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
                header[0x202..0x206].copy_from_slice(b"HdrS");
            }
            prop_assert!(unpack(&header, "k").is_err());
        }
    }
}
