//! Tells a guest at once that something may not be reached, so that it need not wait for an answer in vain.

use crate::addresses::GATEWAY;
use crate::packet::{Ends, ICMP, Packet, checksum, frames};

const ECHO_REQUEST: u8 = 8;
/// "Destination unreachable", "communication administratively prohibited" (RFC 1812, 5.2.7.1).
const PROHIBITED: [u8; 2] = [3, 13];
const ICMP_HEADER: usize = 8;

/// The frame that answers `frame`, with its length before it; `None` where no answer is due: errors are never
/// answered with errors, and fragments only by their first (RFC 1122, 3.2.2).
pub(super) fn refusal_of(frame: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(frame)?;
    let is_error = packet.protocol == ICMP && packet.payload().first() != Some(&ECHO_REQUEST);
    if is_error || !packet.is_first {
        return None;
    }
    let mut message = [&PROHIBITED[..], &[0; ICMP_HEADER - 2], packet.quotation()].concat();
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum);
    Some(frames(Ends::of(frame)?, GATEWAY, ICMP, 0, &message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::TCP;
    use crate::packet::tests::frame_to;

    #[test]
    fn a_refusal_quotes_what_it_refuses() {
        let refused = frame_to([127, 0, 0, 1].into(), TCP, 80);
        let answer = refusal_of(&refused).unwrap();
        assert_eq!(answer.len(), 4 + 14 + 20 + 8 + 28);
        assert_eq!(answer[..4], [0, 0, 0, 70]);
        assert_eq!(answer[4..16], [[1; 6], [2; 6]].concat());
        assert_eq!(answer[38..40], PROHIBITED);
        assert_eq!(answer[46..], refused[14..]);
        // A right checksum makes the sum of what it covers all ones.
        assert_eq!(
            (checksum(&[&answer[18..38]]), checksum(&[&answer[38..]])),
            ([0; 2], [0; 2])
        );
    }

    #[test]
    fn errors_and_later_fragments_are_not_answered() {
        let mut fragment = frame_to([127, 0, 0, 1].into(), TCP, 80);
        fragment[21] = 1;
        assert_eq!(refusal_of(&fragment), None);
        let mut icmp = frame_to([127, 0, 0, 1].into(), ICMP, 80);
        icmp[34] = 3;
        assert_eq!(refusal_of(&icmp), None);
        icmp[34] = ECHO_REQUEST;
        assert!(refusal_of(&icmp).is_some());
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(start: [u8; 14], rest: Vec<u8>) {
            let _ = refusal_of(&[&start[..], &rest].concat());
            let _ = refusal_of(&[&start[..], &[0x45; 1], &rest].concat());
        }
    }
}
