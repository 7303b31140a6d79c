//! A kernel of two instructions in the format that Firecracker boots: it waits for ever.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

/// Where it is loaded: above the first MiB, which is the VMM's.
const BASE: u64 = 0x0100_0000;
const HEADER: u16 = 64;
const SEGMENT: u16 = 56;

/// An ELF with one segment to load.
pub fn waiting_kernel() -> Vec<u8> {
    // cli; halt: hlt; jmp halt
    let code = [0xfa, 0xf4, 0xeb, 0xfd];
    let start = u64::from(HEADER + SEGMENT);
    let mut file = Vec::new();
    // 64 bits, lowest byte first, version 1.
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
    file.extend([0; 8]);
    // An executable for x86-64.
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    // Entry, segments, no sections.
    for long in [BASE, u64::from(HEADER), 0] {
        file.extend(long.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [HEADER, SEGMENT, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // To be loaded; read and executed.
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    let length = u64::try_from(code.len()).unwrap();
    for long in [start, BASE, BASE, length, length, 0x1000] {
        file.extend(long.to_le_bytes());
    }
    file.extend(code);
    file
}
