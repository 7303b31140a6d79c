//! Members of tar archives, byte by byte: what no writer of archives would write.

pub(super) fn folder(name: &str) -> Vec<u8> {
    member(b'5', name, "", 0o777, b"")
}

pub(super) fn file(name: &str) -> Vec<u8> {
    member(b'0', name, "", 0o666, b"evil")
}

pub(super) fn link(kind: u8, name: &str, target: &str) -> Vec<u8> {
    member(kind, name, target, 0o777, b"")
}

/// One member; what does not fit into its header comes before it.
pub(super) fn member(kind: u8, name: &str, link: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    if name.len() > 100 || link.len() > 100 {
        let long = records(b'x', &[("path", name), ("linkpath", link)]);
        return [long, member(kind, "long", "long", mode, data)].concat();
    }
    let mut record = vec![0; 512];
    record[..name.len()].copy_from_slice(name.as_bytes());
    record[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    record[108..115].copy_from_slice(b"0000000");
    record[116..123].copy_from_slice(b"0000000");
    record[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    record[136..147].copy_from_slice(b"00000000000");
    record[156] = kind;
    record[157..157 + link.len()].copy_from_slice(link.as_bytes());
    record[257..265].copy_from_slice(b"ustar\x0000");
    sum(&mut record);
    record.extend_from_slice(data);
    record.resize(record.len().next_multiple_of(512), 0);
    record
}

/// Puts the checksum right.
pub(super) fn sum(record: &mut [u8]) {
    record[148..156].fill(b' ');
    let sum: u32 = record[..512].iter().map(|byte| u32::from(*byte)).sum();
    record[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// A file whose length is this, in the binary form.
pub(super) fn resized(name: &str, length: &[u8; 8], sign: u8) -> Vec<u8> {
    let mut record = member(b'0', name, "", 0o666, b"");
    record[124..128].fill(if sign == 0xff { 0xff } else { 0 });
    record[124] = sign;
    record[128..136].copy_from_slice(length);
    sum(&mut record);
    record
}

/// Extension headers.
pub(super) fn records(kind: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        data.push_str(&format!("{length} {key}={value}\n"));
    }
    member(kind, "records", "", 0o644, data.as_bytes())
}

pub(super) fn hole(name: &str, size: u64) -> Vec<u8> {
    let mut data = b"1\n0\n1\n".to_vec();
    data.resize(512, 0);
    data.push(b'A');
    let size = size.to_string();
    let pairs = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", name),
        ("GNU.sparse.realsize", &size),
    ];
    [
        records(b'x', &pairs),
        member(b'0', "GNUSparseFile.0/x", "", 0o644, &data),
    ]
    .concat()
}
