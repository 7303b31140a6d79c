//! Datagrams on a byte stream: `length: u16 big-endian | bytes`.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest datagram.
pub const LONGEST: usize = u16::MAX as usize;

/// Reads the next datagram into `buffer`, which then holds it alone. False at the stream's end.
///
/// # Errors
/// What the stream fails with; an end in mid datagram is a failure.
pub async fn read<R: AsyncRead + Unpin>(from: &mut R, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 2];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(false);
    }
    from.read_exact(&mut length[1..]).await?;
    buffer.resize(usize::from(u16::from_be_bytes(length)), 0);
    from.read_exact(buffer).await?;
    Ok(true)
}

/// Writes a datagram and flushes.
///
/// # Errors
/// What the stream fails with, or a datagram over [`LONGEST`].
pub async fn write<W: AsyncWrite + Unpin>(to: &mut W, datagram: &[u8]) -> io::Result<()> {
    let length = u16::try_from(datagram.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut bytes = Vec::with_capacity(2 + datagram.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(datagram);
    to.write_all(&bytes).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;

    fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        block_on(async {
            let (mut all, mut buffer) = (Vec::new(), Vec::new());
            while read(&mut bytes, &mut buffer).await? {
                all.push(buffer.clone());
            }
            Ok(all)
        })
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in(
            datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 0..8),
        ) {
            let mut bytes = Vec::new();
            for datagram in &datagrams {
                block_on(write(&mut bytes, datagram)).unwrap();
            }
            prop_assert_eq!(read_all(&bytes).unwrap(), datagrams);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(&bytes);
        }
    }

    #[test]
    fn an_end_in_mid_datagram_is_no_end() {
        assert!(read_all(&[0]).is_err());
        assert!(read_all(&[0, 2, 7]).is_err());
        assert_eq!(read_all(&[0, 0, 0, 1, 7]).unwrap(), [vec![], vec![7]]);
        assert!(block_on(write(&mut Vec::new(), &[0; LONGEST + 1])).is_err());
    }
}
