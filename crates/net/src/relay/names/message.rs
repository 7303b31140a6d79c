//! What is looked at of a question and of its answers (RFC 1035, 4.1): as much as tells whose they are, and whether another
//! resolver may know better. All else goes through as it is, whatever its kind.

/// Length of a header: number, flags, and how many entries each of four sections has.
const HEAD: usize = 12;
/// No question is longer; ordinary ones have less than a hundred bytes.
pub(in crate::relay) const LONGEST: usize = 4096;
/// Of the flags: it is an answer; what it has come to.
const ANSWER: u8 = 0x80;
const OUTCOME: u8 = 0x0f;
/// Outcomes that say something of the resolver, not of the name: failed, not implemented, refused. The C library asks the
/// next one then, too.
const POOR: [u8; 3] = [2, 4, 5];
/// Kind and class, after a name.
const AFTER_NAME: usize = 4;

/// A guest's question.
#[derive(Debug)]
pub(super) struct Query {
    message: Vec<u8>,
    /// Where the question in it ends.
    end: usize,
}

/// What a message is to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing.
    Strange,
    /// An answer that another resolver may better.
    Poor,
    /// Its answer.
    Good,
}

impl Query {
    /// Reads what a guest sends; `None` where it is no question.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let head = message.first_chunk::<HEAD>()?;
        let end = match head[4..6] {
            _ if head[2] & ANSWER != 0 || message.len() > LONGEST => return None,
            [0, 0] => HEAD,
            [0, 1] => end_of_question(message)?,
            _ => return None,
        };
        Some(Self {
            message: message.to_vec(),
            end,
        })
    }

    /// The question under another number: a stranger who would answer cannot know it.
    pub(super) fn numbered(&self, number: [u8; 2]) -> Vec<u8> {
        [&number, &self.message[2..]].concat()
    }

    /// Judges a message that came in answer to the question under that number.
    pub(super) fn judge(&self, number: [u8; 2], message: &[u8]) -> Reply {
        let Some(head) = message.first_chunk::<HEAD>() else {
            return Reply::Strange;
        };
        let outcome = head[3] & OUTCOME;
        let is_ours = head[..2] == number
            && head[2] & ANSWER != 0
            && match head[4..6] {
                // A resolver that could not read the question need not repeat it.
                [0, 0] => self.end == HEAD || outcome != 0,
                [0, 1] => self.is_repeated_in(message),
                _ => false,
            };
        match (is_ours, POOR.contains(&outcome)) {
            (false, _) => Reply::Strange,
            (true, true) => Reply::Poor,
            (true, false) => Reply::Good,
        }
    }

    /// An answer under the guest's own number.
    pub(super) fn answer(&self, mut message: Vec<u8>) -> Vec<u8> {
        message[..2].copy_from_slice(&self.message[..2]);
        message
    }

    fn is_repeated_in(&self, message: &[u8]) -> bool {
        // Letters may come back as others of the same name.
        let of = |message: &[u8]| Some(message.get(HEAD..self.end)?.to_ascii_lowercase());
        let rest = |message: &[u8]| Some(message.get(self.end.checked_sub(AFTER_NAME)?..self.end)?.to_vec());
        self.end > HEAD && of(message) == of(&self.message) && rest(message) == rest(&self.message)
    }
}

/// Where the first question ends: labels, each after its length, the last one empty. Nothing is left out of a first one.
fn end_of_question(message: &[u8]) -> Option<usize> {
    let mut at = HEAD;
    loop {
        match usize::from(*message.get(at)?) {
            0 => break,
            length @ 1..=63 => at += 1 + length,
            _ => return None,
        }
    }
    let end = at + 1 + AFTER_NAME;
    (end <= message.len() && at - HEAD < 255).then_some(end)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A question for the address of `name`.
    pub(crate) fn question(number: u16, name: &str) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        let mut message = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        message
    }

    /// An answer to it with that outcome.
    pub(crate) fn answer(question: &[u8], outcome: u8) -> Vec<u8> {
        let mut message = question.to_vec();
        (message[2], message[3]) = (0x81, 0x80 | outcome);
        message
    }

    #[test]
    fn an_answer_is_known_by_number_and_question() {
        let query = Query::parse(&question(7, "Good.example")).unwrap();
        let asked = query.numbered([1, 2]);
        assert_eq!(asked[2..], question(7, "Good.example")[2..]);
        for (outcome, expected) in [
            (0, Reply::Good),
            (1, Reply::Good),
            (2, Reply::Poor),
            (3, Reply::Good),
            (4, Reply::Poor),
            (5, Reply::Poor),
        ] {
            assert_eq!(
                query.judge([1, 2], &answer(&asked, outcome)),
                expected,
                "{outcome}"
            );
        }
        assert_eq!(
            query.judge([1, 2], &answer(&question(0x102, "good.EXAMPLE"), 0)),
            Reply::Good
        );
        assert_eq!(query.answer(answer(&asked, 0))[..2], [0, 7]);
        let mut other_kind = answer(&asked, 0);
        *other_kind.iter_mut().nth_back(2).unwrap() = 28;
        let (headless, refusal) = (
            [1, 2, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0],
            [1, 2, 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        for bad in [
            &asked[..],
            &answer(&question(7, "good.example"), 0),
            &answer(&question(0x102, "evil.example"), 0),
            &answer(&asked, 0)[..20],
            &other_kind,
            &headless,
            b"",
        ] {
            assert_eq!(query.judge([1, 2], bad), Reply::Strange, "{bad:?}");
        }
        assert_eq!(query.judge([1, 2], &refusal), Reply::Poor);
    }

    #[test]
    fn what_is_no_question_is_not_asked() {
        let good = question(7, "a.example");
        let changed = |at: usize, value| {
            let mut bad = good.clone();
            bad[at] = value;
            bad
        };
        for bad in [
            &good[..11],
            &good[..good.len() - 1],
            &changed(2, 0x80),
            &changed(5, 2),
            &changed(4, 1),
            &changed(12, 0xc0),
            &changed(12, 60),
            &question(7, &["a"; 130].join(".")),
            &[&good[..], &[0; LONGEST]].concat(),
        ] {
            assert!(Query::parse(bad).is_none(), "{bad:?}");
        }
        assert!(
            Query::parse(&changed(2, 0x28)).is_some(),
            "an update is as good as a question"
        );
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(first: Vec<u8>, second: Vec<u8>, name in "[a-z.]{0,20}") {
            let query = Query::parse(&first).or_else(|| Query::parse(&question(1, &name)));
            if let Some(query) = query {
                let _ = query.judge([0, 1], &second);
                let _ = query.judge([0, 1], &answer(&query.numbered([0, 1]), 0));
            }
        }
    }
}
