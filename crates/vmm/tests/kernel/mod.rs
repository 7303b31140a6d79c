//! Kernels of some dozen instructions: enough of a guest to print, power off or reset, at once.
//!
//! In the Multiboot format, which QEMU boots as it boots a Linux kernel
//! (<https://www.gnu.org/software/grub/manual/multiboot/multiboot.html>, the header with plain addresses).
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

/// Where it is loaded.
const BASE: u32 = 0x0010_0000;
const HEADER: [u32; 3] = [0x1bad_b002, 0x0001_0000, 0xe451_4ffe];
const HEADER_LENGTH: u32 = 32;

/// What a kernel does after it has printed.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// Waits for ever.
    Halt,
    /// Cuts its power (`SLP_EN` of the ACPI control register, where the firmware of `q35` puts it).
    PowerOff,
    /// Pulls the reset line through the keyboard controller.
    Reset,
    /// Prints it again.
    Repeat,
}

/// A kernel that prints `text` on the serial port.
pub fn kernel(text: &str, then: Then) -> Vec<u8> {
    let mut code = Vec::new();
    for byte in text.bytes() {
        // mov dx,0x3fd; wait: in al,dx; test al,0x20; jz wait
        code.extend([0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb]);
        // mov dx,0x3f8; mov al,byte; out dx,al
        code.extend([0x66, 0xba, 0xf8, 0x03, 0xb0, byte, 0xee]);
    }
    match then {
        Then::Halt => {}
        // mov dx,0x604; mov ax,0x2000; out dx,ax
        Then::PowerOff => code.extend([0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x20, 0x66, 0xef]),
        // mov al,0xfe; out 0x64,al
        Then::Reset => code.extend([0xb0, 0xfe, 0xe6, 0x64]),
        Then::Repeat => {
            // jmp to the beginning
            let back = -(i32::try_from(code.len()).unwrap() + 5);
            code.push(0xe9);
            code.extend(back.to_le_bytes());
        }
    }
    // cli; halt: hlt; jmp halt
    code.extend([0xfa, 0xf4, 0xeb, 0xfd]);

    let end = BASE + HEADER_LENGTH + u32::try_from(code.len()).unwrap();
    let addresses = [BASE, BASE, end, end, BASE + HEADER_LENGTH];
    let words = HEADER.into_iter().chain(addresses);
    words.flat_map(u32::to_le_bytes).chain(code).collect()
}
