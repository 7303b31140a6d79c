//! Kernels of some instructions in the format that Firecracker boots: one waits for ever, others print before, and one resets its
//! machine.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

/// Where it is loaded: above the first MiB, which is the VMM's.
const BASE: u64 = 0x0100_0000;
const HEADER: u16 = 64;
const SEGMENT: u16 = 56;

/// cli; halt: hlt; jmp halt
const HALT: [u8; 4] = [0xfa, 0xf4, 0xeb, 0xfd];

/// A kernel that waits for ever.
pub fn waiting_kernel() -> Vec<u8> {
    elf(&HALT)
}

/// A kernel that prints `text` on the serial port, and waits for ever.
pub fn printing_kernel(text: &str) -> Vec<u8> {
    elf(&[printing(text), HALT.to_vec()].concat())
}

/// A kernel that prints `text` on the serial port, and pulls the reset line through the keyboard controller.
pub fn resetting_kernel(text: &str) -> Vec<u8> {
    // mov al,0xfe; out 0x64,al
    let reset = vec![0xb0, 0xfe, 0xe6, 0x64];
    elf(&[printing(text), reset, HALT.to_vec()].concat())
}

fn printing(text: &str) -> Vec<u8> {
    let mut code = Vec::new();
    for byte in text.bytes() {
        // mov dx,0x3fd; wait: in al,dx; test al,0x20; jz wait
        code.extend([0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb]);
        // mov dx,0x3f8; mov al,byte; out dx,al
        code.extend([0x66, 0xba, 0xf8, 0x03, 0xb0, byte, 0xee]);
    }
    code
}

/// An ELF with one segment to load.
fn elf(code: &[u8]) -> Vec<u8> {
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
