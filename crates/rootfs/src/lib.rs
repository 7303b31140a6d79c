//! EROFS images, writable layers, initramfs and kernel unpacking.
